import Synchronization
import WaggleBase
import WaggleNetwork

/// `/ipfs/ping/1.0.0`: sends back 32 bytes at a time, and measures how long others take to.
///
/// Spec: libp2p ping.
public final class Ping: Service {
    public static let protocolID: ProtocolID = "/ipfs/ping/1.0.0"

    private struct State {
        weak var swarm: Swarm?
        var roundTrips: [PeerID: Duration] = [:]
    }

    private let state = Mutex(State())

    public init() {}

    public var protocols: [ProtocolID] { [Ping.protocolID] }

    public var limits: ServiceLimits { ServiceLimits(streamsPerPeer: PingLimits.streamsPerPeer) }

    public func registered(on swarm: Swarm) { state.withLock { $0.swarm = swarm } }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        while true {
            stream.deadline = stream.connection.loop.now + PingLimits.idle
            guard let start = try await stream.read(upTo: PingLimits.payload) else { return }
            try await stream.write(start)
            if start.count < PingLimits.payload { try await stream.write(try await stream.read(exactly: PingLimits.payload - start.count)) }
        }
    }

    /// The last round trip measured to `peer`; nil when there was none.
    public func roundTrip(to peer: PeerID) -> Duration? { state.withLock { $0.roundTrips[peer] } }

    /// One ping: the time from the first byte sent to the last byte of the answer.
    public func ping(_ peer: PeerID) async throws -> Duration {
        let roundTrips = try await pings(to: peer, count: 1)
        guard let first = roundTrips.first else { throw StreamError.closed }
        return first
    }

    /// Pings `peer` `count` times over one stream, with `interval` between an answer and the next ping, and returns the round trips. `each`
    /// hears of every answer at once, with its number.
    ///
    /// Throws `PingError.mismatch` for a wrong answer, and `StreamError.timedOut` when one takes longer than `PingLimits.timeout`.
    public func pings(
        to peer: PeerID, count: Int, interval: Duration = .zero, each: @Sendable (Int, Duration) async -> Void = { _, _ in }
    ) async throws -> [Duration] {
        guard let swarm = state.withLock({ $0.swarm }) else { throw SwarmError.closed }
        return try await swarm.withStream(to: peer, Ping.protocolID) { [self] stream in
            let loop = stream.connection.loop
            var roundTrips: [Duration] = []
            for number in 0..<max(count, 0) {
                if number > 0, interval > .zero { try await loop.sleep(until: loop.now + interval) }
                let payload = Bytes(swarm.system.randomBytes(PingLimits.payload))
                let sent = loop.now
                stream.deadline = sent + PingLimits.timeout
                try await stream.write(payload)
                guard try await stream.read(exactly: PingLimits.payload) == payload else { throw PingError.mismatch }
                let roundTrip = loop.now - sent
                roundTrips.append(roundTrip)
                remember(roundTrip, to: peer, swarm)
                await each(number, roundTrip)
            }
            return roundTrips
        }
    }

    private func remember(_ roundTrip: Duration, to peer: PeerID, _ swarm: Swarm) {
        let isFull = state.withLock { state in
            if state.roundTrips.count < PingLimits.remembered || state.roundTrips[peer] != nil {
                state.roundTrips[peer] = roundTrip
                return false
            }
            return true
        }
        guard isFull else { return }
        let connected = Set(swarm.peers)
        state.withLock { state in
            state.roundTrips = state.roundTrips.filter { connected.contains($0.key) }
            if state.roundTrips.count < PingLimits.remembered { state.roundTrips[peer] = roundTrip }
        }
    }
}

/// Why a ping failed.
public enum PingError: Error, Hashable, Sendable {
    /// The answer is not what was sent.
    case mismatch
}
