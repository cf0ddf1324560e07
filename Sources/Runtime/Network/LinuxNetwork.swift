import CLinux
import Glibc
import WaggleBase

/// TCP on Linux.
struct LinuxNetwork: ByteNetwork {
    let linuxLoops: [LinuxLoop]

    func listen(
        on address: SocketAddress,
        admit: @escaping @Sendable (SocketAddress) -> Bool,
        accept: @escaping @Sendable (any ByteSocket) -> Void
    ) async throws(NetworkError) -> any ListeningSocket {
        let (descriptor, bound) = try LinuxListener.bind(address)
        let home = linuxLoops[0]
        let listener = LinuxListener(
            descriptor: descriptor, address: bound, home: home, loops: linuxLoops, admit: admit, accept: accept)
        let watched = await withUnsafeContinuation { (continuation: UnsafeContinuation<Bool, Never>) in
            home.execute { continuation.resume(returning: home.watch(listener, EPOLLIN.rawValue, level: true)) }
        }
        guard watched else {
            close(descriptor)
            throw .outOfDescriptors
        }
        return listener
    }

    func connect(to remote: SocketAddress, from local: SocketAddress?, on loop: any EventLoop) async throws(NetworkError)
        -> any ByteSocket
    {
        guard let loop = loop as? LinuxLoop else { throw .other(errno: EINVAL) }
        if Task.isCancelled { throw .cancelled }
        let dial = Dial(to: remote, from: local, on: loop)
        let outcome = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                if loop.isCurrent { dial.start(continuation) } else { loop.execute { dial.start(continuation) } }
            }
        } onCancel: {
            loop.execute { dial.cancel() }
        }
        return try outcome.get()
    }

    func interfaceAddresses() -> [IPAddress] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var addresses: [IPAddress] = []
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard entry.pointee.ifa_flags & UInt32(IFF_UP) != 0, let address = entry.pointee.ifa_addr else { continue }
            var storage = sockaddr_storage()
            let size = Int32(address.pointee.sa_family) == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
            guard [AF_INET, AF_INET6].contains(Int32(address.pointee.sa_family)) else { continue }
            withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: size)) }
            if let ip = SocketAddress(storage)?.ip, !addresses.contains(ip) { addresses.append(ip) }
        }
        return addresses
    }
}
