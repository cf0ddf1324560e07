public import WaggleBase

public enum WireError: Error, Equatable {
    case failed(errno: Int32)
    case endedEarly
}

/// A socket with suspending reads and writes, for tests of the two worlds. Only on the socket's loop.
public final class Wire: SocketHandler, @unchecked Sendable {
    public let socket: any ByteSocket
    private let readable: Waiter
    private let writable: Waiter
    /// How often `write` had to wait.
    public private(set) var stalls = 0

    public init(_ socket: any ByteSocket) {
        self.socket = socket
        readable = Waiter(on: socket.loop)
        writable = Waiter(on: socket.loop)
        socket.handler = self
    }

    public func socketReadable() { readable.wake() }
    public func socketWritable() { writable.wake() }

    /// What has arrived, at most `limit` bytes; empty at the end.
    public func read(upTo limit: Int = 16_384) async throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        while true {
            switch buffer.withUnsafeMutableBytes({ socket.read(into: $0) }) {
            case .moved(let count): return Array(buffer[..<count])
            case .wouldBlock: try await readable.wait()
            case .ended: return []
            case .failed(let errno): throw WireError.failed(errno: errno)
            }
        }
    }

    public func read(exactly count: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part = try await read(upTo: count - bytes.count)
            if part.isEmpty { throw WireError.endedEarly }
            bytes += part
        }
        return bytes
    }

    public func readToEnd() async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let part = try await read(upTo: 65_536)
            if part.isEmpty { return bytes }
            bytes += part
        }
    }

    /// One attempt to write; nil when it would block.
    public func tryWrite(_ bytes: ArraySlice<UInt8>) throws -> Int? {
        let outcome = bytes.withUnsafeBytes { buffer in withUnsafePointer(to: buffer) { socket.write(UnsafeBufferPointer(start: $0, count: 1)) } }
        switch outcome {
        case .moved(let count): return count
        case .wouldBlock: return nil
        case .ended: throw WireError.endedEarly
        case .failed(let errno): throw WireError.failed(errno: errno)
        }
    }

    public func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            if let count = try tryWrite(rest) {
                rest = rest.dropFirst(count)
            } else {
                stalls += 1
                try await writable.wait()
            }
        }
    }

    public func finish() { socket.shutdownWrite() }
    public func close(abort: Bool = false) { socket.close(abort: abort) }
}

/// Sends back what comes until the end, then ends too.
public func echo(_ socket: any ByteSocket) async {
    let wire = Wire(socket)
    do {
        while true {
            let part = try await wire.read()
            if part.isEmpty { break }
            try await wire.write(part)
        }
        wire.close()
    } catch {
        wire.close(abort: true)
    }
}

/// An echo server; its connections end with the scope.
public func echoServer(on system: any System, at address: SocketAddress, in scope: TaskScope) async throws -> any ListeningSocket {
    try await system.network.listen(on: address, admit: { _ in true }) { socket in
        if !scope.spawn(on: socket.loop, { await echo(socket) }) { socket.close(abort: true) }
    }
}

/// Bytes that do not repeat soon.
public func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 33)
    }
}
