import WaggleAssembly
import WaggleBase
import WaggleNetwork
import WaggleServices
import WaggleSimulation

/// A ring of nodes that ping each other: what the runner itself costs.
enum EchoScenario {
    static let scenario = Scenario(name: "ring", summary: "every node of a ring reaches its neighbour over a plain channel") { options in
        let count = options.nodes ?? 200
        var settings = WorldOptions()
        settings.tinySegmentEvery = 0
        settings.segmentSize = 16_384...16_384
        let world = World(seed: options.seed, options: settings)
        let answered = try world.run {
            var nodes: [Node] = []
            for number in 0..<count { nodes.append(try await world.plainNode("node\(number)")) }
            for node in nodes { try await node.start() }
            var answered = 0
            for (number, node) in nodes.enumerated() {
                let next = nodes[(number + 1) % count]
                try await node.connect(next.listenAddresses[0].with(peer: next.peer))
                if let ping = node.ping, try await ping.ping(next.peer) > .zero { answered += 1 }
            }
            for node in nodes { await node.close() }
            return answered
        }
        try claim(answered == count, "\(answered) of \(count) neighbours answered")
        figure("nodes", "\(count)")
        figure("virtual time", "\(world.elapsed)")
    }
}
