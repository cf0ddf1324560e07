import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

@Suite struct BitswapNodeTests {
    @Test func twoNodesExchangeAGraph() throws {
        try withWorld { world in
            let alice = try await ContentNode.start(world, "alice")
            let bob = try await ContentNode.start(world, "bob")
            let tree = TestTree(seed: 1, leaves: 120, leafSize: 5000, fanOut: 20)
            try await alice.blocks.put(tree.blocks)
            try await bob.connect(to: alice)
            try await bob.pin(tree.root)
            #expect(try await TestRepository.isWhole(tree.root, bob.repository))
            let size = tree.blocks.reduce(0) { $0 + $1.bytes.count }
            let given = try #require(await alice.bitswap.ledger(of: bob.peer))
            let taken = try #require(await bob.bitswap.ledger(of: alice.peer))
            #expect(given.bytesSent == size && given.blocksSent == tree.blocks.count && given.wants == 0)
            #expect(taken.bytesReceived == size && taken.blocksReceived == tree.blocks.count)
            let statistics = await bob.bitswap.statistics()
            #expect(statistics.duplicateBlocks == 0 && statistics.unrequestedBlocks == 0 && statistics.wantlist.isEmpty)
            #expect(await alice.bitswap.wantlist(of: bob.peer).isEmpty)
        }
    }

    @Test func readersGetBlocksInOrderAndTheStoreKeepsThem() throws {
        try withWorld(seed: 2) { world in
            let alice = try await ContentNode.start(world, "alice")
            let bob = try await ContentNode.start(world, "bob")
            let tree = TestTree(seed: 2, leaves: 150, leafSize: 4000)
            try await alice.blocks.put(tree.blocks)
            try await bob.connect(to: alice)
            try await bob.read(tree)
            // The second time without the network.
            try await bob.until { try bob.blocks.totals().blocks == tree.blocks.count }
            await alice.node.close()
            try await bob.read(tree)
        }
    }

    @Test func everyPairOfVersionsWorks() throws {
        let versions: [[ProtocolID]] = [["/ipfs/bitswap/1.2.0"], ["/ipfs/bitswap/1.1.0"], ["/ipfs/bitswap/1.0.0"], ["/ipfs/bitswap"]]
        for (number, version) in versions.enumerated() {
            try withWorld(seed: UInt64(number)) { world in
                // Old against new, both ways.
                let old = try await ContentNode.start(world, "old", protocols: version)
                let new = try await ContentNode.start(world, "new")
                let trees = [TestTree(seed: 3, leaves: 20), TestTree(seed: 4, leaves: 20)]
                try await old.blocks.put(trees[0].blocks)
                try await new.blocks.put(trees[1].blocks)
                try await old.connect(to: new)
                try await new.pin(trees[0].root)
                try await old.pin(trees[1].root)
                #expect(try await TestRepository.isWhole(trees[0].root, new.repository))
                #expect(try await TestRepository.isWhole(trees[1].root, old.repository))
            }
        }
    }

    @Test(arguments: [0, 5, 8, 11] as [UInt64]) func manyPeersShareTheWork(seed: UInt64) throws {
        try withWorld(seed: seed) { world in
            let reader = try await ContentNode.start(world, "reader")
            let tree = TestTree(seed: 5, leaves: 300, leafSize: 3000, fanOut: 30)
            var servers: [ContentNode] = []
            for number in 0..<4 {
                let server = try await ContentNode.start(world, "server \(number)")
                // The last one has only every third block.
                try await server.blocks.put(
                    number < 3 ? tree.blocks : tree.blocks.enumerated().filter { $0.offset % 3 == 0 }.map(\.element))
                try await reader.connect(to: server)
                servers.append(server)
            }
            try await reader.pin(tree.root)
            #expect(try await TestRepository.isWhole(tree.root, reader.repository))
            var sent: [Int] = []
            for server in servers { sent.append(await server.bitswap.ledger(of: reader.peer)?.blocksSent ?? 0) }
            // Nobody has to do it all, whoever happens to be first.
            #expect(sent.filter { $0 > tree.blocks.count / 20 }.count >= 2, "\(sent)")
            let statistics = await reader.bitswap.statistics()
            #expect(statistics.duplicateBlocks < tree.blocks.count / 20, "\(statistics.duplicateBlocks)")
        }
    }

    @Test func wantsOutliveTheAbsenceOfPeers() throws {
        try withWorld(seed: 6) { world in
            let alice = try await ContentNode.start(world, "alice")
            let bob = try await ContentNode.start(world, "bob")
            let tree = TestTree(seed: 6, leaves: 30)
            // Bob asks before he knows anybody.
            async let pinned: Void = bob.pin(tree.root)
            try await world.sleep(for: .seconds(3))
            try await alice.connect(to: bob)
            try await world.sleep(for: .seconds(1))
            // And Alice gets the blocks after he asked her.
            #expect(await alice.bitswap.wantlist(of: bob.peer) == [tree.root])
            try await alice.blocks.put(tree.blocks)
            try await pinned
            #expect(try await TestRepository.isWhole(tree.root, bob.repository))
        }
    }

    @Test func blocksStoredHereEndTheWant() throws {
        try withWorld(seed: 7) { world in
            let bob = try await ContentNode.start(world, "bob")
            let block = TestBlocks.raw("late")
            async let bytes = bob.bitswap.withSession { try await $0.block(block.cid) }
            try await world.sleep(for: .seconds(1))
            try await bob.blocks.put([block])
            let received = try await bytes
            #expect(received == block.bytes)
            #expect(await bob.bitswap.statistics().wantlist.isEmpty)
        }
    }

    @Test func givingUpCancelsTheWant() throws {
        try withWorld(seed: 8) { world in
            let alice = try await ContentNode.start(world, "alice")
            let bob = try await ContentNode.start(world, "bob")
            try await bob.connect(to: alice)
            let cid = testCID(1)
            let session = await bob.bitswap.makeSession()
            async let bytes = session.block(cid)
            try await bob.until { await alice.bitswap.wantlist(of: bob.peer) == [cid] }
            await session.close()
            do {
                _ = try await bytes
                Issue.record("the reader got a block that nobody has")
            } catch { #expect(error is CancellationError) }
            try await bob.until { await alice.bitswap.wantlist(of: bob.peer).isEmpty }
            #expect(await bob.bitswap.statistics().wantlist.isEmpty)
        }
    }

    @Test func corruptedBlocksAreNeverServed() throws {
        try withWorld(seed: 9) { world in
            let alice = try await ContentNode.start(world, "alice")
            let carol = try await ContentNode.start(world, "carol")
            let bob = try await ContentNode.start(world, "bob")
            let block = TestBlocks.raw("precious")
            try await alice.blocks.put([block])
            try await TestRepository.corrupt(block.cid, alice.repository)
            try await bob.connect(to: alice)
            async let bytes = bob.bitswap.withSession { try await $0.block(block.cid) }
            try await world.sleep(for: .seconds(2))
            #expect(await alice.bitswap.ledger(of: bob.peer)?.blocksSent == 0)
            #expect(alice.blocks.corruptionsSeen == 1)
            try await carol.blocks.put([block])
            try await bob.connect(to: carol)
            let received = try await bytes
            #expect(received == block.bytes)
            // Who reads its corrupted block through a session heals it.
            try await alice.connect(to: carol)
            #expect(try await alice.bitswap.withSession { try await $0.block(block.cid) } == block.bytes)
            try await alice.until { try await alice.blocks.get([block.cid]) == [.found(block.bytes)] }
        }
    }

    @Test func transfersSurviveFaults() throws {
        for seed in 0..<6 as Range<UInt64> {
            try withWorld(seed: seed) { world in
                let servers = [try await ContentNode.start(world, "a"), try await ContentNode.start(world, "b")]
                let reader = try await ContentNode.start(world, "reader")
                let tree = TestTree(seed: seed, leaves: 200, leafSize: 4000)
                for server in servers {
                    try await server.blocks.put(tree.blocks)
                    try await reader.connect(to: server)
                }
                async let pinned: Void = reader.pin(tree.root)
                var random = TestRandom(seed)
                for _ in 0..<3 {
                    try await world.sleep(for: .milliseconds(Int.random(in: 5...60, using: &random)))
                    let server = servers[Int.random(in: 0...1, using: &random)]
                    if Bool.random(using: &random) {
                        world.resetConnections(between: reader.host, and: server.host)
                    } else {
                        world.partition(reader.host, server.host)
                        try await world.sleep(for: .milliseconds(Int.random(in: 100...5000, using: &random)))
                        world.heal(reader.host, server.host)
                    }
                    // Whoever keeps the node connected does this.
                    for server in servers { try await reader.connect(to: server) }
                }
                try await pinned
                #expect(try await TestRepository.isWhole(tree.root, reader.repository), "seed \(seed)")
            }
        }
    }

    @Test func aServerThatDiesIsReplaced() throws {
        try withWorld(seed: 11) { world in
            let first = try await ContentNode.start(world, "first")
            let second = try await ContentNode.start(world, "second")
            let reader = try await ContentNode.start(world, "reader")
            let tree = TestTree(seed: 11, leaves: 200, leafSize: 4000)
            for server in [first, second] {
                try await server.blocks.put(tree.blocks)
                try await reader.connect(to: server)
            }
            async let pinned: Void = reader.pin(tree.root)
            try await world.sleep(for: .milliseconds(60))
            // Without a word: only its silence tells.
            first.host.crash()
            try await pinned
            #expect(try await TestRepository.isWhole(tree.root, reader.repository))
        }
    }

    @Test func providersAreSearchedAndDialed() throws {
        try withWorld(seed: 12) { world in
            let alice = try await ContentNode.start(world, "alice")
            let tree = TestTree(seed: 12, leaves: 20)
            try await alice.blocks.put(tree.blocks)
            let routing = TestRouting([ContentProvider(peer: alice.peer, addresses: alice.node.listenAddresses)])
            let bob = try await ContentNode.start(world, "bob", routing: routing)
            try await bob.pin(tree.root)
            #expect(try await TestRepository.isWhole(tree.root, bob.repository))
            let asked = routing.asked.withLock { $0 }
            #expect(asked == [tree.root])
        }
    }

    @Test func memoryStaysBoundedWhileNobodyReads() throws {
        try withWorld(seed: 13) { world in
            let alice = try await ContentNode.start(world, "alice")
            let bob = try await ContentNode.start(world, "bob")
            let tree = TestTree(seed: 13, leaves: 90, leafSize: 500_000, fanOut: 100)
            try await alice.blocks.put(tree.blocks)
            try await bob.connect(to: alice)
            try await bob.bitswap.withSession { session in
                // Everything is announced, nothing is taken.
                session.prefetch(tree.blocks.map(\.cid))
                try await bob.until { try bob.blocks.totals().blocks == tree.blocks.count }
                let held = await session.heldBytes
                #expect(held <= BitswapLimits.fetchedAhead.bytes && held > 0)
                for block in tree.blocks { #expect(try await session.block(block.cid) == block.bytes) }
                #expect(await session.heldBytes <= BlockStoreLimits.readAhead.bytes + (4 << 20))
            }
        }
    }

    @Test func theSameSeedGivesTheSameTrace() throws {
        func trace() throws -> Trace {
            let world = World(seed: 14)
            try world.run {
                let alice = try await ContentNode.start(world, "alice")
                let bob = try await ContentNode.start(world, "bob")
                let tree = TestTree(seed: 14, leaves: 60, leafSize: 2000)
                try await alice.blocks.put(tree.blocks)
                try await bob.connect(to: alice)
                try await bob.pin(tree.root)
            }
            return world.trace
        }
        #expect(try trace() == trace())
    }
}

private final class TestRouting: ContentRouting {
    let providers: [ContentProvider]
    let asked = Mutex<[CID]>([])
    init(_ providers: [ContentProvider]) { self.providers = providers }

    func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        asked.withLock { $0.append(cid) }
        for provider in providers { guard await found(provider) else { return } }
    }

    func provide(_ cid: CID) async throws {}
}
