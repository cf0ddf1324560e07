import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleServices

/// Whole nodes over simulated connections.
struct PubSubNodeTests {
    @Test(arguments: [SignaturePolicy.strictSign, .authorOnly, .strictNoSign])
    func messagesReachEverybody(_ policy: SignaturePolicy) throws {
        let world = World(seed: 1)
        let (received, author) = try world.run {
            var configuration = PubSubConfiguration()
            configuration.policy = policy
            var nodes: [Node] = []
            for number in 0..<3 { nodes.append(try await world.gossiper("node\(number)", configuration)) }
            // A line: what the first says reaches the last through the one between.
            try await nodes[0].connect(nodes[1].dialable)
            try await nodes[1].connect(nodes[2].dialable)
            var topics: [PubSubTopic] = []
            for node in nodes { topics.append(try await node.topics.join("weather")) }
            let middle = nodes[1]
            try await middle.until { try middle.topics.mesh(of: "weather").count == 2 }
            try await topics[0].publish("sunny")
            let last = await first(1, of: topics[2])
            let own = await first(1, of: topics[0])
            #expect(own.first?.data == "sunny")
            for node in nodes { await node.close() }
            return (last.first?.data, last.first?.author)
        }
        #expect(received == "sunny")
        #expect((author == nil) == (policy == .strictNoSign))
    }

    @Test func publishesWithoutJoining() throws {
        let world = World(seed: 2)
        let data = try world.run {
            let speaker = try await world.gossiper("speaker"), listener = try await world.gossiper("listener")
            let topic = try await listener.topics.join("news")
            try await speaker.connect(listener.dialable)
            let peer = listener.peer
            try await speaker.until { try speaker.topics.peers(of: "news") == [peer] }
            #expect(try speaker.topics.topics == [])
            let count = try await speaker.topics.publish("now", to: "news")
            #expect(count == 1)
            let found = await first(1, of: topic)
            await speaker.close()
            await listener.close()
            return found.first?.data
        }
        #expect(data == "now")
    }

    @Test func leavingEndsMessages() throws {
        let world = World(seed: 3)
        try world.run {
            let a = try await world.gossiper("a"), b = try await world.gossiper("b")
            let topic = try await a.topics.join("x"), again = try await a.topics.join("x")
            try await b.connect(a.dialable)
            let peer = a.peer
            try await b.until { try b.topics.peers(of: "x") == [peer] }
            topic.leave()
            for await _ in topic.messages { Issue.record("a message after the end") }
            #expect(try a.topics.topics == ["x"])
            again.leave()
            #expect(try a.topics.topics == [])
            try await b.until { try b.topics.peers(of: "x").isEmpty }
            await a.close()
            await b.close()
        }
    }

    @Test func identitiesOfEveryKindSign() throws {
        let world = World(seed: 4)
        try world.run {
            let listener = try await world.gossiper("listener")
            let topic = try await listener.topics.join("keys")
            var kinds: [(String, IdentityKeyPair)] = []
            for kind in [KeyKind.ed25519, .secp256k1, .ecdsa, .rsa, .mlDSA44, .mlDSA65, .slhDSAShake128s] {
                kinds.append(("\(kind)", try IdentityKeyPair(generating: kind, random: SecureBytes([UInt8](repeating: 9, count: kind.randomLength)))))
            }
            for (name, key) in kinds {
                let speaker = try await world.gossiper(name) { $0.identity = key }
                try await speaker.connect(listener.dialable)
                try await speaker.until { try !speaker.topics.peers(of: "keys").isEmpty }
                try await speaker.topics.publish(Bytes(utf8: name), to: "keys")
                let found = await first(1, of: topic)
                #expect(found.first?.data == Bytes(utf8: name))
                #expect(found.first?.author == speaker.peer)
                await speaker.close()
            }
            await listener.close()
        }
    }

    @Test func validatorsDecide() throws {
        let world = World(seed: 5)
        try world.run {
            let speaker = try await world.gossiper("speaker"), listener = try await world.gossiper("listener")
            let topic = try await listener.topics.join("judged"), slow = try await listener.topics.join("slow")
            try listener.topics.setValidator(.sync { $0.data.first == 0 ? .reject : $0.data.first == 1 ? .ignore : .accept }, for: "judged")
            let home = listener.system.home
            try listener.topics.setValidator(
                .async(limit: 2) { message in
                    do { try await home.sleep(until: home.now + .seconds(1)) } catch { return .ignore }
                    return .accept
                }, for: "slow")
            try await speaker.connect(listener.dialable)
            try await speaker.until { try speaker.topics.peers(of: "judged").count == 1 && speaker.topics.peers(of: "slow").count == 1 }
            for byte in [0, 1, 2] as [UInt8] { try await speaker.topics.publish([byte], to: "judged") }
            #expect(await first(1, of: topic).first?.data == [2])
            #expect(try listener.topics.counters.rejected == 1)
            #expect(try listener.topics.counters.ignored == 1)
            let score = try listener.topics.score(of: speaker.peer) ?? 0
            #expect(score < 0)
            // Two at once are looked at, the others are dropped.
            for byte in 0..<5 as Range<UInt8> { try await speaker.topics.publish([byte], to: "slow") }
            #expect(await first(2, of: slow).count == 2)
            #expect(try listener.topics.counters.ignored == 4)
            await speaker.close()
            await listener.close()
        }
    }

    @Test func slowReadersLoseTheOldestOrSlowTheSender() throws {
        let world = World(seed: 6)
        try world.run {
            let speaker = try await world.gossiper("speaker"), listener = try await world.gossiper("listener")
            let lossy = try await listener.topics.join("lossy", buffer: 10)
            let patient = try await listener.topics.join("patient", buffer: 10, overflow: .wait)
            try await speaker.connect(listener.dialable)
            try await speaker.until { try speaker.topics.peers(of: "lossy").count == 1 && speaker.topics.peers(of: "patient").count == 1 }
            for number in 0..<100 as Range<UInt8> { try await speaker.topics.publish([number], to: "lossy") }
            let pubsub = try listener.topics
            try await listener.until { pubsub.counters.delivered == 100 }
            #expect(await first(10, of: lossy).map { $0.data[0] } == Array(90..<100))
            #expect(lossy.messages.missed == 90)
            for number in 0..<100 as Range<UInt8> { try await speaker.topics.publish([number], to: "patient") }
            #expect(await first(100, of: patient).map { $0.data[0] } == Array(0..<100))
            #expect(patient.messages.missed == 0)
            await speaker.close()
            await listener.close()
        }
    }

    @Test func floodsubNodesTakePart() throws {
        let world = World(seed: 7)
        try world.run {
            var flood = PubSubConfiguration()
            flood.parameters.router = .floodsub
            let old = try await world.gossiper("old", flood), middle = try await world.gossiper("middle"), new = try await world.gossiper("new")
            try await old.connect(middle.dialable)
            try await new.connect(middle.dialable)
            let topics = [try await old.topics.join("t"), try await middle.topics.join("t"), try await new.topics.join("t")]
            try await middle.until { try middle.topics.peers(of: "t").count == 2 }
            try await new.until { try new.topics.peers(of: "t").count == 1 }
            try await topics[2].publish("down")
            #expect(await first(1, of: topics[0]).first?.data == "down")
            try await topics[0].publish("up")
            #expect(await first(2, of: topics[2]).last?.data == "up")
            for node in [old, middle, new] { await node.close() }
        }
    }

    @Test func eventsTellOfPeers() throws {
        let world = World(seed: 8)
        try world.run {
            let a = try await world.gossiper("a"), b = try await world.gossiper("b")
            let topic = try await a.topics.join("e")
            let events = topic.events
            try await b.connect(a.dialable)
            let other = try await b.topics.join("e")
            var seen: [String] = []
            for await event in events {
                switch event {
                case .joined: seen.append("joined")
                case .grafted: seen.append("grafted")
                case .left: seen.append("left")
                case .pruned: seen.append("pruned")
                case .missed: break
                }
                if seen.count == 2 { other.leave() }
                if seen.count == 4 { break }
            }
            #expect(seen == ["joined", "grafted", "pruned", "left"])
            await a.close()
            await b.close()
        }
    }
}
