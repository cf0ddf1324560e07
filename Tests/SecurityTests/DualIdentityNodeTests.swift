import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleNetwork

/// Whole nodes, put together as the daemon's are, with a store.
@Suite struct DualIdentityNodeTests {
    private static func node(
        _ world: World, _ host: String, _ key: UInt8, second: UInt8? = nil, store: (any KeyValueStore)? = nil
    ) async throws -> Node {
        var configuration = NodeConfiguration.preset(.lan)
        configuration.identity = try testKey(key)
        configuration.secondIdentity = try second.map { try testSecondKey($0) }
        configuration.listen = [Multiaddr(world.host(host).address(port: 4001), over: .tcp)]
        let node = try await Node(configuration, on: world.host(host).system, store: store)
        try await node.start()
        return node
    }

    /// What a node knows of a pair of names survives its restart, so that an attacker cannot wait for one.
    @Test func thePairIsRememberedOverARestart() throws {
        let world = World(seed: 21)
        let host = world.host("alice")
        let (first, second) = (PeerID(try testKey(2).publicKey), PeerID(try testSecondKey(3).publicKey))
        try world.run {
            let store = try host.system.openStore("/data", tables: Node.tables, capacity: 1 << 26)
            let alice = try await Self.node(world, "alice", 1, store: store)
            let bob = try await Self.node(world, "bob", 2, second: 3)
            let identified = Recorder(alice.swarm)
            let connection = try await alice.connect(bob.listenAddresses[0].with(peer: second))
            #expect(connection.peer == first && connection.alias == second && connection.security.signature == "Ed25519+ML-DSA-65")
            // Identify and ping go on under the first name, and what they learn is found under both.
            try await alice.swarm.until { alice.swarm.addressBook.agentVersion(of: first) != nil }
            #expect(alice.swarm.addressBook.agentVersion(of: second) == bob.configuration.agentVersion)
            #expect(identified.all.contains { if case .identified(first, _) = $0 { true } else { false } })
            await alice.close()
            await bob.close()
            await store.close()
        }
        try world.run {
            let store = try host.system.openStore("/data", tables: Node.tables, capacity: 1 << 26)
            let alice = try await Self.node(world, "alice", 1, store: store)
            #expect(alice.swarm.addressBook.identities.partner(of: first) == second)
            let attacker = try await Self.node(world, "attacker", 2)
            let failures = Recorder(alice.swarm)
            _ = try? await alice.connect(attacker.listenAddresses[0].with(peer: first))
            #expect(alice.swarm.connections.isEmpty)
            let missing = UpgradeError.handshake(.identityRefused(IdentityRefusal(first, cause: .partnerMissing(second))))
            #expect(failures.failures.contains(missing))
            await alice.close()
            await attacker.close()
            await store.close()
        }
    }
}
