import Synchronization
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation
import WaggleStack

/// Swarms on the hosts of a world, on the classical channel for the sake of speed where the test is not about channels.
extension World {
    func swarm(
        _ name: String, book: AddressBook? = nil, key: IdentityKeyPair? = nil, policy: SecurityPolicy = .classical,
        _ change: (inout SwarmConfiguration) -> Void = { _ in }
    ) throws -> Swarm {
        let system = host(name).system
        let key = try key ?? IdentityKeyPair(ed25519Seed: SecureBytes(count: 32) { system.fillRandom($0) })
        let identity = LocalIdentity(key)
        let keys = try NoiseKeys(identity: identity, secret: SecureBytes(count: 32) { system.fillRandom($0) })
        var configuration = SwarmConfiguration(channels: ChannelCatalog.all(keys), muxers: [Yamux()])
        configuration.policy = policy
        change(&configuration)
        return Swarm(
            system: system, identity: identity, configuration: configuration, transports: [TCP()],
            addressBook: try book ?? AddressBook(system: system))
    }

    /// A swarm that listens on its host's IPv4 address.
    func listening(
        _ name: String, policy: SecurityPolicy = .classical, _ change: (inout SwarmConfiguration) -> Void = { _ in }
    ) async throws -> Swarm {
        let swarm = try swarm(name, policy: policy, change)
        try await swarm.listen(on: Multiaddr(host(name).address(port: 4001), over: .tcp))
        return swarm
    }
}

extension Swarm {
    /// An address with this peer at its end.
    var dialable: Multiaddr { listenAddresses[0].with(peer: localPeer) }

    /// Waits until `condition` holds, looking again at every event and every 10 ms of virtual time.
    func until(_ limit: Duration = .seconds(120), _ condition: @Sendable () -> Bool) async throws {
        let home = system.home
        let end = home.now + limit
        while !condition() {
            guard home.now < end else { throw TestError.tooLate }
            try await home.sleep(until: home.now + .milliseconds(10))
        }
    }
}

enum TestError: Error { case tooLate, unexpected }

/// Sends back what it gets.
final class Echo: Service {
    static let id: ProtocolID = "/echo/1.0.0"
    let limits: ServiceLimits
    init(_ limits: ServiceLimits = ServiceLimits()) { self.limits = limits }
    var protocols: [ProtocolID] { [Echo.id] }
    func serve(_ stream: Stream, from peer: PeerID) async throws {
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }
}

extension Swarm {
    /// Sends `text` to the echo service of `peer` and returns what comes back.
    func echo(_ text: String, to peer: PeerID) async throws -> String? {
        try await withStream(to: peer, Echo.id) { stream in
            try await stream.write(Bytes(utf8: text))
            stream.finish()
            return try await stream.readAll(limit: .kibibytes(64)).utf8
        }
    }
}

/// What happened, collected from events.
final class Recorder: Sendable {
    private let events = Mutex<[SwarmEvent]>([])
    private let observation = Mutex<SwarmObservation?>(nil)

    init(_ swarm: Swarm) {
        let made = swarm.observe(on: swarm.system.home) { [weak self] event in self?.events.withLock { $0.append(event) } }
        observation.withLock { $0 = made }
    }

    var all: [SwarmEvent] { events.withLock { $0 } }
    var refusals: [Refusal] { all.compactMap { if case .refused(_, let refusal) = $0 { refusal } else { nil } } }
    var peersConnected: [PeerID] { all.compactMap { if case .peerConnected(let peer) = $0 { peer } else { nil } } }
    var peersDisconnected: [PeerID] { all.compactMap { if case .peerDisconnected(let peer) = $0 { peer } else { nil } } }
    var closeReasons: [CloseReason] { all.compactMap { if case .disconnected(_, let reason) = $0 { reason } else { nil } } }
}

/// The error that `body` throws.
func failure(of body: () async throws -> some Any) async -> (any Error)? {
    do {
        _ = try await body()
        return nil
    } catch { return error }
}
