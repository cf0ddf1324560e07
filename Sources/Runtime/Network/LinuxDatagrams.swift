import CLinux
import Glibc
import WaggleBase

/// UDP on Linux.
struct LinuxDatagrams: DatagramNetwork {
    func bind(_ address: SocketAddress, _ options: DatagramOptions, on loop: any EventLoop) async throws(NetworkError) -> any DatagramSocket {
        guard let loop = loop as? LinuxLoop else { throw .other(errno: EINVAL) }
        let (descriptor, bound) = try Self.open(address, options)
        let family = address.family
        return try await loop.run { () async throws(NetworkError) -> LinuxDatagramSocket in
            let socket = LinuxDatagramSocket(descriptor: descriptor, loop: loop, local: bound, family: family)
            guard loop.watch(socket, EPOLLIN.rawValue | EPOLLOUT.rawValue) else {
                Glibc.close(descriptor)
                throw .outOfDescriptors
            }
            return socket
        }
    }

    /// A bound descriptor and the address it got.
    private static func open(_ address: SocketAddress, _ options: DatagramOptions) throws(NetworkError) -> (Int32, SocketAddress) {
        let family = address.family
        let descriptor = socket(family, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw NetworkError(errno: errno, address) }
        if family == AF_INET6 { LinuxListener.setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
        if options.sharesAddress {
            LinuxListener.setOption(descriptor, SOL_SOCKET, SO_REUSEADDR)
            LinuxListener.setOption(descriptor, SOL_SOCKET, SO_REUSEPORT)
        }
        func set(_ option: clinux_datagram_option, _ value: Int32) { _ = clinux_set_datagram_option(descriptor, family, option, value) }
        set(CLINUX_PACKET_INFORMATION, 1)
        set(CLINUX_CONGESTION_MARKS, 1)
        set(CLINUX_ONLY_JOINED_GROUPS, 1)
        set(CLINUX_MULTICAST_HOPS, Int32(options.multicastHops))
        set(CLINUX_MULTICAST_LOOP, options.loopsMulticast ? 1 : 0)
        if options.joinsSegments { set(CLINUX_JOIN_SEGMENTS, 1) }
        if let size = options.bufferSize {
            var bytes = Int32(clamping: size)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
            setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        guard address.withKernelAddress({ Glibc.bind(descriptor, $0, $1) }) == 0 else {
            let error = NetworkError(errno: errno, address)
            Glibc.close(descriptor)
            throw error
        }
        return (descriptor, SocketAddress.local(of: descriptor) ?? address)
    }

    private static func leadingBits(_ mask: UnsafePointer<sockaddr>, of ip: IPAddress) -> Int {
        switch ip {
        case .v4:
            let value = UnsafeRawPointer(mask).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
            return (~UInt32(bigEndian: value)).leadingZeroBitCount
        case .v6:
            let value = UnsafeRawPointer(mask).loadUnaligned(as: sockaddr_in6.self).sin6_addr
            return withUnsafeBytes(of: value) { bytes in
                let full = bytes.prefix { $0 == 0xff }.count
                return full * 8 + (full < bytes.count ? (~bytes[full]).leadingZeroBitCount : 0)
            }
        }
    }

    func interfaces() -> [NetworkInterface] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var interfaces: [NetworkInterface] = []
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard entry.pointee.ifa_flags & UInt32(IFF_UP) != 0 else { continue }
            let index = if_nametoindex(entry.pointee.ifa_name)
            guard index != 0 else { continue }
            let place: Int
            if let known = interfaces.firstIndex(where: { $0.index == index }) {
                place = known
            } else {
                place = interfaces.count
                interfaces.append(
                    NetworkInterface(
                        index: index, name: String(cString: entry.pointee.ifa_name), addresses: [],
                        isLoopback: entry.pointee.ifa_flags & UInt32(IFF_LOOPBACK) != 0,
                        carriesMulticast: entry.pointee.ifa_flags & UInt32(IFF_MULTICAST) != 0))
            }
            guard let ip = entry.pointee.ifa_addr.flatMap({ SocketAddress(kernel: $0) })?.ip else { continue }
            interfaces[place].addresses.append(ip)
            // A mask has no family of its own everywhere, and no length that could be asked for: the address's count.
            guard let mask = entry.pointee.ifa_netmask else { continue }
            interfaces[place].prefixLengths[ip] = Self.leadingBits(mask, of: ip)
        }
        return interfaces
    }
}
