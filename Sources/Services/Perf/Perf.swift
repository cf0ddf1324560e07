import Synchronization
import WaggleBase
import WaggleNetwork

/// `/perf/1.0.0`: takes an upload and sends a download of the sizes that the client chooses, to measure a connection.
///
/// Wire: the client writes the size of the download (u64, big-endian) and the upload, and ends its side; then the server writes the download and
/// ends its own. Spec: libp2p perf. It lets others use bandwidth at will, so it is only served where it is asked for.
public final class Perf: Service {
    public static let protocolID: ProtocolID = "/perf/1.0.0"

    /// What is sent, again and again: the content does not matter, so nothing is ever copied or made.
    private static let block = Bytes(count: PerfLimits.block) { buffer in
        for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: index) }
        return buffer.count
    }

    private struct State { weak var swarm: Swarm? }

    private let state = Mutex(State())

    public init() {}

    public var protocols: [ProtocolID] { [Perf.protocolID] }

    public var limits: ServiceLimits { ServiceLimits(streamsPerPeer: PerfLimits.streamsPerPeer, streams: PerfLimits.streams) }

    public func registered(on swarm: Swarm) { state.withLock { $0.swarm = swarm } }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        let head = try await stream.read(exactly: 8)
        let size = head.reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        while let piece = try await stream.read(), !piece.isEmpty {}
        try await Perf.send(size, on: stream)
    }

    /// How long the two halves of a measurement took.
    public struct Result: Sendable {
        /// From the opened stream to the first byte of the answer: the upload and one round trip.
        public var upload: Duration
        /// From there to the end of the download.
        public var download: Duration
    }

    /// Sends `upload` bytes to `peer` and lets it send `download` bytes back.
    public func measure(_ peer: PeerID, upload: UInt64, download: UInt64) async throws -> Result {
        guard let swarm = state.withLock({ $0.swarm }) else { throw SwarmError.closed }
        return try await swarm.withStream(to: peer, Perf.protocolID) { stream in
            let loop = stream.connection.loop
            let start = loop.now
            var head = ByteWriter(capacity: 8)
            head.write(integer: download)
            try await stream.write(head.finish())
            try await Perf.send(upload, on: stream)
            stream.finish()
            var received: UInt64 = 0
            var turn: Instant?
            while let piece = try await stream.read() {
                if turn == nil { turn = loop.now }
                received += UInt64(piece.count)
                guard received <= download else { throw PerfError.tooMuch }
            }
            guard received == download else { throw StreamError.truncated }
            let middle = turn ?? loop.now
            return Result(upload: middle - start, download: loop.now - middle)
        }
    }

    private static func send(_ count: UInt64, on stream: Stream) async throws(StreamError) {
        var rest = count
        while rest > 0 {
            let piece = block.prefix(Int(min(rest, UInt64(block.count))))
            try await stream.write(piece)
            rest -= UInt64(piece.count)
        }
    }
}

/// Why a measurement failed.
public enum PerfError: Error, Hashable, Sendable {
    /// The server sent more than it was asked for.
    case tooMuch
}

/// Bounds of the perf protocol.
public enum PerfLimits {
    /// Bytes of the block that is sent again and again.
    public static let block = 128 << 10
    /// Measurements of one peer at once.
    public static let streamsPerPeer = 100
    /// Measurements at once.
    public static let streams = 200
}
