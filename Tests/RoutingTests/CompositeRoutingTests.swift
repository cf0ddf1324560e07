import Synchronization
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

/// A router that answers what it is told to.
private struct FixedRouter: ContentRouting, PeerRouting, ValueRouting {
    var providers: [ContentProvider] = []
    var addresses: [Multiaddr] = []
    var values: [Bytes] = []
    var failure: RoutingError?
    var failed: Set<CID> = []

    func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        if let failure { throw failure }
        for provider in providers where await !found(provider) { return }
    }
    func provide(_ cid: CID) async throws { if let failure { throw failure } }
    func provide(many cids: [CID]) async throws -> ProvideOutcome {
        if let failure { throw failure }
        var outcome = ProvideOutcome()
        outcome.failed = cids.filter(failed.contains)
        outcome.records = cids.count - outcome.failed.count
        return outcome
    }
    func findPeer(_ peer: PeerID) async throws -> [Multiaddr] {
        if let failure { throw failure }
        return addresses
    }
    func putValue(_ value: Bytes, for key: Bytes) async throws { if let failure { throw failure } }
    func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        if let failure { throw failure }
        for value in values where await !found(value) { return }
    }
}

@Suite struct CompositeRoutingTests {
    private func composite(_ routers: [FixedRouter], ignoring: Set<PeerID> = []) -> CompositeRouting {
        var all = CompositeRouting.Routers()
        for router in routers { all.add(router) }
        all.ignored = ignoring
        return CompositeRouting(all)
    }

    private func provider(_ number: UInt8) -> ContentProvider { ContentProvider(peer: testPeer(number), addresses: []) }
    private let cid = KeyspaceKey(testHash(1)).cid!

    private func providers(_ routing: CompositeRouting, limit: Int = .max) async throws -> [PeerID] {
        let found = Mutex<[PeerID]>([])
        try await routing.findProviders(of: cid) { provider in
            found.withLock {
                $0.append(provider.peer)
                return $0.count < limit
            }
        }
        return found.withLock { $0 }
    }

    @Test func eachProviderIsToldOnce() throws {
        try withHost { _, _ in
            let routing = composite(
                [FixedRouter(providers: [1, 2, 3].map { provider($0) }), FixedRouter(providers: [3, 4].map { provider($0) }), FixedRouter(failure: .notFound)],
                ignoring: [testPeer(2)])
            let all = try await providers(routing)
            #expect(Set(all) == Set([1, 3, 4].map { testPeer($0) }) && all.count == 3)
            let one = try await providers(routing, limit: 1)
            #expect(one.count == 1)
            // Nobody left, and nobody there.
            await #expect(throws: RoutingError.notFound) { _ = try await providers(composite([FixedRouter(failure: .notFound), FixedRouter(failure: .notFound)])) }
            await #expect(throws: RoutingError.noRouter) { _ = try await providers(composite([])) }
        }
    }

    @Test func oneRouterThatTakesItIsEnough() throws {
        try withHost { _, _ in
            let other = KeyspaceKey(testHash(2)).cid!
            let routing = composite([FixedRouter(failure: .unsupported), FixedRouter(failed: [cid]), FixedRouter(failed: [cid, other])])
            try await routing.provide(cid)
            try await routing.putValue("value", for: "/ipns/x")
            let outcome = try await routing.provide(many: [cid, other])
            #expect(outcome.failed == [cid] && outcome.records == 1)
            let address = try #require(Multiaddr("/ip4/1.2.3.4/tcp/4001"))
            #expect(try await composite([FixedRouter(), FixedRouter(addresses: [address]), FixedRouter(addresses: [address])]).findPeer(testPeer(1)) == [address])
        }
    }

    @Test func onlyBetterValuesAreTold() throws {
        try withHost { _, _ in
            let key = try testKey(1)
            let name = IPNSName(PeerID(key.publicKey))
            let records = try (0..<4).map { try IPNSRecord(.init(value: "/ipfs/bafkqaaa", sequence: UInt64($0), validity: newYear), with: key).encoded }
            let routing = composite([FixedRouter(values: [records[1], records[3]]), FixedRouter(values: [records[0], records[2], records[3]])])
            let told = Mutex<[UInt64]>([])
            try await routing.values(for: name.routingKey) { value in
                told.withLock { told in told.append((try? IPNSRecord(decoding: value).sequence) ?? 99) }
                return true
            }
            let sequences = told.withLock { $0 }
            #expect(sequences == sequences.sorted() && Set(sequences).count == sequences.count && sequences.last == 3)
        }
    }
}
