import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation
import WaggleTestSupport

@testable import WaggleServices

/// The numbers of messages: what is old is not delivered, now or after a restart.
struct SequenceTests {
    private func message(_ author: PeerID, _ number: UInt64) throws -> PubSubMessage {
        var sequence = ByteWriter(capacity: 8)
        sequence.write(integer: number)
        let made = try #require(GossipMessage.make(from: author.bytes, data: "x", sequence: sequence.finish(), topic: "t", key: nil, sign: nil))
        return PubSubMessage(message: made, topic: "t", receivedFrom: author)
    }

    private func withStore(_ body: @escaping @Sendable (any System, any KeyValueStore) async throws -> Void) throws {
        let world = World(seed: 31)
        try world.run(limit: PubSubLimits.sequenceLifetime * 2) {
            let system = world.host("node").system
            try await body(system, try system.openStore("/data", tables: Node.tables, capacity: 1 << 24))
        }
    }

    @Test func theyAreReadAgain() throws {
        try withStore { system, store in
            let sequences = SequenceGuard(system: system, store: store)
            for number in 0..<300 { #expect(try sequences.admits(message(Bench.peer(number), 5))) }
            #expect(try sequences.reset(Bench.peer(7)) == 1)
            await sequences.close()
            let again = SequenceGuard(system: system, store: store)
            #expect(try again.highest(of: Bench.peer(299)) == 5)
            #expect(try again.admits(message(Bench.peer(3), 5)) == false)
            #expect(try again.admits(message(Bench.peer(3), 6)))
            #expect(try again.admits(message(Bench.peer(7), 1)))
            #expect(again.reset(nil) == 300)
            await again.close()
            let rows = try store.read { try $0.count(SequenceGuard.table) }
            #expect(rows == 0)
        }
    }

    /// Without a close: written behind a second later.
    @Test func theyAreWrittenSoon() throws {
        try withStore { system, store in
            let sequences = SequenceGuard(system: system, store: store)
            #expect(try sequences.admits(message(Bench.peer(1), 5)))
            try await system.home.sleep(until: system.home.now + PubSubLimits.sequenceDelay + .milliseconds(100))
            let again = SequenceGuard(system: system, store: store)
            #expect(try again.admits(message(Bench.peer(1), 5)) == false)
        }
    }

    @Test func theyEndWithTheirTime() throws {
        try withStore { system, store in
            let sequences = SequenceGuard(system: system, store: store)
            for number in 1...2 { #expect(try sequences.admits(message(Bench.peer(number), 5))) }
            await sequences.close()
            try await system.home.sleep(until: system.home.now + PubSubLimits.sequenceLifetime + .seconds(60))
            let again = SequenceGuard(system: system, store: store)
            #expect(try again.highest(of: Bench.peer(1)) == nil)
            // One that lives on forgets them, too.
            #expect(try sequences.admits(message(Bench.peer(1), 4)))
            await again.close()
            let rows = try store.read { try $0.count(SequenceGuard.table) }
            #expect(rows == 0)
        }
    }

    /// Strangers without end do not push out those who keep talking; in the store there are no more than in memory.
    @Test func floodsOfAuthorsPushOutTheQuiet() throws {
        try withStore { system, store in
            let sequences = SequenceGuard(system: system, store: store)
            let regular = try Bench.peer(-1)
            for number in 0..<(PubSubLimits.sequencedAuthors + 3000) {
                if number % 1000 == 0 { #expect(sequences.raise(regular, to: UInt64(number) + 1)) }
                #expect(try sequences.raise(Bench.peer(number), to: 1))
            }
            #expect(sequences.highest(of: regular) != nil)
            #expect(try sequences.highest(of: Bench.peer(0)) == nil)
            await sequences.close()
            let rows = try store.read { try $0.count(SequenceGuard.table) }
            #expect(rows == PubSubLimits.sequencedAuthors)
        }
    }

    @Test func replaysAfterARestartAreNotDelivered() throws {
        let world = World(seed: 32)
        try world.run {
            let author = try identity(9)
            func signed(_ number: UInt8) throws -> Bytes {
                try #require(
                    GossipMessage.make(
                        from: author.peer.bytes, data: [number], sequence: [0, 0, 0, 0, 0, 0, 0, number], topic: "t", key: nil
                    ) { author.key.sign($0) }
                ).field
            }
            let old = try signed(1), new = try signed(2)
            var pubsub = PubSubConfiguration()
            pubsub.checksSequence = true
            let sender = try await world.gossiper("sender") { $0.pubsub = nil }
            let host = world.host("victim")
            var configuration = NodeConfiguration.preset(.lan)
            configuration.channels = { [PlainChannel($0)] }
            configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
            configuration.pubsub = pubsub
            configuration.identity = try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: 8, count: 32)))
            for round in 0..<2 {
                let store = try host.system.openStore("/data", tables: Node.tables, capacity: 1 << 24)
                let victim = try await Node(configuration, on: host.system, store: store)
                try await victim.start()
                let topic = try await victim.topics.join("t")
                let connection = try await sender.connect(victim.dialable)
                let stream = try await connection.openStream(["/meshsub/1.1.0"])
                for field in round == 0 ? [old] : [old, new] { try await stream.writeMessage(field) }
                let said = await first(1, of: topic).first?.data
                #expect(said == [UInt8(round + 1)])
                #expect(try victim.topics.counters.ignored == UInt64(round))
                await victim.close()
                await store.close()
            }
            await sender.close()
        }
    }

    /// Others refuse what does not rise.
    @Test func ourOwnRiseThoughTheClockFalls() throws {
        let world = World(seed: 33)
        try world.run {
            let host = world.host("node")
            var configuration = NodeConfiguration.preset(.lan)
            configuration.channels = { [PlainChannel($0)] }
            configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
            configuration.pubsub = PubSubConfiguration()
            configuration.identity = try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: 8, count: 32)))
            var numbers: [UInt64] = []
            for _ in 0..<2 {
                let store = try host.system.openStore("/data", tables: Node.tables, capacity: 1 << 24)
                let node = try await Node(configuration, on: host.system, store: store)
                try await node.start()
                let topic = try await node.topics.join("t")
                try await topic.publish("x")
                numbers.append(try #require(await first(1, of: topic).first?.sequenceNumber))
                await node.close()
                await store.close()
                host.wallClockSkew = .seconds(-3600)
            }
            #expect(numbers[1] > numbers[0])
        }
    }

    @Test func resultsKeepTheirOrder() {
        var order = InOrder<String>()
        let numbers = (0..<3).map { _ in order.begin() }
        order.end(numbers[2], "c")
        #expect(order.next() == nil)
        order.end(numbers[0], "a")
        #expect(order.next() == "a")
        #expect(order.next() == nil)
        order.end(numbers[1], "b")
        #expect(order.next() == "b")
        #expect(order.next() == "c")
        #expect(order.next() == nil)
    }
}
