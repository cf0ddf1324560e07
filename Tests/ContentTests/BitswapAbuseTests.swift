import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

/// Peers that misbehave, next to an honest one that must still be served.
@Suite struct BitswapAbuseTests {
    typealias Entry = BitswapMessage.Entry

    /// A victim with a graph and an honest client that fetches it while the rude peer goes on.
    private func withVictim(
        seed: UInt64, _ rudeness: @escaping @Sendable (World, ContentNode, TestTree) async throws -> Void,
        after: @escaping @Sendable (ContentNode, ContentNode) async throws -> Void = { _, _ in }
    ) throws {
        try withWorld(seed: seed) { world in
            let victim = try await ContentNode.start(world, "victim")
            let honest = try await ContentNode.start(world, "honest")
            let tree = TestTree(seed: seed, leaves: 60, leafSize: 4000)
            try await victim.blocks.put(tree.blocks)
            try await honest.connect(to: victim)
            async let rude: Void = rudeness(world, victim, tree)
            try await world.sleep(for: .milliseconds(50))
            try await honest.pin(tree.root)
            #expect(try await TestRepository.isWhole(tree.root, honest.repository))
            try await rude
            try await after(victim, honest)
        }
    }

    @Test func wrongDataIsNeverTaken() throws {
        try withWorld(seed: 1) { world in
            let bob = try await ContentNode.start(world, "bob")
            let block = TestBlocks.raw("right")
            // Answers every want with other bytes under the right prefix.
            let liar = try await RudePeer(world, "liar") { message, stream, me in
                var answer = BitswapMessage()
                for entry in message.entries where !entry.cancel {
                    answer.payloads.append(.init(prefix: BlockPrefix(entry.cid), data: "wrong"))
                    answer.presences.append(.init(cid: entry.cid, isHere: true))
                }
                try await me.send(answer, to: stream.peer)
            }
            try await bob.node.connect(liar.node.listenAddresses[0].with(peer: liar.node.peer))
            async let bytes = bob.bitswap.withSession { try await $0.block(block.cid) }
            try await world.sleep(for: .seconds(5))
            #expect(await bob.bitswap.statistics().unrequestedBlocks > 0)
            let carol = try await ContentNode.start(world, "carol")
            try await carol.blocks.put([block])
            try await bob.connect(to: carol)
            let received = try await bytes
            #expect(received == block.bytes)
            let wrong = try await bob.blocks.get(TestBlocks.raw("wrong").cid)
            #expect(wrong == nil)
        }
    }

    @Test func unrequestedBlocksAreDroppedAndThenTheirSenderIgnored() throws {
        try withVictim(seed: 2) { world, victim, _ in
            let rude = try await RudePeer(world, "rude")
            try await rude.talk(to: victim) { stream in
                for number in 0..<200 {
                    var message = BitswapMessage()
                    message.payloads = [.init(prefix: BlockPrefix(testCID(0)), data: Bytes(utf8: "unasked \(number)"))]
                    try await stream.writeMessage(message.encode(.v1_2))
                }
            }
            try await victim.until { await victim.bitswap.statistics().unrequestedBlocks > BitswapLimits.unrequestedBlocks }
        } after: { victim, _ in
            #expect(await victim.bitswap.statistics().unrequestedBlocks == BitswapLimits.unrequestedBlocks + 1)
            let ignored = victim.bitswap.ignored.withLock { $0.count }
            #expect(ignored == 1)
            let report = await victim.node.metrics.collect()
            #expect(report.value("waggle_reputation_offences_total", ["offence": "unrequested-blocks"]) == 1)
            let stored = try await victim.blocks.get(TestBlocks.raw("unasked 1").cid)
            #expect(stored == nil)
        }
    }

    @Test func hugeWantlistsAreCut() throws {
        try withVictim(seed: 3) { world, victim, tree in
            let rude = try await RudePeer(world, "rude")
            try await rude.talk(to: victim) { stream in
                for batch in 0..<6 {
                    var message = BitswapMessage()
                    message.entries = (0..<2000).map { Entry(cid: testCID(batch * 2000 + $0), sendDontHave: true) }
                    try await stream.writeMessage(message.encode(.v1_2))
                }
            }
            try await victim.until { await victim.bitswap.statistics().messagesReceived > 6 }
            #expect(await victim.bitswap.wantlist(of: rude.node.peer).count <= BitswapLimits.wantsPerPeer)
        }
    }

    @Test func endlessCancelsCostLittle() throws {
        try withVictim(seed: 4) { world, victim, tree in
            let rude = try await RudePeer(world, "rude")
            try await rude.talk(to: victim) { stream in
                for _ in 0..<100 {
                    var message = BitswapMessage()
                    message.entries = tree.blocks.map { Entry(cid: $0.cid) } + tree.blocks.map { .cancel($0.cid) }
                    try await stream.writeMessage(message.encode(.v1_2))
                }
            }
            try await victim.until { await victim.bitswap.wantlist(of: rude.node.peer).isEmpty }
        } after: { victim, _ in
            await victim.node.system.home.run { #expect(victim.bitswap.server.rows < 200) }
        }
    }

    @Test func oversizedAndMalformedMessagesResetTheStream() throws {
        try withVictim(seed: 5) { world, victim, _ in
            let rude = try await RudePeer(world, "rude")
            var length = ByteWriter()
            length.write(varint: UInt64(BitswapLimits.message.bytes + 1))
            let tooLong = length.finish()
            for bytes in [tooLong, Bytes([3, 0xff, 0xff, 0xff]), Bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])] {
                await #expect(throws: StreamError.self) {
                    try await rude.talk(to: victim) { stream in
                        try await stream.write(bytes)
                        _ = try await stream.read()
                    }
                }
            }
            #expect(victim.node.swarm.isConnected(rude.node.peer))
            // Only what was a message counts.
            let standing = victim.node.swarm.reputation.standing(of: rude.node.peer)
            #expect(standing?.lastOffence == "malformed-message" && standing?.offences == 1)
        }
    }

    @Test func aPeerThatNeverReadsHoldsUpNobody() throws {
        try withWorld(seed: 6) { world in
            let victim = try await ContentNode.start(world, "victim")
            let honest = try await ContentNode.start(world, "honest")
            let tree = TestTree(seed: 6, leaves: 40, leafSize: 500_000, fanOut: 100)
            try await victim.blocks.put(tree.blocks)
            // Takes streams and never reads from them.
            let rude = try await RudePeer(world, "rude") { _, stream, _ in
                try await stream.connection.loop.sleep(until: stream.connection.loop.now + .seconds(3600))
            }
            try await rude.talk(to: victim) { stream in
                var message = BitswapMessage()
                message.entries = tree.blocks.map { Entry(cid: $0.cid) }
                try await stream.writeMessage(message.encode(.v1_2))
            }
            try await world.sleep(for: .seconds(1))
            try await honest.connect(to: victim)
            try await honest.pin(tree.root)
            #expect(try await TestRepository.isWhole(tree.root, honest.repository))
            // After a while its wants are given up, and with them the memory.
            try await world.sleep(for: .seconds(200))
            let inFlight = await victim.node.system.home.run { victim.bitswap.server.bytesInFlight }
            #expect(inFlight <= 2 * BitswapLimits.targetMessage.bytes)
        }
    }

    @Test func leavingPeersLeaveNothingBehind() throws {
        try withWorld(seed: 7) { world in
            let victim = try await ContentNode.start(world, "victim")
            for number in 0..<5 {
                let rude = try await RudePeer(world, "rude \(number)")
                try await rude.talk(to: victim) { stream in
                    var message = BitswapMessage()
                    message.entries = (0..<500).map { Entry(cid: testCID($0)) }
                    try await stream.writeMessage(message.encode(.v1_2))
                }
                try await victim.until { await victim.bitswap.wantlist(of: rude.node.peer).count == 500 }
                await rude.node.close()
            }
            try await victim.until { victim.node.swarm.peers.isEmpty }
            try await world.sleep(for: .seconds(1))
            await victim.node.system.home.run {
                #expect(victim.bitswap.server.rows == 0 && victim.bitswap.server.totalWants == 0)
                #expect(victim.bitswap.client.rows == 0 && victim.bitswap.links.isEmpty)
            }
        }
    }
}
