import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleServices

/// What remotes have done to other implementations, and every bound that a remote can reach.
struct PubSubAdvisoryTests {
    static let extremes: [UInt64] = [.max, .max - 1, 1 << 63, UInt64(Int64.max), UInt64(Int64.max) / 1_000_000_000 + 1, 0]

    @Test(arguments: PubSubAdvisoryTests.extremes)
    func backOffsNearTheEndOfTheNumbers(_ seconds: UInt64) throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        bench.control(0, [GossipEncoding.prune("t", backOff: seconds)])
        #expect(bench.machine.mesh(of: "t").isEmpty)
        guard let until = bench.machine.topics["t"]?.backOff[try Bench.peer(0)] else { throw TestError.unexpected }
        #expect(until - bench.now <= PubSubLimits.longestBackOff && until > bench.now)
        // It ends, and then the peer is grafted again.
        bench.beat(seconds == 0 ? 4 : 3620)
        #expect(bench.machine.mesh(of: "t").count == 1)
    }

    @Test func graftsForAMillionTopics() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.connect(0)
        _ = try bench.taken(0)
        var grafted = 0
        while grafted < 1_000_000 {
            // As many as fit into one RPC.
            var writer = ProtobufWriter(capacity: 1 << 20)
            var control = ByteWriter(capacity: 1 << 20)
            for _ in 0..<60_000 {
                control.write(GossipEncoding.graft(Bytes(utf8: "\(grafted)")))
                grafted += 1
            }
            writer.write(3, control.finish())
            bench.tell(.received(0, writer.finish()))
        }
        #expect(bench.machine.topics.count == 1)
        #expect(try bench.taken(0).flatMap(\.prunes).isEmpty)
        #expect(bench.machine.counters.receivedGrafts <= UInt64(17 * PubSubLimits.controlsPerRPC))
        #expect((bench.machine.score(of: try Bench.peer(0), at: bench.now) ?? 0) < 0)
    }

    @Test func subscriptionFloods() throws {
        var bench = try Bench()
        for number in 0..<70 as Range<UInt32> { try bench.connect(number) }
        for number in 0..<70 as Range<UInt32> {
            bench.send(number) { writer in
                for index in 0..<3000 { writer.raw(GossipEncoding.subscription(Bytes(utf8: "\(number)-\(index)"), true)) }
            }
        }
        #expect(bench.machine.topics.count <= PubSubLimits.foreignTopics)
        #expect(bench.machine.foreignTopics <= PubSubLimits.foreignTopics)
        #expect(bench.machine.peer(0)?.foreignTopics == PubSubLimits.foreignTopicsPerPeer)
        // What we join ourselves is known all the same, and all is forgotten with the peers.
        bench.tell(.joined("mine", TopicConfiguration()))
        bench.send(7) { $0.raw(GossipEncoding.subscription("mine", true)) }
        #expect(bench.machine.peers(of: "mine") == [try Bench.peer(7)])
        for number in 0..<70 as Range<UInt32> { bench.tell(.disconnected(number)) }
        #expect(bench.machine.topics.count == 1 && bench.machine.foreignTopics == 0)
    }

    @Test func subscribingAndLeavingAgainAndAgain() throws {
        var bench = try Bench()
        try bench.connect(0)
        for index in 0..<5000 {
            bench.send(0) { $0.raw(GossipEncoding.subscription(Bytes(utf8: "\(index)"), true)) }
            bench.send(0) { $0.raw(GossipEncoding.subscription(Bytes(utf8: "\(index)"), false)) }
        }
        #expect(bench.machine.topics.isEmpty && bench.machine.topicsBySerial.isEmpty && bench.machine.foreignTopics == 0)
    }

    /// Several control messages in one RPC do not make more of it.
    @Test func controlsAreCountedOverTheWholeRPC() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        bench.outputs = []
        bench.send(0) { writer in
            for _ in 0..<40 { writer.message(3) { for _ in 0..<100 { $0.raw(GossipEncoding.graft("other")) } } }
        }
        #expect(bench.machine.counters.receivedGrafts == UInt64(PubSubLimits.controlsPerRPC))
        #expect(bench.offences == 1)
    }

    /// One RPC of rubbish is worth no more of our time than it takes to see that it is rubbish.
    @Test(arguments: [true, false]) func anRPCOfUnreadableMessagesIsNotReadToTheEnd(_ isScored: Bool) throws {
        var parameters = GossipParameters()
        if !isScored { parameters.score = nil }
        var bench = try Bench(parameters)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        bench.outputs = []
        bench.send(0) { writer in for _ in 0..<10_000 { writer.raw([0x12, 1, 0xff]) } }
        #expect(bench.offences <= PubSubLimits.unreadablePerRPC + 1 && bench.offences > 1)
    }

    @Test func anRPCOfUnlawfulMessagesIsNotReadToTheEnd() throws {
        var bench = try Bench(policy: .strictSign)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        let message = try bench.message(50, "t")
        bench.outputs = []
        bench.send(0) { writer in for _ in 0..<1000 { writer.raw(message.field) } }
        #expect(bench.offences < 10)
        #expect(bench.machine.counters.rejected < 10)
    }

    @Test func topicNamesAreBounded() throws {
        var bench = try Bench()
        try bench.connect(0)
        bench.send(0) { $0.raw(GossipEncoding.subscription(Bytes([UInt8](repeating: 65, count: PubSubLimits.topicName + 1)), true)) }
        bench.send(0) { $0.raw(GossipEncoding.subscription("", true)) }
        #expect(bench.machine.topics.isEmpty)
    }

    @Test func filteredTopicsAreNotNoticed() throws {
        let local = try identity(255).peer
        let now = Instant(nanoseconds: 1)
        var machine = GossipMachine(
            local: local, parameters: GossipParameters(), policy: .authorOnly, rule: .authorAndSequence, allowsTopic: { $0 == "good" }, seed: 1, now: now)
        machine.handle(.connected(0, try Bench.peer(0), GossipTraits(version: .v12, isOutbound: false, ip: nil)), at: now)
        for topic in ["bad", "good"] as [Bytes] { machine.handle(.received(0, GossipEncoding.subscription(topic, true)), at: now) }
        #expect(machine.topics.count == 1 && machine.peers(of: "good").count == 1)
    }

    @Test func graftsDuringTheBackOffCost() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        bench.tell(.judged(try Bench.peer(0), -1))
        bench.beat()
        bench.tell(.judged(try Bench.peer(0), 0))
        _ = try bench.taken(0)
        for _ in 0..<4 {
            bench.control(0, [GossipEncoding.graft("t")])
            #expect(try bench.taken(0).flatMap(\.prunes).first?.backOff == 60)
        }
        #expect(bench.machine.mesh(of: "t").isEmpty)
        // Each counts twice so soon after.
        #expect(bench.machine.peer(0)?.score.behaviour ?? 0 > 7)
        #expect((bench.machine.score(of: try Bench.peer(0), at: bench.now) ?? 0) < 0)
        // The time begins anew with each.
        bench.beat(58)
        bench.control(0, [GossipEncoding.graft("t")])
        #expect(bench.machine.mesh(of: "t").isEmpty)
    }

    @Test func backOffsAreBounded() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        for number in 0..<(PubSubLimits.backOffsPerTopic + 500) {
            bench.tell(.connected(0, try Bench.peer(number), GossipTraits(version: .v12, isOutbound: false, ip: nil)))
            bench.control(0, [GossipEncoding.prune("t", backOff: 3600)])
            bench.tell(.disconnected(0))
        }
        #expect(bench.machine.topics["t"]?.backOff.count == PubSubLimits.backOffsPerTopic)
        bench.beat(3620)
        #expect(bench.machine.topics["t"]?.backOff.isEmpty == true)
    }

    @Test func gossipIsBounded() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        _ = try bench.taken(0)
        var number: UInt64 = 0
        for _ in 0..<30 {
            let ids = (0..<1000).map { _ -> Bytes in
                number += 1
                return Bytes(utf8: "id \(number)")
            }
            bench.control(0, [GossipEncoding.have("t", ids)])
        }
        // Five thousand ids, in ten messages, of one peer in a heartbeat.
        #expect(try bench.taken(0).flatMap(\.wants).count == 5000)
        bench.beat()
        for _ in 0..<30 {
            number += 1
            bench.control(0, [GossipEncoding.have("t", [Bytes(utf8: "id \(number)")])])
        }
        #expect(try bench.taken(0).flatMap(\.wants).count == 10)
        #expect(bench.machine.asked.count <= PubSubLimits.promises && bench.machine.promiseCount <= PubSubLimits.promises)
        // Ids that are longer than any are not taken.
        bench.beat()
        bench.control(0, [GossipEncoding.have("t", [Bytes([UInt8](repeating: 1, count: 257))])])
        #expect(try bench.taken(0).flatMap(\.wants).isEmpty)
    }

    @Test func announcementsAreBounded() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<2, "t", asks: true)
        var number = 0
        for _ in 0..<2000 {
            let ids = (0..<20).map { _ -> Bytes in
                number += 1
                return Bytes(utf8: "id \(number)")
            }
            bench.control(0, [GossipEncoding.doNotWant(ids)])
        }
        guard let peer = bench.machine.peer(0) else { throw TestError.unexpected }
        #expect(peer.unwanted.reduce(0) { $0 + $1.count } <= PubSubLimits.unwantedPerHeartbeat)
        #expect(bench.machine.hints.count == PubSubLimits.hintsPerPeer && bench.machine.hintPeers.count <= PubSubLimits.hintsPerPeer)
        bench.beat(4)
        #expect(peer.unwanted.isEmpty)
        #expect(bench.machine.hints.count == 0 && bench.machine.hintPeers.isEmpty)
    }

    /// Many peers that each refuse as much as they may.
    @Test func refusalsOfAllPeersAreBounded() throws {
        var bench = try Bench()
        let peers = UInt32(PubSubLimits.unwanted / PubSubLimits.unwantedPerHeartbeat + 2)
        for number in 0..<peers { try bench.connect(number) }
        let fields = (0..<410).map { group in GossipEncoding.doNotWant((0..<10).map { Bytes(utf8: "\(group * 10 + $0)") }) }
        for number in 0..<peers { bench.control(number, fields) }
        #expect(bench.machine.unwantedCount == PubSubLimits.unwanted)
        // What one of them takes back, and what goes with a peer or with time, makes room.
        bench.tell(.disconnected(0))
        #expect(bench.machine.unwantedCount == PubSubLimits.unwanted - PubSubLimits.unwantedPerHeartbeat)
        bench.beat(4)
        #expect(bench.machine.unwantedCount == 0)
    }

    @Test func validationIsBounded() throws {
        var bench = try Bench(policy: .authorOnly)
        bench.tell(.joined("t", TopicConfiguration()))
        bench.tell(.validated("t", true))
        try bench.populate(0..<1, "t")
        for _ in 0..<(PubSubLimits.pending + 100) {
            let message = try bench.message(100, "t")
            bench.send(0) { $0.raw(message.field) }
        }
        #expect(bench.machine.pendingCount == PubSubLimits.pending)
        #expect(bench.machine.counters.throttled == 100)
        // What found no room may come again.
        for output in bench.outputs { if case .validate(let ticket, _, _) = output { bench.tell(.verdict(ticket, .accept)) } }
        #expect(bench.machine.pendingCount == 0 && bench.machine.validating.isEmpty)
    }

    @Test func ratesHoldPerPeerAndTopic() throws {
        var parameters = GossipParameters()
        parameters.peerRate = RateLimit(perSecond: 10, burst: 20)
        var bench = try Bench(parameters)
        var settings = TopicConfiguration()
        settings.rate = RateLimit(perSecond: 100, burst: 30)
        settings.maximumSize = .bytes(50)
        bench.tell(.joined("t", settings))
        try bench.populate(0..<2, "t")
        for number in 0..<2 as Range<UInt32> {
            for _ in 0..<25 {
                let message = try bench.message(100, "t")
                bench.send(number) { $0.raw(message.field) }
            }
        }
        // Twenty of the first; of the second what is left to the topic.
        #expect(bench.delivered() == 30)
        bench.beat(10)
        let long = try bench.message(100, "t", size: 51)
        bench.send(0) { $0.raw(long.field) }
        #expect(bench.delivered() == 30 && bench.machine.counters.rejected == 1)
        var shares = TopicConfiguration()
        shares.peerRate = RateLimit(perSecond: 1, burst: 2)
        bench.tell(.joined("t", shares))
        for number in 0..<2 as Range<UInt32> {
            for _ in 0..<5 {
                let message = try bench.message(100, "t")
                bench.send(number) { $0.raw(message.field) }
            }
        }
        #expect(bench.delivered() == 34)
    }

    @Test func cachesAreBounded() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<2, "t")
        for _ in 0..<120 {
            let message = try bench.message(100, "t", size: 500_000)
            bench.send(0) { $0.raw(message.field) }
        }
        #expect(bench.machine.cache.bytes <= PubSubLimits.cacheBytes.bytes)
        #expect(bench.machine.cache.count < 120)
        bench.beat(6)
        #expect(bench.machine.cache.count == 0 && bench.machine.cache.bytes == 0)
    }

    @Test(arguments: [SignaturePolicy.strictSign, .strictNoSign, .authorOnly])
    func messagesAgainstThePolicyAreRejected(_ policy: SignaturePolicy) throws {
        var bench = try Bench(policy: policy)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        let author = try Bench.peer(50).bytes
        let unsigned = try bench.message(50, "t")
        let signed = try #require(GossipMessage.make(from: author, data: "x", sequence: [0, 0, 0, 0, 0, 0, 0, 1], topic: "t", key: nil) { _ in "signature" })
        let anonymous = try #require(GossipMessage.make(from: nil, data: "x", sequence: nil, topic: "t", key: nil, sign: nil))
        for message in [unsigned, signed, anonymous] { bench.send(0) { $0.raw(message.field) } }
        let taken = bench.outputs.reduce(0) {
            switch $1 {
            case .deliver, .validate: $0 + 1
            default: $0
            }
        }
        // Without a policy on signatures only, a message without author is nothing special.
        #expect(taken == (policy == .authorOnly ? 2 : 1))
        #expect(bench.machine.counters.rejected == (policy == .authorOnly ? 1 : 2))
    }

    @Test func rubbishDoesNotTrap() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        var random = GossipRandom(seed: 7)
        let message = try bench.message(100, "t")
        var writer = ProtobufWriter()
        writer.raw(GossipEncoding.subscription("t", true))
        writer.raw(message.field)
        writer.begin(3, count: 0)
        let rpc = writer.finish().array
        for round in 0..<3000 {
            var bytes = rpc
            for _ in 0..<(1 + round % 4) { bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            bench.tell(.received(0, Bytes(bytes).prefix(Int.random(in: 0...bytes.count, using: &random))))
            if round % 100 == 0 { bench.beat() }
        }
    }

    // MARK: Whole nodes

    /// A node with publish-subscribe and a peer that writes what it likes.
    private func attack(_ bytes: [UInt8]) throws -> (isReset: Bool, score: Double) {
        let world = World(seed: 11)
        return try world.run {
            let victim = try await world.gossiper("victim")
            _ = try await victim.topics.join("t")
            let attacker = try await world.gossiper("attacker") { $0.pubsub = nil }
            try await attacker.connect(victim.dialable)
            let connection = try #require(attacker.swarm.connections(to: victim.peer).first)
            let isReset = try await connection.loop.run {
                let stream = try await connection.openStream(["/meshsub/1.2.0"])
                try await stream.write(Bytes(bytes))
                do {
                    while try await stream.read() != nil {}
                    return false
                } catch StreamError.reset { return true }
            }
            let score = try victim.topics.score(of: attacker.peer) ?? 0
            // It goes on to serve others.
            let other = try await world.gossiper("other")
            try await other.connect(victim.dialable)
            try await other.until { try !other.topics.peers(of: "t").isEmpty }
            for node in [victim, attacker, other] { await node.close() }
            return (isReset, score)
        }
    }

    @Test func hugeRPCsResetTheStream() throws {
        // 1 MiB and one byte, 2^62, and no varint at all.
        #expect(try attack([0x81, 0x80, 0x40]).isReset)
        #expect(try attack([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]).isReset)
        #expect(try attack([UInt8](repeating: 0xff, count: 11)).isReset)
    }

    @Test func forgedMessagesAreNotDelivered() throws {
        let world = World(seed: 12)
        try world.run {
            let victim = try await world.gossiper("victim")
            let topic = try await victim.topics.join("t")
            var unsigned = PubSubConfiguration()
            unsigned.policy = .authorOnly
            let forger = try await world.gossiper("forger", unsigned), honest = try await world.gossiper("honest")
            for node in [forger, honest] {
                try await node.connect(victim.dialable)
                try await node.until { try !node.topics.peers(of: "t").isEmpty }
            }
            for _ in 0..<20 { try await forger.topics.publish("forged", to: "t") }
            try await honest.topics.publish("true", to: "t")
            #expect(await first(1, of: topic).first?.data == "true")
            try await victim.until { try victim.topics.counters.rejected > 0 }
            #expect((try victim.topics.score(of: forger.peer) ?? 0) < 0)
            #expect(try victim.topics.counters.delivered == 1)
            let peer = forger.peer
            try await victim.until { try !victim.topics.mesh(of: "t").contains(peer) }
            #expect(victim.swarm.reputation.standing(of: peer)?.lastOffence == "unlawful-message")
            for node in [victim, forger, honest] { await node.close() }
        }
    }

    @Test func forgersAreToldFromThoseWhoOnlyDisagree() throws {
        var bench = try Bench(policy: .strictSign)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<2, "t")
        func offences(_ verdict: (GossipMachine.Ticket) -> GossipMachine.Input, _ number: UInt8) throws -> Int {
            let message = try #require(
                GossipMessage.make(
                    from: try Bench.peer(50).bytes, data: "x", sequence: [0, 0, 0, 0, 0, 0, 0, number], topic: "t", key: nil) { _ in "signature" })
            bench.outputs = []
            bench.send(0) { $0.raw(message.field) }
            bench.send(1) { $0.raw(message.field) }
            for output in bench.outputs { if case .validate(let ticket, _, _) = output { bench.tell(verdict(ticket)) } }
            return bench.outputs.reduce(0) { if case .offence(_, .forgedMessage) = $1 { $0 + 1 } else { $0 } }
        }
        #expect(try offences({ .verdict($0, .reject) }, 1) == 0)
        #expect(try offences({ .forged($0) }, 2) == 2)
        #expect(bench.machine.counters.rejected == 4)
    }

    @Test func messagesThatFitNoRPCAreNotPublished() throws {
        let world = World(seed: 13)
        try world.run {
            let node = try await world.gossiper("node")
            await #expect(throws: PubSubError.self) { try await node.topics.publish(Bytes([UInt8](repeating: 0, count: 1 << 20)), to: "t") }
            await #expect(throws: PubSubError.badTopicName) { try await node.topics.publish("x", to: "") }
            await #expect(throws: PubSubError.badTopicName) { try await node.topics.join(TopicID(bytes: Bytes([UInt8](repeating: 65, count: 1025)))) }
            await node.close()
        }
    }

    @Test func oldSequenceNumbersAreIgnored() throws {
        let world = World(seed: 14)
        let sequences = SequenceGuard(system: world.host("node").system, store: nil)
        func message(_ author: Int, _ number: UInt8) throws -> PubSubMessage {
            let made = try #require(
                GossipMessage.make(from: try Bench.peer(author).bytes, data: "x", sequence: [0, 0, 0, 0, 0, 0, 0, number], topic: "t", key: nil, sign: nil))
            return PubSubMessage(message: made, topic: "t", receivedFrom: try Bench.peer(0))
        }
        let admitted = try [(1, 5), (1, 6), (1, 6), (1, 3), (2, 3)].map { sequences.admits(try message($0.0, $0.1)) }
        #expect(admitted == [true, true, false, false, true])
        let author = try Bench.peer(1)
        #expect(sequences.reset(author) == 1)
        #expect(sequences.reset(author) == 0)
        #expect(try sequences.admits(message(1, 3)))
        #expect(sequences.reset(nil) == 2)
        for author in 0..<(PubSubLimits.sequencedAuthors + 10) { _ = sequences.admits(try message(author, 1)) }
        #expect(sequences.reset(nil) == PubSubLimits.sequencedAuthors)
    }
}
