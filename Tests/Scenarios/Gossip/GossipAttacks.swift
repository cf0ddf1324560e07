import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleNetwork
import WaggleServices
import WaggleSimulation

/// A network of honest nodes that is attacked in one way after the other: messages must go on to arrive.
///
/// Attackers are whole nodes too. They graft whomever they can, keep everybody in their meshes, judge nobody and tell of nothing; what they forward
/// a switch decides.
enum GossipAttacks {
    /// In the standard list with few nodes, because a thousand take minutes.
    static let small = Scenario(name: "gossip-attacks-small", summary: "150 honest nodes under six attacks: at least 99 % of the messages arrive") {
        try run($0, nodes: 150)
    }

    static let scenario = Scenario(
        name: "gossip-attacks", summary: "1,000 honest nodes under six attacks: at least 99 % of the messages arrive", isStandard: false
    ) { try run($0, nodes: 1000) }

    @Sendable private static func run(_ options: ScenarioOptions, nodes: Int) throws {
        let network = GossipNetwork(seed: options.seed)
        let honest = options.nodes ?? nodes
        let share = honest / 20
        let failures = try network.world.run {
            var failures: [String] = []
            func check(_ name: String, from first: Int, to nodes: Range<Int>? = nil) {
                let delivery = network.delivery(from: first, to: nodes)
                figure(name, "\(decimals(delivery * 100)) % of \(network.spreads.count - first) messages, p99 \(decimals(network.latency(0.99, from: first))) ms")
                if delivery < 0.99 { failures.append("\(name): only \(decimals(delivery * 100)) % arrived") }
            }

            // Cold boot: the attackers are there first, and a fifth of whom everybody knows.
            let silence = Attack(isOn: true)
            try await network.addAttackers(share * 4, silence.configuration)
            try await network.join(network.attackers)
            try await network.add(honest)
            try await network.connect(network.honest, to: network.honest, degree: 12)
            try await network.connect(network.honest, to: network.attackers, degree: 3)
            try await network.join(network.honest)
            try await network.sleep(.seconds(3))
            var first = network.spreads.count
            try await network.talk(for: .seconds(8), every: .milliseconds(500))
            try await network.sleep(.seconds(4))
            check("cold boot", from: first)
            await network.removeAttackers()

            // Eclipse: a crowd surrounds ten nodes.
            try await network.addAttackers(share, silence.configuration)
            try await network.join(network.attackers)
            try await network.connect(network.attackers, to: Array(network.honest[0..<10]), degree: 9, mayBeRefused: true)
            try await network.sleep(.seconds(5))
            first = network.spreads.count
            try await network.talk(for: .seconds(8), every: .milliseconds(500))
            try await network.sleep(.seconds(4))
            check("eclipse, what the victims get", from: first, to: 0..<10)
            first = network.spreads.count
            try await network.talk(for: .seconds(4), every: .milliseconds(500), among: 10)
            try await network.sleep(.seconds(4))
            check("eclipse, what the victims say", from: first)
            await network.removeAttackers()

            // Censorship: everything is forwarded but what one node says.
            let censorship = Attack(isOn: true, only: network.honest[5].peer)
            try await network.addAttackers(share * 4, censorship.configuration)
            try await network.join(network.attackers)
            try await network.connect(network.attackers, to: network.honest, degree: 10, mayBeRefused: true)
            try await network.connect(network.attackers, to: Array(network.honest[4..<7]), degree: 2, mayBeRefused: true)
            try await network.sleep(.seconds(5))
            first = network.spreads.count
            for _ in 0..<10 {
                try await network.publish(5)
                try await network.sleep(.milliseconds(500))
            }
            try await network.sleep(.seconds(4))
            check("censorship", from: first)
            await network.removeAttackers()

            // Covert flash: they earn their place, and then fall silent together.
            let covert = Attack(isOn: false)
            try await network.addAttackers(share * 4, covert.configuration)
            try await network.join(network.attackers)
            try await network.connect(network.attackers, to: network.honest, degree: 10, mayBeRefused: true)
            try await network.talk(for: .seconds(6), every: .milliseconds(500))
            covert.begin()
            first = network.spreads.count
            try await network.talk(for: .seconds(8), every: .milliseconds(500))
            try await network.sleep(.seconds(4))
            check("covert flash", from: first)
            await network.removeAttackers()

            // Many on one address.
            try await network.addAttackers(max(share, 30), silence.configuration, onOneHost: true)
            try await network.join(network.attackers)
            let victims = Array(network.honest[0..<10])
            try await network.connect(network.attackers, to: victims, degree: 9, mayBeRefused: true)
            try await network.sleep(.seconds(4))
            let crowd = Set(network.attackers.map(\.peer))
            let inMeshes = victims.reduce(0) { $0 + ($1.pubsub?.mesh(of: GossipNetwork.topic).filter { crowd.contains($0) }.count ?? 0) }
            figure("attackers of one address in meshes", "\(inMeshes)")
            if inMeshes > 0 { failures.append("\(inMeshes) attackers of one address are in meshes") }
            first = network.spreads.count
            try await network.talk(for: .seconds(6), every: .milliseconds(500))
            try await network.sleep(.seconds(4))
            check("many on one address, what the victims get", from: first, to: 0..<10)
            await network.removeAttackers()

            // A flood of messages that the topic's validator rejects.
            var flooders = PubSubConfiguration()
            flooders.parameters.score = nil
            try await network.addAttackers(share, flooders)
            try await network.join(network.attackers)
            try await network.connect(network.attackers, to: network.honest, degree: 10, mayBeRefused: true)
            try await network.sleep(.seconds(1))
            first = network.spreads.count
            let before = network.total.rejected
            let scope = TaskScope()
            for attacker in network.attackers {
                scope.spawn(on: network.world.mainLoop) {
                    do {
                        for _ in 0..<160 {
                            try await attacker.pubsub?.publish([0xff, 1, 2, 3], to: GossipNetwork.topic)
                            try await network.sleep(.milliseconds(50))
                        }
                    } catch {}
                }
            }
            try await network.talk(for: .seconds(8), every: .milliseconds(500))
            await scope.drain()
            try await network.sleep(.seconds(4))
            check("flood of invalid messages", from: first)
            let sent = network.attackers.count * 160 * 10
            figure("invalid messages looked at, sent", "\(network.total.rejected - before), about \(sent)")
            if Double(network.total.rejected - before) > Double(sent) / 2 { failures.append("flooders were listened to until the end") }
            await network.close()
            return failures
        }
        try claim(failures.isEmpty, failures.joined(separator: "; "))
    }

    /// What attackers do with messages.
    private final class Attack: Sendable {
        private let isOn: Atomic<Bool>
        private let author: PeerID?

        /// Once on, nothing is forwarded; with an author only his messages are not.
        init(isOn: Bool, only author: PeerID? = nil) {
            self.isOn = Atomic(isOn)
            self.author = author
        }

        func begin() { isOn.store(true, ordering: .relaxed) }

        var configuration: PubSubConfiguration {
            var configuration = PubSubConfiguration()
            configuration.parameters.score = nil
            configuration.parameters.degree = 100
            configuration.parameters.degreeLow = 90
            configuration.parameters.degreeHigh = 10_000
            configuration.parameters.degreeLazy = 0
            configuration.parameters.gossipFactor = 0
            configuration.validator = .sync { [self] message in
                guard isOn.load(ordering: .relaxed) else { return .accept }
                return author.map { $0 == message.author } ?? true ? .ignore : .accept
            }
            return configuration
        }
    }
}
