import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleServices

/// `waggle-bench gossip`: the wire format, the machine by itself, and messages from one node to another over TCP, hybrid Noise and yamux on
/// loopback.
enum GossipBenchmark {
    private static let topic: TopicID = "benchmark"
    private static let payload = 100
    /// What a core is to deliver in a second at least.
    private static let goal = 200_000.0

    static func run() async throws {
        try codec()
        try machine()
        try await loopback(.authorOnly, messages: 400_000, limit: goal, "the goal a core")
        let key = try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: 1, count: 32)))
        let text = Bytes([UInt8](repeating: 7, count: payload + 80))
        guard let signature = key.sign(text) else { return }
        let verification = Measure.nanoseconds(500) { _ = key.publicKey.verify(signature, of: text) }
        Measure.printTime("Ed25519 verification", verification)
        try await loopback(.strictSign, messages: 30_000, limit: 1e9 / verification, "verifications of one core")
    }

    // MARK: In memory

    private static func codec() throws {
        let author = Bytes([UInt8](repeating: 1, count: 38)), data = Bytes([UInt8](repeating: 2, count: payload))
        let sequence = Bytes([UInt8](repeating: 3, count: 8))
        let rpc = GossipCodec.encode(from: author, data: data, sequence: sequence, topic: topic.bytes)
        let encode = Measure.nanoseconds(20_000) { _ = GossipCodec.encode(from: author, data: data, sequence: sequence, topic: topic.bytes) }
        Measure.printTime("gossip message of \(payload) bytes, encode", encode, against: 1000, "1 µs")
        let decode = Measure.nanoseconds(20_000) { do { _ = try GossipCodec.decode(rpc) } catch {} }
        Measure.printTime("gossip message of \(payload) bytes, decode", decode, against: 1000, "1 µs")
    }

    /// A mesh of eight: one peer brings messages, fifty in an RPC, seven get them.
    private static func machine() throws {
        func peer(_ number: UInt8) throws -> PeerID { try PeerID(bytes: Bytes([0x12, 0x20] + [UInt8](repeating: number, count: 32))) }
        var now = Instant(nanoseconds: 1_000_000_000)
        let messages = 200_000, together = 50
        var best = Double.infinity
        let clock = ContinuousClock()
        for round in 0..<3 as Range<UInt64> {
            var machine = GossipMachine(
                local: try peer(255), parameters: GossipParameters(), policy: .authorOnly, rule: .authorAndSequence, seed: 1, now: now)
            machine.handle(.joined(topic, TopicConfiguration()), at: now)
            var subscription = ProtobufWriter()
            subscription.message(1) {
                $0.write(1, bool: true)
                $0.write(2, topic.bytes)
            }
            let subscribe = subscription.finish()
            for number in 0..<8 as Range<UInt8> {
                machine.handle(.connected(UInt32(number), try peer(number), GossipTraits(version: .v12, isOutbound: true, ip: nil)), at: now)
                machine.handle(.received(UInt32(number), subscribe), at: now)
                var graft = ProtobufWriter()
                graft.message(3) { $0.message(3) { $0.write(1, topic.bytes) } }
                machine.handle(.received(UInt32(number), graft.finish()), at: now)
            }
            let author = try peer(200).bytes
            let rpcs = (0..<messages / together).map { batch in
                var writer = ByteWriter(capacity: together * 200)
                for index in 0..<together {
                    var sequence = ByteWriter(capacity: 8)
                    sequence.write(integer: UInt64(batch * together + index) + round << 32)
                    writer.write(
                        GossipCodec.encode(
                            from: author, data: Bytes([UInt8](repeating: 2, count: payload)), sequence: sequence.finish(), topic: topic.bytes))
                }
                return writer.finish()
            }
            while machine.next() != nil {}
            var delivered = 0
            let time = clock.measure {
                for (index, rpc) in rpcs.enumerated() {
                    if index % 100 == 0 {
                        now = now + .seconds(1)
                        machine.handle(.tick, at: now)
                    }
                    machine.handle(.received(0, rpc), at: now)
                    while let output = machine.next() { if case .deliver = output { delivered += 1 } }
                    for number in 1..<8 as Range<UInt32> { while !machine.take(for: number).isEmpty {} }
                }
            }
            guard delivered == messages else { return print("the machine delivered \(delivered) of \(messages)") }
            best = min(best, seconds(time) / Double(messages) * 1e9)
        }
        Measure.printTime("machine: a message in, delivered, sent to seven", best, against: 1e9 / goal, "the goal a core")
    }

    // MARK: Over loopback

    private static func loopback(_ policy: SignaturePolicy, messages: Int, limit: Double, _ limitName: String) async throws {
        var configuration = PubSubConfiguration()
        configuration.policy = policy
        let (speaker, listener) = (try BenchmarkNode(), try BenchmarkNode())
        let (from, to) = (PubSub(configuration), PubSub(configuration))
        speaker.swarm.register(from)
        listener.swarm.register(to)
        speaker.swarm.start()
        listener.swarm.start()
        let counter = Counter()
        let addresses = try listener.wait { try await listener.swarm.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")) }
        let joined = try listener.wait { try await to.join(topic, buffer: PubSubLimits.messagesPerReader, overflow: .wait) }
        let scope = TaskScope()
        scope.spawn(on: listener.system.home) {
            for await _ in joined.messages { counter.value.wrappingAdd(1, ordering: .relaxed) }
        }
        let peer = listener.swarm.localPeer
        let usage = BenchmarkNode.usage
        let clock = ContinuousClock()
        let begun = Mutex(clock.now)
        try speaker.wait {
            _ = try await speaker.swarm.connect(to: peer, addresses: addresses)
            let home = speaker.system.home
            while from.peers(of: topic).isEmpty { try await home.sleep(until: home.now + .milliseconds(5)) }
            begun.withLock { $0 = clock.now }
            let data = Bytes([UInt8](repeating: 5, count: payload))
            for number in 0..<messages {
                // Not more than a peer's queue holds: what is beyond is dropped.
                while number - counter.value.load(ordering: .relaxed) >= 3000 { try await home.sleep(until: home.now + .microseconds(100)) }
                try await from.publish(data, to: topic)
                if number % 64 == 63 { await Task.yield() }
            }
            let end = home.now + .seconds(20)
            while counter.value.load(ordering: .relaxed) < messages, home.now < end { try await home.sleep(until: home.now + .milliseconds(1)) }
        }
        let wall = seconds(clock.now - begun.withLock { $0 })
        let spent = BenchmarkNode.usage - usage
        let arrived = counter.value.load(ordering: .relaxed)
        Measure.printTime("\(policy): over loopback, published to delivered", wall / Double(max(1, arrived)) * 1e9, against: 1e9 / limit, limitName)
        print("    \(arrived) of \(messages), \(Int(Double(arrived) / wall)) a second, \(Measure.text(spent / Double(max(1, arrived)) * 1e6)) µs of CPU for each, both nodes together")
        joined.leave()
        try speaker.wait { await speaker.swarm.close() }
        try listener.wait { await listener.swarm.close() }
        await scope.close()
    }

    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }
}
