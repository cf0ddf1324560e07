import Testing
import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

@testable import WaggleStack

@Suite struct ChainNodeTests {
    @Test func nodesOfAChainIdentifyPingMeasureAndExchangeBlocks() throws {
        let world = World(seed: 3)
        try world.run {
            var nodes: [(node: Node, store: Repository, bitswap: Bitswap)] = []
            for (name, who) in [("alice", ChainNode.alice), ("bob", ChainNode.bob)] {
                let node = try await world.chainNode(name, who, .init(.init(chain: 5))) { $0.servesPerf = true }
                try Repository.initialize(at: "/repo", configuration: "{}", on: node.system)
                let store = try Repository.open("/repo", on: node.system)
                let bitswap = Bitswap(store: store.blocks)
                node.add(bitswap)
                try await node.start()
                nodes.append((node, store, bitswap))
            }
            let (alice, bob) = (nodes[0], nodes[1])
            let connection = try await bob.node.connect(alice.node.dialable)
            #expect(connection.security.channel == "/animica/1" && connection.security.transcriptVerified)
            #expect(connection.security.keyExchange == "ML-KEM-768 mutual" && connection.security.signature == "ML-DSA-65")
            // Identify: the key of 1,952 bytes and the signed record arrive.
            try await bob.node.until { !bob.node.swarm.addressBook.protocols(of: alice.node.peer).isEmpty }
            #expect(bob.node.swarm.addressBook.protocols(of: alice.node.peer).contains("/perf/1.0.0"))
            #expect(try await #require(bob.node.ping).ping(alice.node.peer) > .zero)
            let size = 300_000
            let sent = try await bob.node.swarm.withStream(to: alice.node.peer, ["/perf/1.0.0"]) { stream in
                var head = ByteWriter(capacity: 8)
                head.write(integer: UInt64(size))
                try await stream.write(head.finish())
                try await stream.write(Bytes([UInt8](repeating: 7, count: 100_000)))
                stream.finish()
                return try await stream.readAll(limit: .mebibytes(1)).count
            }
            #expect(sent == size)
            let bytes = Bytes([UInt8](repeating: 42, count: 200_000))
            let cid = try CID(codec: .raw, hash: Multihash(.sha2_256, digest: SHA256.hash(bytes.span).bytes))
            try await alice.store.blocks.put([Block(cid: cid, bytes: bytes)])
            #expect(try await bob.bitswap.withSession { try await $0.block(cid) } == bytes)
            await alice.node.close()
            await bob.node.close()
        }
    }

    @Test func aClearErrorOnBothSidesForAnotherChain() throws {
        // Segments of any size: the refusal arrives however the hello was cut.
        for seed in 1...8 as ClosedRange<UInt64> {
            let world = World(seed: seed)
            try world.run {
                let alice = try await world.chainNode("alice", .alice, .init(.init(chain: 1), place: .only))
                let bob = try await world.chainNode("bob", .bob, .init(.init(chain: 2), place: .only))
                try await alice.start()
                try await bob.start()
                let seen = Failures(alice)
                do {
                    try await bob.connect(alice.dialable)
                    Issue.record("connected")
                } catch SwarmError.dialFailed(let failures) {
                    let refusal = HandshakeRefusal(.chain, ours: "2", theirs: "1", isByPeer: true)
                    #expect(failures.map(\.cause) == [.handshake(.handshake(.refused(refusal)))])
                }
                try await alice.until { !seen.all.isEmpty }
                #expect(seen.all == [.handshake(.refused(HandshakeRefusal(.chain, ours: "1", theirs: "2")))])
                await alice.close()
                await bob.close()
            }
        }
    }

    @Test func aNodeOfAChainSpeaksNoiseWithOthers() throws {
        let world = World(seed: 4)
        try world.run {
            let alice = try await world.chainNode("alice", .alice, .init(.init(chain: 1)))
            let bob = try await world.chainNode("bob", .bob, nil)
            let carol = try await world.chainNode("carol", .carol, .init(.init(chain: 1), place: .last))
            for node in [alice, bob, carol] { try await node.start() }
            #expect(try await bob.connect(alice.dialable).security.channel == "/noise-mlkem768-hfs/0.2.0")
            // The dialer's order counts.
            #expect(try await carol.connect(alice.dialable).security.channel == "/noise-mlkem768-hfs/0.2.0")
            for node in [alice, bob, carol] { await node.close() }
        }
    }

    @Test func hashBasedIdentitiesWorkOverBothChannels() throws {
        let world = World(seed: 5)
        try world.run {
            let alice = try await world.chainNode("alice", .hash, .init(.init(chain: 1)))
            let bob = try await world.chainNode("bob", .bob, .init(.init(chain: 1)))
            for node in [alice, bob] { try await node.start() }
            let connection = try await bob.connect(alice.dialable)
            #expect(connection.security.channel == "/animica/1" && connection.security.signature == "SLH-DSA-SHAKE-128s")
            #expect(try await #require(bob.ping).ping(alice.peer) > .zero)
            for node in [alice, bob] { await node.close() }
        }
    }

    @Test func anIdentityThatTheChainDoesNotAllowIsAnError() throws {
        let world = World(seed: 6)
        try world.run {
            var configuration = NodeConfiguration.preset(.lan)
            configuration.chain = ChainConfiguration(.init(chain: 1))
            do {
                _ = try await Node(configuration, on: world.host("alice").system)
                Issue.record("made")
            } catch let error as ChainError {
                #expect(error.description.hasPrefix("the chain network needs an identity of ML-DSA-65 or SLH-DSA-SHAKE-128s, and this node's is Ed25519"))
            }
        }
    }

    /// A node whose first name is of Ed25519 takes part with its second, and is one node under both names and on every channel.
    @Test func aNodeWithTwoIdentitiesTakesPart() throws {
        let world = World(seed: 9)
        try world.run {
            let who = try ChainNode(two: 21, 22)
            let second = try #require(who.identity.second)
            let two = try await world.chainNode("two", who, .init(.init(chain: 1))) { $0.secondIdentity = second.key }
            let alice = try await world.chainNode("alice", .alice, .init(.init(chain: 1)))
            let bob = try await world.chainNode("bob", .bob, .init(.init(chain: 1)))
            let stranger = try await world.chainNode("stranger", .carol, nil)
            for node in [two, alice, bob, stranger] { try await node.start() }
            for (node, name) in [(alice, two.peer), (bob, second.peer)] {
                let connection = try await node.connect(two.listenAddresses[0].with(peer: name))
                #expect(connection.security.channel == "/animica/1" && connection.security.signature == "Ed25519+ML-DSA-65")
                #expect(connection.peer == two.peer && connection.alias == second.peer)
                #expect(try await #require(node.ping).ping(second.peer) > .zero)
                try await node.until { !node.swarm.addressBook.protocols(of: second.peer).isEmpty }
            }
            // It dials, too, and is known.
            await alice.swarm.disconnect(two.peer)
            try await two.connect(alice.dialable)
            try await alice.until { alice.swarm.isConnected(second.peer) }
            #expect(alice.swarm.connections.map(\.security.channel) == ["/animica/1"])
            // The same pair over Noise.
            let connection = try await stranger.connect(two.listenAddresses[0].with(peer: second.peer))
            #expect(connection.security.channel == "/noise-mlkem768-hfs/0.2.0" && connection.alias == second.peer)
            for node in [two, alice, bob, stranger] { await node.close() }
        }
    }

    @Test func sessionsExpire() throws {
        let world = World(seed: 7)
        try world.run(limit: .seconds(48 * 3600)) {
            let alice = try await world.chainNode("alice", .alice, .init(.init(chain: 1)))
            let bob = try await world.chainNode("bob", .bob, .init(.init(chain: 1)))
            for node in [alice, bob] { try await node.start() }
            let connection = try await bob.connect(alice.dialable)
            try await world.sleep(for: AnimicaLimits.lifetime - .seconds(60))
            #expect(!connection.isClosed)
            try await world.sleep(for: .seconds(90))
            #expect(connection.isClosed)
            // The next dial begins a session with keys of its own.
            #expect(try await bob.connect(alice.dialable).security.channel == "/animica/1")
            for node in [alice, bob] { await node.close() }
        }
    }
}

/// The failed handshakes of a node.
private final class Failures: Sendable {
    private let found = Log()

    private final class Log: @unchecked Sendable { var errors: [UpgradeError] = [] }

    init(_ node: Node) {
        _ = node.swarm.observe(on: node.system.home) { [found] event in
            if case .handshakeFailed(_, _, let error) = event { found.errors.append(error) }
        }
    }

    var all: [UpgradeError] { found.errors }
}

extension World {
    fileprivate func chainNode(
        _ name: String, _ who: ChainNode, _ chain: ChainConfiguration?, _ change: (inout NodeConfiguration) -> Void = { _ in }
    ) async throws -> Node {
        let host = host(name)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.identity = who.identity.key
        configuration.chain = chain
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        change(&configuration)
        return try await Node(configuration, on: host.system)
    }
}

extension Node {
    var dialable: Multiaddr { listenAddresses[0].with(peer: peer) }

    /// Waits until `condition` holds.
    func until(_ limit: Duration = .seconds(60), _ condition: @Sendable () -> Bool) async throws {
        let home = system.home
        let end = home.now + limit
        while !condition() {
            guard home.now < end else { throw TestFailure() }
            try await home.sleep(until: home.now + .milliseconds(10))
        }
    }
}
