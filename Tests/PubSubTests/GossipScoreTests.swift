import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork

@testable import WaggleServices

/// P1 to P7, the thresholds, and what is remembered.
struct GossipScoreTests {
    /// Parameters in which only `change` counts.
    private func only(_ change: (inout ScoreParameters) -> Void) -> GossipParameters {
        var parameters = GossipParameters()
        var score = ScoreParameters()
        var topic = ScoreParameters.Topic()
        topic.timeInMeshWeight = 0
        topic.firstDeliveriesWeight = 0
        topic.invalidWeight = 0
        score.topic = topic
        score.colocationWeight = 0
        score.behaviourWeight = 0
        change(&score)
        parameters.score = score
        return parameters
    }

    private func score(_ bench: borrowing Bench, _ number: Int) throws -> Double {
        guard let score = bench.machine.score(of: try Bench.peer(number), at: bench.now) else { throw TestError.unexpected }
        return score
    }

    @Test func timeInMeshCountsUpToACap() throws {
        var bench = try Bench(only {
            $0.topic?.timeInMeshWeight = 2
            $0.topic?.timeInMeshCap = 10
        })
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        bench.beat(5)
        #expect(try abs(score(bench, 0) - 10) < 1)
        bench.beat(20)
        #expect(try score(bench, 0) == 20)
    }

    @Test func firstDeliveriesCountAndFade() throws {
        var bench = try Bench(only {
            $0.topic?.firstDeliveriesWeight = 1
            $0.topic?.firstDeliveriesDecay = 0.5
            $0.topic?.firstDeliveriesCap = 8
        })
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<2, "t")
        for _ in 0..<20 {
            let message = try bench.message(100, "t")
            bench.send(0) { $0.raw(message.field) }
            bench.send(1) { $0.raw(message.field) }
        }
        bench.beat()
        #expect(try score(bench, 0) == 4)
        #expect(try score(bench, 1) == 0)
        bench.beat(10)
        #expect(try score(bench, 0) == 0)
    }

    @Test func missingMeshDeliveriesCountSquaredAndStick() throws {
        var bench = try Bench(only {
            $0.topic?.meshDeliveriesWeight = -1
            $0.topic?.meshDeliveriesThreshold = 4
            $0.topic?.meshDeliveriesDecay = 1
            $0.topic?.meshDeliveriesActivation = .seconds(5)
            $0.topic?.meshFailureWeight = -1
            $0.topic?.meshFailureDecay = 1
        })
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<3, "t")
        for _ in 0..<6 {
            let message = try bench.message(100, "t")
            bench.send(0) { $0.raw(message.field) }
            // Soon after counts, once; later does not.
            bench.send(1) { $0.raw(message.field) }
            bench.send(1) { $0.raw(message.field) }
            bench.now = bench.now + .milliseconds(20)
            bench.send(2) { $0.raw(message.field) }
        }
        bench.beat(3)
        #expect(try score(bench, 2) == 0)
        // The heartbeat in which it counts also throws it out: what it owed stays with it.
        bench.beat(4)
        #expect(try score(bench, 0) == 0)
        #expect(try score(bench, 1) == 0)
        #expect(try score(bench, 2) == -16)
        #expect(bench.machine.mesh(of: "t") == (try [Bench.peer(0), Bench.peer(1)].sorted()))
    }

    @Test func invalidMessagesCountSquared() throws {
        var bench = try Bench(only { $0.topic?.invalidWeight = -1 })
        bench.tell(.joined("t", TopicConfiguration()))
        bench.tell(.validated("t", true))
        try bench.populate(0..<3, "t")
        for _ in 0..<3 {
            let message = try bench.message(100, "t")
            bench.outputs = []
            bench.send(0) { $0.raw(message.field) }
            // Who brought it meanwhile is judged with the first, once; who brings it later, too.
            bench.send(1) { $0.raw(message.field) }
            bench.send(1) { $0.raw(message.field) }
            guard case .validate(let ticket, _, _)? = bench.outputs.first(where: { if case .validate = $0 { true } else { false } }) else {
                Issue.record("nothing to validate")
                return
            }
            bench.tell(.verdict(ticket, .reject))
            // Twice counts once.
            bench.tell(.verdict(ticket, .reject))
            bench.send(2) { $0.raw(message.field) }
        }
        #expect(try score(bench, 0) == -9)
        #expect(try score(bench, 1) == -9)
        #expect(try score(bench, 2) == -9)
        #expect(bench.machine.pending(of: 0) == 0 && bench.machine.pendingBytes == 0)
    }

    @Test func ignoredMessagesCountNothing() throws {
        var bench = try Bench(only { $0.topic?.invalidWeight = -1 })
        bench.tell(.joined("t", TopicConfiguration()))
        bench.tell(.validated(nil, true))
        try bench.populate(0..<2, "t")
        let message = try bench.message(100, "t")
        bench.send(0) { $0.raw(message.field) }
        if case .validate(let ticket, _, _)? = bench.outputs.last { bench.tell(.verdict(ticket, .ignore)) }
        bench.send(1) { $0.raw(message.field) }
        #expect(try score(bench, 0) == 0)
        #expect(try score(bench, 1) == 0)
        #expect(bench.delivered() == 0)
    }

    @Test func theApplicationHasAWord() throws {
        var bench = try Bench(only { $0.applicationWeight = 3 })
        try bench.connect(0)
        bench.tell(.judged(try Bench.peer(0), -7))
        #expect(try score(bench, 0) == -21)
    }

    @Test func manyOnOneAddressCountSquared() throws {
        var bench = try Bench(only {
            $0.colocationWeight = -1
            $0.colocationThreshold = 3
        })
        for number in 0..<6 as Range<UInt32> { try bench.connect(number, ip: .v4(0x0102_0304)) }
        try bench.connect(6, ip: .v4(0x0102_0305))
        #expect(try score(bench, 0) == -9)
        #expect(try score(bench, 5) == -9)
        #expect(try score(bench, 6) == 0)
        for number in 0..<3 as Range<UInt32> { bench.tell(.disconnected(number)) }
        #expect(try score(bench, 5) == 0)
        // Loopback is for experiments, and a /64 is one host.
        for number in 10..<20 as Range<UInt32> { try bench.connect(number, ip: .loopback) }
        #expect(try score(bench, 10) == 0)
        for number in 20..<26 as Range<UInt32> { try bench.connect(number, ip: .v6(high: 0x2001_0db8_0000_0001, low: UInt64(number), zone: 0)) }
        #expect(try score(bench, 20) == -9)
    }

    @Test func misbehaviourCountsBeyondAThreshold() throws {
        var bench = try Bench(only {
            $0.behaviourWeight = -2
            $0.behaviourThreshold = 3
            $0.behaviourDecay = 0.5
        })
        try bench.connect(0)
        for _ in 0..<3 { bench.tell(.misframed(0)) }
        #expect(try score(bench, 0) == 0)
        for _ in 0..<2 { bench.tell(.misframed(0)) }
        #expect(try score(bench, 0) == -8)
        bench.beat(10)
        #expect(try score(bench, 0) == 0)
    }

    @Test func thresholdsCutOff() throws {
        var parameters = only {
            $0.gossipThreshold = -10
            $0.publishThreshold = -20
            $0.graylistThreshold = -30
        }
        parameters.exchangedPeers = 16
        var bench = try Bench(parameters)
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        let peer = try Bench.peer(0)
        // Below zero: out of the mesh, and no way back.
        bench.tell(.judged(peer, -5))
        bench.beat()
        #expect(bench.machine.mesh(of: "t").isEmpty)
        let prune = try #require(try bench.taken(0).flatMap(\.prunes).first)
        #expect(prune.peers == 0)
        // Gossip still counts.
        let first = try bench.message(100, "t")
        bench.control(0, [GossipEncoding.have("t", [first.standardID])])
        #expect(try bench.taken(0).flatMap(\.wants).count == 1)
        bench.tell(.judged(peer, -15))
        let second = try bench.message(100, "t")
        bench.control(0, [GossipEncoding.have("t", [second.standardID])])
        #expect(try bench.taken(0).flatMap(\.wants).isEmpty)
        #expect(bench.machine.publish(PubSubMessage(message: try bench.message(100, "t"), topic: "t", receivedFrom: bench.local), at: bench.now) == 1)
        bench.tell(.judged(peer, -25))
        #expect(bench.machine.publish(PubSubMessage(message: try bench.message(100, "t"), topic: "t", receivedFrom: bench.local), at: bench.now) == 0)
        bench.tell(.tick)
        bench.outputs = []
        bench.send(0) { $0.raw(first.field) }
        #expect(bench.delivered() == 1)
        bench.tell(.judged(peer, -35))
        bench.send(0) { $0.raw(second.field) }
        #expect(bench.delivered() == 1 && bench.machine.counters.graylisted == 1)
    }

    @Test func badScoresOutliveTheConnection() throws {
        var parameters = only {
            $0.topic?.invalidWeight = -1
            $0.topic?.invalidDecay = 0.999
            $0.topic?.firstDeliveriesWeight = 1
            $0.retention = .seconds(100)
        }
        parameters.heartbeat = .seconds(1)
        var bench = try Bench(parameters)
        bench.tell(.joined("t", TopicConfiguration()))
        bench.tell(.validated("t", true))
        try bench.populate(0..<2, "t")
        let message = try bench.message(100, "t")
        bench.send(0) { $0.raw(message.field) }
        if case .validate(let ticket, _, _)? = bench.outputs.last { bench.tell(.verdict(ticket, .reject)) }
        let good = try bench.message(100, "t")
        bench.send(1) { $0.raw(good.field) }
        if case .validate(let ticket, _, _)? = bench.outputs.last { bench.tell(.verdict(ticket, .accept)) }
        for number in 0..<2 as Range<UInt32> { bench.tell(.disconnected(number)) }
        bench.beat(10)
        try bench.populate(0..<2, "t")
        #expect(try score(bench, 0) < -0.9)
        // A good one has to be earned again.
        #expect(try score(bench, 1) == 0)
        bench.tell(.disconnected(0))
        bench.beat(200)
        try bench.populate(0..<1, "t")
        #expect(try score(bench, 0) == 0)
    }

    @Test func brokenPromisesCount() throws {
        var bench = try Bench(only {
            $0.behaviourWeight = -1
            $0.behaviourThreshold = 0
            $0.behaviourDecay = 1
        })
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<2, "t")
        for number in 0..<2 as Range<UInt32> {
            let message = try bench.message(100, "t")
            bench.control(number, [GossipEncoding.have("t", [message.standardID])])
            if number == 1 { bench.send(1) { $0.raw(message.field) } }
        }
        bench.beat(5)
        #expect(bench.machine.counters.brokenPromises == 1)
        #expect(try score(bench, 0) == -1)
        #expect(try score(bench, 1) == 0)
        #expect(bench.machine.promiseCount == 0)
    }

    @Test func topicsTogetherAreCapped() throws {
        var bench = try Bench(only {
            $0.topic?.firstDeliveriesWeight = 10
            $0.topicCap = 25
        })
        bench.tell(.joined("t", TopicConfiguration()))
        try bench.populate(0..<1, "t")
        for _ in 0..<5 {
            let message = try bench.message(100, "t")
            bench.send(0) { $0.raw(message.field) }
        }
        bench.tell(.judged(try Bench.peer(0), 0))
        #expect(try score(bench, 0) == 25)
    }
}
