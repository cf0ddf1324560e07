import Synchronization
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

/// Runs `body` on the home loop of a simulated host.
func withHost<R: Sendable>(seed: UInt64 = 1, limit: Duration = .seconds(400_000), _ body: @escaping @Sendable (any System, World) async throws -> R) throws -> R {
    let world = World(seed: seed)
    let system = world.host("node").system
    return try world.run(limit: limit) { try await system.home.run { try await body(system, world) } }
}

func testHash(_ number: Int) -> Multihash {
    do { return try Multihash(.sha2_256, digest: SHA256.hash(Bytes(utf8: "block \(number)")).bytes) } catch { preconditionFailure("\(error)") }
}

func testPeer(_ number: UInt8) -> PeerID {
    do { return PeerID(try testKey(number).publicKey) } catch { preconditionFailure("\(error)") }
}

/// The records that a network keeps, for several nodes of a test.
final class RecordBoard: ValueRouting {
    private let state = Mutex<(values: [Bytes: [Bytes]], isDown: Bool, puts: Int)>(([:], false, 0))
    private let system: any System
    private let validator = IPNSValidator()

    init(_ system: any System) { self.system = system }

    var isDown: Bool {
        get { state.withLock { $0.isDown } }
        set { state.withLock { $0.isDown = newValue } }
    }
    var puts: Int { state.withLock { $0.puts } }

    /// Puts something there that a node would refuse.
    func smuggle(_ value: Bytes, for key: Bytes) { state.withLock { $0.values[key, default: []].insert(value, at: 0) } }
    func forget() { state.withLock { $0.values = [:] } }

    func putValue(_ value: Bytes, for key: Bytes) async throws {
        guard !isDown else { throw RoutingError.noRouter }
        try validator.validate(value, for: key, at: system.wallTime)
        state.withLock { state in
            state.puts += 1
            state.values[key, default: []].append(value)
        }
    }

    func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        guard !isDown else { throw RoutingError.noRouter }
        for value in state.withLock({ $0.values[key] ?? [] }) {
            guard await found(value) else { return }
        }
    }
}

/// Takes announcements and remembers when each block came.
final class AnnouncementBoard: ContentRouting {
    struct Call: Sendable {
        var at: Instant
        var keys: [Multihash]
    }

    private let home: any EventLoop
    private let state = Mutex<(calls: [Call], isDown: Bool)>(([], false))

    init(_ home: any EventLoop) { self.home = home }

    var calls: [Call] { state.withLock { $0.calls } }
    var keys: [Multihash] { calls.flatMap(\.keys) }
    var isDown: Bool {
        get { state.withLock { $0.isDown } }
        set { state.withLock { $0.isDown = newValue } }
    }
    func forget() { state.withLock { $0.calls = [] } }

    func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {}

    func provide(_ cid: CID) async throws { _ = try await provide(many: [cid]) }

    func provide(many cids: [CID]) async throws -> ProvideOutcome {
        let now = home.now
        guard !isDown else { throw RoutingError.noRouter }
        state.withLock { $0.calls.append(Call(at: now, keys: cids.map(\.multihash))) }
        var outcome = ProvideOutcome()
        outcome.records = cids.count * 20
        outcome.peers = 20
        outcome.lookups = 1
        return outcome
    }
}
