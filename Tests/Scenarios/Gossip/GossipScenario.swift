import WaggleAssembly
import WaggleBase
import WaggleNetwork
import WaggleServices
import WaggleSimulation

/// Networks without attackers: how fast messages spread, and how many copies travel.
enum GossipScenario {
    static let small = Scenario(name: "gossip", summary: "1,000 nodes talk for 60 virtual seconds: all get all, p99 within 400 ms") { options in
        let network = GossipNetwork(seed: options.seed)
        let clock = ContinuousClock()
        let start = clock.now
        let seconds = options.seconds ?? 60
        try network.world.run {
            try await network.add(options.nodes ?? 1000)
            try await network.connect(network.honest, to: network.honest, degree: options.degree ?? 10)
            try await network.join(network.honest)
            try await network.sleep(.seconds(5))
            let begun = clock.now
            try await network.talk(for: .seconds(seconds), every: .seconds(1))
            try await network.sleep(.seconds(2))
            figure("real seconds for setting up, talking", "\(decimals(text(begun - start))), \(decimals(text(clock.now - begun)))")
        }
        try report(network, copies: nil)
        try network.world.run { await network.close() }
    }

    static let large = Scenario(name: "gossip-large", summary: "16 KB messages: p99 within 400 ms and fewer than 1.5 copies a node") { options in
        let network = GossipNetwork(seed: options.seed)
        network.size = 16 << 10
        try network.world.run {
            try await network.add(options.nodes ?? 1000)
            try await network.connect(network.honest, to: network.honest, degree: options.degree ?? 15)
            try await network.join(network.honest)
            try await network.sleep(.seconds(5))
            try await network.talk(for: .seconds(options.seconds ?? 6), every: .seconds(1))
            try await network.sleep(.seconds(2))
        }
        try report(network, copies: 1.5)
        try network.world.run { await network.close() }
    }

    private static func text(_ duration: Duration) -> Double { Double(duration.wholeNanoseconds) / 1e9 }

    private static func report(_ network: GossipNetwork, copies limit: Double?) throws {
        let total = network.total
        let copies = Double(total.receivedMessages) / Double(max(1, total.delivered))
        let delivery = network.delivery()
        let slowest = network.latency(0.99)
        figure("messages, nodes", "\(network.spreads.count), \(network.honest.count)")
        figure("delivered", "\(decimals(delivery * 100)) %")
        figure("propagation p50, p99, most", "\(decimals(network.latency(0.5))), \(decimals(slowest)), \(decimals(network.latency(1))) ms")
        figure("copies received a node", decimals(copies))
        figure("held back, cancelled, asked for", "\(total.heldBack), \(total.cancelledMessages), \(total.sentWants)")
        try claim(delivery > 0.9999, "\(decimals(delivery * 100)) % of the messages arrived")
        try claim(slowest <= 400, "p99 is \(decimals(slowest)) ms")
        if let limit { try claim(copies < limit, "\(decimals(copies)) copies of the payload a node") }
    }
}
