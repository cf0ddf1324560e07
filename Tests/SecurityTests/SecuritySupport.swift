import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation
import WaggleStack

@testable import WaggleNetwork

/// A channel whose handshakes do not know the extension that protects the negotiation: plain libp2p Noise.
struct WithoutExtension: SecureChannel {
    let inner: any SecureChannel
    var protocolID: ProtocolID { inner.protocolID }
    var isPostQuantum: Bool { inner.isPostQuantum }
    func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake {
        var parameters = parameters
        parameters.configuredChannels = []
        return inner.makeHandshake(parameters)
    }
}

/// A channel that leaves the muxer to a negotiation inside the records, as peers did before that went into the handshake.
struct WithoutEarlyMuxers: SecureChannel {
    let inner: any SecureChannel
    var protocolID: ProtocolID { inner.protocolID }
    var isPostQuantum: Bool { inner.isPostQuantum }
    func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake {
        var parameters = parameters
        parameters.muxers = []
        return inner.makeHandshake(parameters)
    }
}

/// yamux under another name.
struct RenamedYamux: Muxer {
    let protocolID: ProtocolID
    func makeSession(_ parameters: MuxerParameters) -> any MuxerSession { Yamux().makeSession(parameters) }
}

/// An identity for tests, the same for the same seed.
func testKey(_ seed: UInt8) throws -> IdentityKeyPair {
    try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: seed, count: 32)))
}

/// A swarm's events.
final class Recorder: Sendable {
    private let events = Mutex<[SwarmEvent]>([])
    private let observation = Mutex<SwarmObservation?>(nil)

    init(_ swarm: Swarm) {
        let made = swarm.observe(on: swarm.system.home) { [weak self] event in self?.events.withLock { $0.append(event) } }
        observation.withLock { $0 = made }
    }

    var all: [SwarmEvent] { events.withLock { $0 } }

    /// How every connection that ever stood was secured.
    var security: [SecurityInfo] { all.compactMap { if case .connected(let connection) = $0 { connection.security } else { nil } } }

    /// Why handshakes failed.
    var failures: [UpgradeError] { all.compactMap { if case .handshakeFailed(_, _, let error) = $0 { error } else { nil } } }
}

/// Sends back what it gets.
final class Echo: Service {
    static let id: ProtocolID = "/echo/1.0.0"
    var protocols: [ProtocolID] { [Echo.id] }
    func serve(_ stream: WaggleNetwork.Stream, from peer: PeerID) async throws {
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }
}

extension Swarm {
    /// Sends `text` to the echo service of `peer` and returns what comes back.
    func echo(_ text: String, to peer: PeerID) async throws -> String? {
        try await withStream(to: peer, Echo.id) { stream in
            stream.deadline = stream.connection.loop.now + .seconds(5)
            try await stream.write(Bytes(utf8: text))
            stream.finish()
            return try await stream.readAll(limit: .kibibytes(64)).utf8
        }
    }
}

extension Swarm {
    /// Waits until `condition` holds, looking again every 10 ms of virtual time.
    func until(_ limit: Duration = .seconds(60), _ condition: @Sendable () -> Bool) async throws {
        let home = system.home
        let end = home.now + limit
        while !condition() {
            guard home.now < end else { throw SecurityTestError.tooLate }
            try await home.sleep(until: home.now + .milliseconds(10))
        }
    }
}

enum SecurityTestError: Error { case tooLate }
