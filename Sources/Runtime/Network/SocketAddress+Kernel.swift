import Glibc
import WaggleBase

extension SocketAddress {
    var family: Int32 {
        switch ip {
        case .v4: AF_INET
        case .v6: AF_INET6
        }
    }

    /// Calls `body` with the address as the kernel wants it.
    func withKernelAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        switch ip {
        case .v4(let value):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = value.bigEndian
            return withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
        case .v6(let high, let low, let zone):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_scope_id = zone
            withUnsafeMutableBytes(of: &address.sin6_addr) {
                $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
            }
        }
    }

    /// Reads what the kernel wrote; nil for other families. IPv4 addresses in IPv6 clothes are undressed.
    init?(_ storage: sockaddr_storage) {
        switch Int32(storage.ss_family) {
        case AF_INET:
            let address = withUnsafeBytes(of: storage) { $0.loadUnaligned(as: sockaddr_in.self) }
            self.init(ip: .v4(UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
        case AF_INET6:
            let address = withUnsafeBytes(of: storage) { $0.loadUnaligned(as: sockaddr_in6.self) }
            let (high, low) = withUnsafeBytes(of: address.sin6_addr) {
                (UInt64(bigEndian: $0.load(as: UInt64.self)), UInt64(bigEndian: $0.load(fromByteOffset: 8, as: UInt64.self)))
            }
            let port = UInt16(bigEndian: address.sin6_port)
            if high == 0, low >> 32 == 0xffff {
                self.init(ip: .v4(UInt32(truncatingIfNeeded: low)), port: port)
            } else {
                self.init(ip: .v6(high: high, low: low, zone: address.sin6_scope_id), port: port)
            }
        default: return nil
        }
    }

    /// Asks with `call`, one of `getsockname`, `getpeername` and their like.
    static func asking(_ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) -> (Int32, SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &length) }
        }
        return (result, result >= 0 ? SocketAddress(storage) : nil)
    }

    static func local(of descriptor: Int32) -> SocketAddress? { asking { getsockname(descriptor, $0, $1) }.1 }
}

extension NetworkError {
    /// What `errno` means for an attempt to reach or hold `address`.
    init(errno: Int32, _ address: SocketAddress) {
        switch errno {
        case EADDRINUSE: self = .addressInUse(address)
        case EACCES, EPERM: self = .permissionDenied(address)
        case EADDRNOTAVAIL: self = .addressNotAvailable(address)
        case ECONNREFUSED, ECONNRESET: self = .connectionRefused(address)
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN: self = .unreachable(address)
        case ETIMEDOUT: self = .timedOut(address)
        case ECANCELED: self = .cancelled
        case EMFILE, ENFILE: self = .outOfDescriptors
        default: self = .other(errno: errno)
        }
    }
}

extension SocketAddress {
    /// Reads an address of the kernel's that knows its family; nil for other families than IPv4 and IPv6.
    init?(kernel address: UnsafePointer<sockaddr>) {
        let size = Int32(address.pointee.sa_family) == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
        guard [AF_INET, AF_INET6].contains(Int32(address.pointee.sa_family)) else { return nil }
        self.init(kernel: UnsafeRawBufferPointer(start: address, count: size), length: size)
    }

    /// The same from the first `length` bytes of a buffer.
    init?(kernel bytes: UnsafeRawBufferPointer, length: Int) {
        guard length >= MemoryLayout<sockaddr_in>.size, length <= bytes.count else { return nil }
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<min(length, $0.count)])) }
        self.init(storage)
    }
}

extension IPAddress {
    /// Calls `body` with the 4 or 16 bytes in network order.
    func withNetworkOrder<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        switch self {
        case .v4(let value): withUnsafeBytes(of: value.bigEndian, body)
        case .v6(let high, let low, _): withUnsafeBytes(of: (high.bigEndian, low.bigEndian), body)
        }
    }
}
