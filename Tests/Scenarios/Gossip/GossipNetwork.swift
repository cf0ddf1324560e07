import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

/// A simulated network of whole nodes that talk in one topic, and what became of each message.
final class GossipNetwork: @unchecked Sendable {
    static let topic: TopicID = "scenario"

    /// One message: who published it when, and who got it how much later, in milliseconds.
    struct Spread {
        var publisher: Int
        var at: Instant
        var arrivals: [Int: Double] = [:]
    }

    let world: World
    /// Only these count for deliveries.
    private(set) var honest: [Node] = []
    private(set) var attackers: [Node] = []
    private var attackersSoFar = 0
    private var joined: [PubSubTopic] = []
    private(set) var spreads: [Spread] = []
    private let scope = TaskScope()
    private var choices: ScenarioRandom
    /// The messages that are published have this many bytes.
    var size = 100

    /// Links of 50 ms and, both ways, `bandwidth` bytes a second.
    init(seed: UInt64, bandwidth: Int? = 12_500_000) {
        var options = WorldOptions()
        options.link = LinkOptions(latency: .milliseconds(50), jitter: .milliseconds(2), bandwidth: bandwidth)
        options.tinySegmentEvery = 0
        options.segmentSize = 16_384...16_384
        world = World(seed: seed, options: options)
        choices = ScenarioRandom(state: seed)
    }

    /// What honest nodes run with.
    static func honestConfiguration() -> PubSubConfiguration {
        var configuration = PubSubConfiguration()
        // A message that begins like this is against the rules of the topic.
        configuration.validator = .sync { $0.data.first == 0xff ? .reject : .accept }
        return configuration
    }

    func add(_ count: Int, _ pubsub: PubSubConfiguration = GossipNetwork.honestConfiguration()) async throws {
        for _ in 0..<count {
            let node = try await world.plainNode("node\(honest.count)") { GossipNetwork.prepare(&$0, pubsub) }
            try await node.start()
            honest.append(node)
        }
    }

    func addAttackers(_ count: Int, _ pubsub: PubSubConfiguration, onOneHost: Bool = false) async throws {
        for number in 0..<count {
            attackersSoFar += 1
            let host = onOneHost ? "attacker" : "attacker\(attackersSoFar)"
            let node = try await world.plainNode(host) { configuration in
                GossipNetwork.prepare(&configuration, pubsub)
                if onOneHost { configuration.listen = [Multiaddr(self.world.host(host).address(port: UInt16(5000 + number)), over: .tcp)] }
            }
            try await node.start()
            attackers.append(node)
        }
    }

    private static func prepare(_ configuration: inout NodeConfiguration, _ pubsub: PubSubConfiguration) {
        configuration.pubsub = pubsub
        configuration.limits.connectionsPerIPv4 = 4096
        configuration.trimming.highWater = nil
    }

    /// Every node of `from` dials `degree` others of `to`. With `mayBeRefused` some may be turned away, as nodes do with many from one address.
    func connect(_ from: [Node], to: [Node], degree: Int, mayBeRefused: Bool = false) async throws {
        let scope = TaskScope()
        let failures = Mutex(0)
        for node in from {
            var others: Set<Int> = []
            while others.count < min(degree, to.count - 1) {
                let other = Int.random(in: 0..<to.count, using: &choices)
                if to[other] !== node { others.insert(other) }
            }
            for other in others.sorted() {
                let target = to[other].listenAddresses[0].with(peer: to[other].peer)
                scope.spawn(on: world.mainLoop) {
                    do { _ = try await node.connect(target) } catch { failures.withLock { $0 += 1 } }
                }
            }
        }
        await scope.drain()
        let failed = failures.withLock { $0 }
        try claim(failed == 0 || mayBeRefused, "\(failed) dials failed")
    }

    func join(_ nodes: [Node], configuration: TopicConfiguration = TopicConfiguration()) async throws {
        for node in nodes {
            guard let pubsub = node.pubsub else { continue }
            let topic = try await pubsub.join(GossipNetwork.topic, configuration)
            guard let number = honest.firstIndex(where: { $0 === node }) else { continue }
            joined.append(topic)
            scope.spawn(on: node.system.home) { [self] in
                for await message in topic.messages {
                    let index = message.data.dropFirst(1).prefix(4).reduce(0) { $0 << 8 | Int($1) }
                    guard message.data.first == 0, index < spreads.count else { continue }
                    spreads[index].arrivals[number] = Double((world.now - spreads[index].at).wholeNanoseconds) / 1e6
                }
            }
        }
    }

    /// One message of `publisher`; says which it is.
    @discardableResult
    func publish(_ publisher: Int) async throws -> Int {
        let index = spreads.count
        spreads.append(Spread(publisher: publisher, at: world.now))
        var data = [UInt8](repeating: 0, count: max(size, 5))
        for shift in 0..<4 { data[1 + shift] = UInt8(truncatingIfNeeded: index >> (24 - 8 * shift)) }
        guard let pubsub = honest[publisher].pubsub else { return index }
        try await pubsub.publish(Bytes(data), to: GossipNetwork.topic)
        return index
    }

    /// A message each `pause` from chance nodes of the first `among`, for `duration`.
    func talk(for duration: Duration, every pause: Duration, among: Int? = nil) async throws {
        let end = world.now + duration
        while world.now < end {
            try await publish(Int.random(in: 0..<(among ?? honest.count), using: &choices))
            try await world.sleep(for: pause)
        }
    }

    func removeAttackers() async {
        for node in attackers { await node.close() }
        attackers = []
    }

    func sleep(_ duration: Duration) async throws { try await world.sleep(for: duration) }

    func close() async {
        for topic in joined { topic.leave() }
        for node in honest + attackers { await node.close() }
        await scope.close()
    }

    // MARK: Figures

    /// How many of the honest nodes got the messages from `first` on, as a part of all.
    func delivery(from first: Int = 0, to nodes: Range<Int>? = nil) -> Double {
        let nodes = nodes ?? 0..<honest.count
        let arrived = spreads[first...].reduce(0) { $0 + $1.arrivals.keys.reduce(0) { $0 + (nodes.contains($1) ? 1 : 0) } }
        return Double(arrived) / Double(max(1, (spreads.count - first) * nodes.count))
    }

    /// A quantile of the time until a message arrives, in milliseconds.
    func latency(_ quantile: Double, from first: Int = 0) -> Double {
        let times = spreads[first...].flatMap { spread in spread.arrivals.filter { $0.key != spread.publisher }.values }.sorted()
        guard !times.isEmpty else { return .infinity }
        return times[min(times.count - 1, Int(Double(times.count) * quantile))]
    }

    /// Counters of all honest nodes, added up.
    var total: GossipCounters {
        var sum = GossipCounters()
        for node in honest {
            guard let counters = node.pubsub?.counters else { continue }
            sum.receivedMessages += counters.receivedMessages
            sum.receivedRPCs += counters.receivedRPCs
            sum.delivered += counters.delivered
            sum.duplicates += counters.duplicates
            sum.heldBack += counters.heldBack
            sum.cancelledMessages += counters.cancelledMessages
            sum.sentWants += counters.sentWants
            sum.sentHaves += counters.sentHaves
            sum.sentDoNotWants += counters.sentDoNotWants
            sum.rejected += counters.rejected
            sum.graylisted += counters.graylisted
            sum.brokenPromises += counters.brokenPromises
        }
        return sum
    }
}

/// Choices of a scenario that follow from its seed.
struct ScenarioRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
