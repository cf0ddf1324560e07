import WaggleBase
import WaggleNetwork

/// Sends back what it gets.
final class EchoService: Service {
    var protocols: [ProtocolID] { ["/echo/1.0.0"] }
    func serve(_ stream: WaggleNetwork.Stream, from peer: PeerID) async throws {
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }
}

/// Sends bytes through an echo on several streams at once and checks what comes back, byte by byte.
struct EchoTransfer: Sendable {
    /// On each stream.
    let bytes: Int
    let streams: Int
    let protocolID: ProtocolID
    /// Whether our side of the stream ends before the answer does. p2pd cannot stand that: its bridge to programs closes both directions at once.
    let finishesEarly: Bool

    /// Not a divisor of any buffer size, so that a shifted or repeated piece is noticed.
    private static let period = 1_000_003
    private static let pattern = Bytes(count: 2 * period) { buffer in
        var state: UInt32 = 1
        for index in 0..<period {
            state = state &* 1_664_525 &+ 1_013_904_223
            buffer[index] = UInt8(truncatingIfNeeded: state >> 24)
            buffer[index + period] = buffer[index]
        }
        return buffer.count
    }

    /// Written at once.
    private static let piece = 64 << 10

    func run(_ connection: Connection) async throws -> Duration {
        try await connection.loop.run { () async throws -> Duration in
            let start = connection.loop.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<streams { group.addTask { try await one(connection, offset: index * 7919) } }
                try await group.waitForAll()
            }
            return connection.loop.now - start
        }
    }

    private func one(_ connection: Connection, offset: Int) async throws {
        let stream = try await connection.openStream([protocolID])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var sent = 0
                while sent < bytes {
                    let count = min(EchoTransfer.piece, bytes - sent)
                    try await stream.write(EchoTransfer.window(offset + sent, count))
                    sent += count
                }
                if finishesEarly { stream.finish() }
            }
            group.addTask {
                var received = 0
                while finishesEarly || received < bytes, let piece = try await stream.read() {
                    guard received + piece.count <= bytes else { throw PeerCommandError.mismatch }
                    var checked = 0
                    while checked < piece.count {
                        let count = min(EchoTransfer.piece, piece.count - checked)
                        guard piece[checked..<checked + count] == EchoTransfer.window(offset + received + checked, count) else {
                            throw PeerCommandError.mismatch
                        }
                        checked += count
                    }
                    received += piece.count
                }
                guard received == bytes else { throw PeerCommandError.mismatch }
                stream.finish()
            }
            do { try await group.waitForAll() } catch {
                stream.reset()
                throw error
            }
        }
    }

    private static func window(_ offset: Int, _ count: Int) -> Bytes {
        let start = offset % period
        return pattern[start..<start + count]
    }
}
