import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleServices

/// Streams that come, go and come again, with peers that treat them as go-libp2p does: of two streams of a peer the older one is reset, and with
/// it what was in flight.
struct PubSubStreamTests {
    /// A peer that reads what it is sent, resets what it is told to, and says what it is told to on streams of its own.
    private final class Script: Service {
        private struct State {
            var streams = 0
            var current: Stream?
            var rpcs: [SentRPC] = []
            var resetsAfter = 0
        }

        private let state = Mutex(State())

        var protocols: [ProtocolID] { ["/meshsub/1.1.0"] }
        /// Streams that came so far.
        var streams: Int { state.withLock { $0.streams } }
        var rpcs: [SentRPC] { state.withLock { $0.rpcs } }

        /// Resets the next `count` streams as soon as something has come.
        func reset(next count: Int) { state.withLock { $0.resetsAfter = count } }
        func resetNow() { state.withLock { $0.current }?.reset() }

        func serve(_ stream: Stream, from peer: PeerID) async throws {
            let older = state.withLock { state in
                state.streams += 1
                defer { state.current = stream }
                return state.current
            }
            older?.reset()
            while let message = try await stream.readMessage(limit: .mebibytes(1)) {
                let rpc = try SentRPC(message)
                let isEnough = state.withLock { state in
                    state.rpcs.append(rpc)
                    state.resetsAfter -= 1
                    return state.resetsAfter >= 0
                }
                if isEnough { return stream.reset() }
            }
        }

        /// Opens a stream and says these fields, as one RPC.
        func say(_ fields: [Bytes], on connection: Connection) async throws -> Stream {
            let stream = try await connection.openStream(["/meshsub/1.1.0"])
            var writer = ProtobufWriter()
            for field in fields { writer.raw(field) }
            try await stream.writeMessage(writer.finish())
            return stream
        }
    }

    private func pair(_ world: World) async throws -> (node: Node, other: Node, script: Script) {
        let script = Script()
        let node = try await world.gossiper("node"), other = try await world.gossiper("other") { $0.pubsub = nil }
        other.add(script)
        return (node, other, script)
    }

    private let subscription = GossipEncoding.subscription("t", true)
    private var graft: Bytes {
        var writer = ProtobufWriter()
        writer.message(3) { $0.raw(GossipEncoding.graft("t")) }
        return writer.finish()
    }

    /// Both sides open at the same moment, whoever dialed: one stream of ours, whose first words are read.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func oneStreamWhoeverComesFirst(_ seed: UInt64) throws {
        let world = World(seed: seed)
        try world.run {
            let (node, other, script) = try await pair(world)
            _ = try await node.topics.join("t")
            let connection: Connection
            if seed.isMultiple(of: 2) {
                try await node.connect(other.dialable)
                try await other.until { other.swarm.isConnected(node.peer) }
                connection = try #require(other.swarm.connections(to: node.peer).first)
            } else {
                connection = try await other.connect(node.dialable)
            }
            // At about the time at which the node hears what the other speaks.
            try await other.system.home.sleep(until: other.system.home.now + .microseconds(Int64(seed * 400)))
            _ = try await script.say([subscription], on: connection)
            try await other.until { script.rpcs.contains { $0.subscriptions.contains { $0 == ("t", true) } } }
            try await other.system.home.sleep(until: other.system.home.now + .seconds(20))
            #expect(script.streams == 1)
            for node in [node, other] { await node.close() }
        }
    }

    /// A stream that is reset while nothing is to be said is opened again, with all that the peer has to know.
    @Test func aLostGreetingIsSaidAgain() throws {
        let world = World(seed: 21)
        try world.run {
            let (node, other, script) = try await pair(world)
            _ = try await node.topics.join("t")
            script.reset(next: 3)
            try await node.connect(other.dialable)
            try await other.until(.seconds(8)) { script.rpcs.count == 4 }
            for rpc in script.rpcs { #expect(rpc.subscriptions.map(\.0) == ["t"]) }
            for node in [node, other] { await node.close() }
        }
    }

    /// What went down with a stream is told of on the next one.
    @Test func messagesInFlightAreToldOfAgain() throws {
        let world = World(seed: 22)
        try world.run {
            let (node, other, script) = try await pair(world)
            let topic = try await node.topics.join("t")
            let connection = try await other.connect(node.dialable)
            _ = try await script.say([subscription, graft], on: connection)
            try await node.until { topic.mesh.count == 1 }
            try await other.until { script.streams == 1 }
            script.resetNow()
            try await topic.publish("lost")
            try await other.until { script.rpcs.contains { $0.haves.contains { $0.topic == "t" && $0.ids.count == 1 } } }
            #expect(script.streams == 2)
            #expect(!script.rpcs.contains { !$0.messages.isEmpty })
            #expect(script.rpcs.last?.grafts == ["t"])
            for node in [node, other] { await node.close() }
        }
    }

    /// A peer that begins its own stream anew has forgotten what it knew of us.
    @Test func whoBeginsAnewIsToldAgain() throws {
        let world = World(seed: 23)
        try world.run {
            let (node, other, script) = try await pair(world)
            let topic = try await node.topics.join("t")
            let connection = try await other.connect(node.dialable)
            let first = try await script.say([subscription, graft], on: connection)
            try await node.until { topic.mesh.count == 1 }
            try await other.until { script.rpcs.count == 1 }
            first.reset()
            _ = try await script.say([subscription], on: connection)
            try await other.until { script.rpcs.count > 1 }
            #expect(script.streams == 1)
            #expect(script.rpcs.last?.subscriptions.map(\.0) == ["t"] && script.rpcs.last?.grafts == ["t"])
            // However often it does so, it is told once a heartbeat.
            let before = script.rpcs.count
            for _ in 0..<20 {
                let stream = try await script.say([subscription], on: connection)
                try await other.system.home.sleep(until: other.system.home.now + .milliseconds(20))
                stream.reset()
            }
            try await other.system.home.sleep(until: other.system.home.now + .milliseconds(1200))
            #expect((1...2).contains(script.rpcs.count - before))
            for node in [node, other] { await node.close() }
        }
    }

    /// A peer that has opened two streams may go on with either.
    @Test func bothOfTwoStreamsAreRead() throws {
        let world = World(seed: 25)
        try world.run {
            let (node, other, script) = try await pair(world)
            let topic = try await node.topics.join("t")
            let connection = try await other.connect(node.dialable)
            let older = try await script.say([], on: connection)
            _ = try await script.say([GossipEncoding.subscription("u", true)], on: connection)
            try await node.until { try node.topics.peers(of: "u").count == 1 }
            var writer = ByteWriter()
            writer.write(UInt8(subscription.count))
            writer.write(subscription)
            try await older.write(writer.finish())
            try await node.until { topic.peers.count == 1 }
            for node in [node, other] { await node.close() }
        }
    }

    /// Who resets every stream is left alone after some time.
    @Test func resettingEveryStreamComesToAnEnd() throws {
        let world = World(seed: 24)
        try world.run {
            let (node, other, script) = try await pair(world)
            _ = try await node.topics.join("t")
            script.reset(next: .max)
            try await node.connect(other.dialable)
            try await other.system.home.sleep(until: other.system.home.now + .seconds(40))
            #expect(script.streams == 1 + PubSubLimits.reopenings)
            for node in [node, other] { await node.close() }
        }
    }
}
