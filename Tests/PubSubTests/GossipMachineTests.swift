import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

@testable import WaggleServices

/// The machine by itself, with peers that are scripted: meshes and gossip.
struct GossipMachineTests {
    private func have(_ message: GossipMessage, _ topic: String = "t") -> Bytes { GossipEncoding.have(Bytes(utf8: topic), [message.standardID]) }

    @Test func greetsWithSubscriptionsAndExtensions() throws {
        var bench = try Bench()
        bench.tell(.joined("a", TopicConfiguration()))
        bench.tell(.joined("b", TopicConfiguration()))
        try bench.connect(0)
        try bench.connect(1, version: .v12)
        let first = try #require(try bench.taken(0).first), second = try #require(try bench.taken(1).first)
        #expect(first.subscriptions.map(\.0) == ["a", "b"] && first.subscriptions.allSatisfy(\.1))
        #expect(first.saysExtensions && !second.saysExtensions)
        // A new stream begins from the beginning; extensions are said again to those who know what they mean.
        bench.tell(.opened(0, .v13))
        let again = try #require(try bench.taken(0).first)
        #expect(again.subscriptions.map(\.0) == ["a", "b"] && !again.saysExtensions)
        bench.control(0, [GossipEncoding.extensions])
        bench.tell(.opened(0, .v13))
        #expect(try bench.taken(0).first?.saysExtensions == true)
        bench.tell(.left("a"))
        let gone = try bench.taken(1).flatMap(\.subscriptions)
        #expect(gone.map(\.0) == ["a"] && gone.map(\.1) == [false])
    }

    @Test func extensionsAreSaidOnce() throws {
        var bench = try Bench()
        try bench.connect(0)
        // An extension that nobody knows is no matter.
        bench.control(0, [[6 << 3 | 2, 6, 0x90, 0xa5, 0xac, 0x07, 0x08, 0x01]])
        #expect(bench.machine.score(of: try Bench.peer(0), at: bench.now) == 0)
        for _ in 0..<10 { bench.control(0, [GossipEncoding.extensions]) }
        #expect((bench.machine.score(of: try Bench.peer(0), at: bench.now) ?? 0) < 0)
    }

    @Test func joiningGraftsAsManyAsWanted() throws {
        var bench = try Bench()
        try bench.populate(0..<20, "t")
        bench.tell(.joined("t", TopicConfiguration()))
        #expect(bench.machine.mesh(of: "t").count == 6)
        let grafts = try (0..<20).reduce(0) { try $0 + bench.taken(UInt32($1)).flatMap(\.grafts).count }
        #expect(grafts == 6)
    }

    @Test func heartbeatMendsAndCutsTheMesh() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<3, "t")
        #expect(bench.machine.mesh(of: "t").count == 3)
        try bench.populate(3..<30, "t")
        bench.beat()
        #expect(bench.machine.mesh(of: "t").count == 6)
        // More than twelve are there when all graft: only those we dialed are let in beyond, and then the mesh is cut to six.
        for number in 0..<30 as Range<UInt32> { bench.control(number, [GossipEncoding.graft("t")]) }
        #expect(bench.machine.mesh(of: "t").count == 12)
        try bench.populate(30..<40, "t", isOutbound: true)
        for number in 30..<40 as Range<UInt32> { bench.control(number, [GossipEncoding.graft("t")]) }
        #expect(bench.machine.mesh(of: "t").count == 22)
        for number in 0..<40 as Range<UInt32> { _ = try bench.taken(number) }
        bench.beat()
        let mesh = bench.machine.mesh(of: "t")
        #expect(mesh.count == 6)
        let outbound = Set(try (30..<40).map { try Bench.peer($0) })
        #expect(mesh.filter { outbound.contains($0) }.count >= 2)
        let prunes = try (0..<40).flatMap { try bench.taken(UInt32($0)).flatMap(\.prunes) }
        #expect(prunes.count == 16)
        #expect(prunes.allSatisfy { $0.backOff == 60 && $0.peers == 16 })
    }

    @Test func enoughOfTheMeshIsDialed() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<6, "t")
        #expect(bench.machine.mesh(of: "t").count == 6)
        try bench.populate(6..<12, "t", isOutbound: true)
        bench.beat()
        #expect(bench.machine.mesh(of: "t").count == 8)
    }

    @Test func theBestSurviveACut() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<20, "t", isOutbound: true)
        for number in 0..<20 as Range<UInt32> { bench.control(number, [GossipEncoding.graft("t")]) }
        for number in [3, 7, 11, 15] as [UInt32] { bench.tell(.judged(try Bench.peer(Int(number)), 50)) }
        bench.beat()
        let mesh = bench.machine.mesh(of: "t")
        for number in [3, 7, 11, 15] { #expect(mesh.contains(try Bench.peer(number))) }
    }

    @Test func messagesGoToTheMeshButNotBack() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<6, "t")
        for number in 0..<6 as Range<UInt32> { _ = try bench.taken(number) }
        let message = try bench.message(3, "t")
        bench.send(0) { $0.raw(message.field) }
        #expect(bench.delivered() == 1)
        for number in 0..<6 as Range<UInt32> {
            // Neither to who sent it nor to its author.
            let sent = try bench.taken(number).flatMap(\.messages)
            #expect(sent.count == (number == 0 || number == 3 ? 0 : 1))
            #expect(sent.allSatisfy { $0.body == message.body })
        }
        bench.send(1) { $0.raw(message.field) }
        #expect(bench.delivered() == 1 && bench.machine.counters.duplicates == 1)
    }

    @Test func ourOwnMessagesAreFlooded() throws {
        var bench = try Bench()
        try bench.populate(0..<20, "t")
        let message = PubSubMessage(message: try bench.message(100, "t"), topic: "t", receivedFrom: bench.local)
        #expect(bench.machine.publish(message, at: bench.now) == 20)
        #expect(bench.machine.publish(message, at: bench.now) == 0)
    }

    @Test func withoutFloodingTheFanoutIsKept() throws {
        var parameters = GossipParameters()
        parameters.floodPublish = false
        var bench = try Bench(parameters)
        try bench.populate(0..<20, "t")
        func publish() throws -> Set<UInt32> {
            _ = bench.machine.publish(PubSubMessage(message: try bench.message(100, "t"), topic: "t", receivedFrom: bench.local), at: bench.now)
            var targets: Set<UInt32> = []
            for number in 0..<20 as Range<UInt32> where try !bench.taken(number).flatMap(\.messages).isEmpty { targets.insert(number) }
            return targets
        }
        let first = try publish()
        #expect(first.count == 6)
        #expect(try publish() == first)
        // Gossip tells the others.
        bench.beat()
        var told = 0
        for number in 0..<20 as Range<UInt32> where try !bench.taken(number).flatMap(\.haves).isEmpty {
            told += 1
            #expect(!first.contains(number))
        }
        #expect(told == 6)
        bench.beat(61)
        #expect(bench.machine.fanoutTopics.isEmpty)
        // Who was published to is the first of the mesh.
        let again = try publish()
        bench.tell(.joined("t", TopicConfiguration()))
        #expect(Set(bench.machine.mesh(of: "t")) == Set(try again.map { try Bench.peer(Int($0)) }))
    }

    @Test func gossipGoesToAQuarter() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<106, "t")
        let message = try bench.message(200, "t")
        bench.send(0) { $0.raw(message.field) }
        for number in 0..<106 as Range<UInt32> { _ = try bench.taken(number) }
        var told: [Int] = []
        for _ in 0..<4 {
            bench.beat()
            var count = 0
            for number in 0..<106 as Range<UInt32> {
                let haves = try bench.taken(number).flatMap(\.haves)
                if haves.contains(where: { $0.ids == [message.standardID] }) { count += 1 }
            }
            told.append(count)
        }
        // A quarter of the hundred outside of the mesh, for three heartbeats.
        #expect(told == [25, 25, 25, 0])
    }

    @Test func missingMessagesAreAskedForAndGiven() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<8, "t")
        for number in 0..<8 as Range<UInt32> { _ = try bench.taken(number) }
        let message = try bench.message(100, "t")
        bench.control(7, [have(message)])
        #expect(try bench.taken(7).flatMap(\.wants) == [message.standardID])
        // Another who has it is not asked at once.
        bench.control(6, [have(message)])
        #expect(try bench.taken(6).flatMap(\.wants).isEmpty)
        bench.wait(.milliseconds(400))
        bench.control(6, [have(message)])
        #expect(try bench.taken(6).flatMap(\.wants) == [message.standardID])
        bench.send(7) { $0.raw(message.field) }
        #expect(bench.delivered() == 1)
        bench.control(6, [have(message)])
        #expect(try bench.taken(6).flatMap(\.wants).isEmpty)
        // Ours is given three times and no more.
        for _ in 0..<3 {
            bench.control(5, [GossipEncoding.want([message.standardID])])
            #expect(try bench.taken(5).flatMap(\.messages).count >= 1)
        }
        bench.control(5, [GossipEncoding.want([message.standardID])])
        #expect(try bench.taken(5).flatMap(\.messages).isEmpty)
    }

    @Test func largeMessagesAreAnnouncedAndCancelled() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<6, "t")
        for number in 0..<6 as Range<UInt32> { _ = try bench.taken(number) }
        let small = try bench.message(100, "t", size: 1023), large = try bench.message(100, "t", size: 1024)
        bench.send(0) { $0.raw(small.field) }
        bench.send(0) { $0.raw(large.field) }
        // One says that it has it before its queue is taken.
        bench.control(1, [GossipEncoding.doNotWant([large.standardID])])
        for number in 1..<6 as Range<UInt32> {
            let sent = try bench.taken(number)
            #expect(sent.flatMap(\.doNotWants) == [large.standardID])
            #expect(sent.flatMap(\.messages).map(\.data.count) == (number == 1 ? [1023] : [1023, 1024]))
        }
        #expect(bench.machine.counters.cancelledMessages == 1)
        // Asking takes it back.
        bench.control(1, [GossipEncoding.want([large.standardID])])
        #expect(try bench.taken(1).flatMap(\.messages).count == 1)
    }

    @Test func peersOfOldVersionsHearNoAnnouncements() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<3, "t", version: .v11)
        let large = try bench.message(100, "t", size: 2000)
        bench.send(0) { $0.raw(large.field) }
        #expect(try bench.taken(1).flatMap(\.doNotWants).isEmpty)
    }

    /// Who got a message that has not been taken yet.
    private func got(_ bench: inout Bench, _ numbers: Range<UInt32> = 1..<6) throws -> Set<UInt32> {
        var found: Set<UInt32> = []
        for number in numbers where try !bench.taken(number).flatMap(\.messages).isEmpty { found.insert(number) }
        return found
    }

    private func crowd(_ parameters: GossipParameters = GossipParameters(), asking: Range<UInt32> = 0..<6, others: Range<UInt32> = 0..<0) throws -> Bench {
        var bench = try Bench(parameters)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(asking, "t", asks: true)
        try bench.populate(others, "t")
        for number in 0..<6 as Range<UInt32> { _ = try bench.taken(number) }
        return bench
    }

    @Test func veryLargeMessagesAreHeldBackFromAPart() throws {
        var parameters = GossipParameters()
        parameters.eagerPeers = 2
        var bench = try crowd(parameters)
        let large = try bench.message(100, "t", size: 16_000)
        bench.send(0) { $0.raw(large.field) }
        var found = try got(&bench)
        let first = found
        #expect(first.count == 2)
        let rest = (1..<6 as Range<UInt32>).filter { !first.contains($0) }
        // One has it from elsewhere, one asks for it, the last is given it when its time has come.
        bench.control(rest[0], [GossipEncoding.doNotWant([large.standardID])])
        bench.control(rest[1], [GossipEncoding.want([large.standardID])])
        found = try got(&bench)
        #expect(found == [rest[1]])
        bench.wait(.milliseconds(300))
        found = try got(&bench)
        #expect(found == [rest[2]])
        #expect(bench.machine.heldBack.isEmpty && bench.machine.releases.count == 0)
    }

    @Test func theWaitFollowsTheRoundTrip() throws {
        var parameters = GossipParameters()
        parameters.eagerPeers = 0
        var bench = try crowd(parameters)
        for (number, milliseconds) in [(1, 2), (2, 20), (3, 100), (4, 10_000)] as [(UInt32, Int)] {
            bench.tell(.measured(number, .milliseconds(milliseconds)))
        }
        let large = try bench.message(100, "t", size: 16_000).field
        bench.send(0) { $0.raw(large) }
        for (pause, peers) in [(14, []), (2, [1]), (40, []), (5, [2]), (190, []), (10, [3, 5]), (230, []), (20, [4])] as [(Int, Set<UInt32>)] {
            bench.wait(.milliseconds(pause))
            let found = try got(&bench)
            #expect(found == peers)
        }
    }

    /// Whoever does not ask for what it hears of gets all at once, and is not asked.
    @Test func othersGetLargeMessagesAtOnce() throws {
        var bench = try crowd(asking: 0..<3, others: 3..<6)
        let large = try bench.message(100, "t", size: 16_000)
        bench.control(4, [GossipEncoding.doNotWant([large.standardID])])
        bench.wait(.milliseconds(10))
        #expect(try bench.taken(4).flatMap(\.wants).isEmpty)
        bench.send(0) { $0.raw(large.field) }
        var found = try got(&bench)
        #expect(found == [3, 5])
        bench.wait(.milliseconds(300))
        found = try got(&bench)
        #expect(found == [1, 2])
    }

    @Test func announcedMessagesAreAskedFor() throws {
        var bench = try crowd()
        let large = try bench.message(100, "t", size: 16_000)
        for number in [1, 2, 1, 1] as [UInt32] { bench.control(number, [GossipEncoding.doNotWant([large.standardID])]) }
        bench.wait(.milliseconds(10))
        let asked = try [1, 2].map { try bench.taken($0).flatMap(\.wants).count }
        #expect(asked.sorted() == [0, 1])
        // The first does not answer: the second is asked.
        bench.wait(.milliseconds(300))
        #expect(try [1, 2].map { try bench.taken($0).flatMap(\.wants).count } == asked.map { 1 - $0 })
        bench.send(1) { $0.raw(large.field) }
        bench.wait(.seconds(1))
        #expect(bench.delivered() == 1)
    }

    /// Whoever asks while the message is being validated gets it as soon as that is done.
    @Test func askingEarlyIsRemembered() throws {
        var parameters = GossipParameters()
        parameters.eagerPeers = 0
        var bench = try crowd(parameters)
        bench.tell(.validated("t", true))
        let large = try bench.message(100, "t", size: 16_000)
        bench.send(0) { $0.raw(large.field) }
        for _ in 0..<2 { bench.control(3, [GossipEncoding.want([large.standardID])]) }
        var found = try got(&bench)
        #expect(found.isEmpty)
        for output in bench.outputs { if case .validate(let ticket, _, _) = output { bench.tell(.verdict(ticket, .accept)) } }
        found = try got(&bench)
        #expect(found == [3])
        #expect(bench.machine.askedEarly.isEmpty)
        bench.wait(.milliseconds(300))
        found = try got(&bench)
        #expect(found == [1, 2, 4, 5])
    }

    @Test func whatIsDueComesInOrder() {
        var queue = DueQueue<Int>()
        var random = GossipRandom(seed: 3)
        for number in 0..<1000 { queue.insert(number, due: Instant(nanoseconds: UInt64.random(in: 0..<50, using: &random))) }
        var last = (due: Instant(nanoseconds: 0), number: -1)
        var count = 0
        while let due = queue.deadline, let number = queue.next(at: Instant(nanoseconds: 49)) {
            #expect(last.due < due || last.due == due && last.number < number)
            last = (due, number)
            count += 1
        }
        #expect(count == 1000 && queue.count == 0)
        queue.insert(1, due: Instant(nanoseconds: 10))
        #expect(queue.next(at: Instant(nanoseconds: 9)) == nil)
    }

    /// What was published before anybody was there to hear it.
    @Test func latecomersAreToldOfWhatWasPublished() throws {
        var bench = try Bench()
        let message = try bench.message(255, "t")
        let count = bench.machine.publish(PubSubMessage(message: message, topic: "t", receivedFrom: bench.local), at: bench.now)
        #expect(count == 0)
        try bench.populate(0..<1, "t")
        bench.beat()
        #expect(try bench.taken(0).flatMap(\.haves).flatMap(\.ids) == [message.standardID])
        bench.control(0, [GossipEncoding.want([message.standardID])])
        #expect(try bench.taken(0).flatMap(\.messages).count == 1)
        // The topic is forgotten with its time.
        bench.tell(.disconnected(0))
        bench.beat(70)
        #expect(bench.machine.topics.isEmpty && bench.machine.fanoutTopics.isEmpty)
    }

    @Test func validatorsThatAreGoneLeaveNoTopics() throws {
        var bench = try Bench()
        bench.tell(.validated("t", true))
        #expect(bench.machine.topics.count == 1)
        bench.tell(.validated("t", false))
        bench.tell(.validated("u", false))
        #expect(bench.machine.topics.isEmpty)
    }

    /// A message that we have no room for was sent all the same: the peer kept its promise.
    @Test func promisesAreKeptByMessagesThatAreDropped() throws {
        var parameters = GossipParameters()
        parameters.peerRate = RateLimit(perSecond: 0, burst: 0)
        var bench = try Bench(parameters)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        let message = try bench.message(100, "t")
        bench.control(0, [have(message)])
        bench.send(0) { $0.raw(message.field) }
        bench.beat(5)
        #expect(bench.machine.counters.throttled == 1 && bench.machine.counters.brokenPromises == 0)
    }

    @Test func whatIsDroppedIsCounted() throws {
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<2, "t")
        for _ in 0..<(PubSubLimits.queuedMessages + 100) {
            let message = try bench.message(100, "t")
            bench.send(0) { $0.raw(message.field) }
        }
        bench.beat()
        #expect(bench.machine.counters.droppedMessages == 100)
    }

    @Test func directPeersStandOutside() throws {
        let friend = try Bench.peer(0)
        var bench = try Bench(direct: [friend])
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<3, "t")
        bench.tell(.judged(friend, -10_000))
        bench.control(0, [GossipEncoding.graft("t")])
        #expect(bench.machine.mesh(of: "t").count == 2)
        #expect(try bench.taken(0).flatMap(\.prunes).count == 1)
        let message = try bench.message(100, "t")
        bench.send(1) { $0.raw(message.field) }
        #expect(try bench.taken(0).flatMap(\.messages).count == 1)
        let own = try bench.message(100, "t")
        bench.send(0) { $0.raw(own.field) }
        #expect(bench.delivered() == 2)
        // Those that are not connected are dialed.
        bench.tell(.disconnected(0))
        bench.outputs = []
        bench.beat(300)
        #expect(bench.outputs.contains { if case .dial(let peers) = $0 { peers == [friend] } else { false } })
    }

    @Test func prunedPeersHearOfOthersAndFollow() throws {
        let key = try identity(9).key
        let stranger = PeerID(key.publicKey)
        let record = try #require(PeerRecord(peer: stranger, sequence: 1, addresses: [try Multiaddr(parsing: "/ip4/10.0.0.9/tcp/1")]).signed(with: key)).encoded
        var bench = try Bench()
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<2, "t")
        let prune = GossipEncoding.prune("t", backOff: 60, peers: [(stranger.bytes, record), (try Bench.peer(1).bytes, record), ("no peer", record)])
        bench.control(0, [prune])
        #expect(!bench.outputs.contains { if case .connect = $0 { true } else { false } })
        bench.tell(.judged(try Bench.peer(1), 5))
        bench.control(1, [prune])
        let advice = bench.outputs.compactMap { if case .connect(let advice) = $0 { advice } else { nil } }
        #expect(advice.map { $0.map(\.peer) } == [[stranger]])
        #expect(bench.machine.mesh(of: "t").isEmpty)
    }

    @Test func opportunisticGraftsImproveAPoorMesh() throws {
        var parameters = GossipParameters()
        parameters.opportunisticTicks = 5
        parameters.score?.topic?.timeInMeshWeight = 0
        var bench = try Bench(parameters)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<6, "t", isOutbound: true)
        try bench.populate(6..<12, "t")
        for number in 6..<9 { bench.tell(.judged(try Bench.peer(number), 10)) }
        bench.beat(5)
        #expect(bench.machine.mesh(of: "t").count == 8)
    }

    @Test func choicesFollowFromTheSeed() throws {
        func run(_ seed: UInt64) throws -> [PeerID] {
            var bench = try Bench(seed: seed)
            bench.tell(.joined("t", TopicConfiguration()))
            try bench.populate(0..<50, "t", isOutbound: true)
            for number in 0..<50 as Range<UInt32> { bench.control(number, [GossipEncoding.graft("t")]) }
            bench.beat(3)
            return bench.machine.mesh(of: "t")
        }
        #expect(try run(1) == run(1))
        #expect(try run(1) != run(2))
    }
}
