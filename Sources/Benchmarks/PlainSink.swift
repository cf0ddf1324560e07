import Foundation
import Glibc

/// Takes bytes from plain sockets on a thread of its own and answers one byte at the end: the limit that the kernel sets.
final class PlainSink: Sendable {
    /// Where it listens on loopback.
    let port: UInt16

    init() {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, length)
                _ = listen(listener, 1)
                _ = getsockname(listener, $0, &length)
            }
        }
        port = address.sin_port.bigEndian
        Thread.detachNewThread {
            let buffer = UnsafeMutableRawPointer.allocate(byteCount: 256 << 10, alignment: 16)
            while true {
                let connected = accept(listener, nil, nil)
                guard connected >= 0 else { return }
                while recv(connected, buffer, 256 << 10, 0) > 0 {}
                _ = Glibc.send(connected, buffer, 1, 0)
                close(connected)
            }
        }
    }

    /// Sends `size` bytes to a sink; the seconds it took until all of them were read.
    static func send(_ size: Int, to port: UInt16) -> Double {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = address(port: port)
        _ = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 1, count: 256 << 10)
        let start = ContinuousClock.now
        var rest = size
        while rest > 0 {
            let count = Glibc.send(descriptor, buffer, min(rest, 256 << 10), 0)
            guard count > 0 else { break }
            rest -= count
        }
        shutdown(descriptor, Int32(SHUT_WR))
        _ = recv(descriptor, buffer, 1, 0)
        let time = ContinuousClock.now - start
        return Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
    }

    static func address(_ host: UInt32 = 0x7f00_0001, port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = host.bigEndian
        return address
    }
}
