import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation
import WaggleTestSupport

@testable import WaggleContent

/// What a node was made of goes with it.
@Suite struct LifetimeTests {
    private struct Weak: @unchecked Sendable {
        let name: String
        weak var object: AnyObject?
    }

    @Test(arguments: [false, true]) func nothingOutlivesANode(overPubSub: Bool) throws {
        let world = World(seed: 5)
        let parts = Mutex<[Weak]>([])
        try world.run {
            var nodes: [ContentNode] = []
            for host in [world.host("a"), world.host("b")] {
                try Repository.initialize(at: "/repo", configuration: "{}", on: host.system)
                _ = try IdentityFile.store(try Node.generateKey(host.system), in: "/repo", on: host.system)
                var configuration = NodeConfiguration.preset(.lan)
                configuration.channels = { [PlainChannel($0)] }
                configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
                configuration.pubsub = PubSubConfiguration()
                configuration.routing = .dhtServer
                var routing = RoutingConfiguration()
                routing.namesOverPubSub = overPubSub
                let node = try await ContentNode.open("/repo", network: configuration, routing: routing, on: host.system)
                try await node.start()
                nodes.append(node)
            }
            let (own, other) = (try #require(nodes[0].online), try #require(nodes[1].online))
            try await own.node.connect(other.swarm.listenAddresses[0])
            try await world.sleep(for: .seconds(30))
            let objects: [(String, AnyObject?)] = [
                ("node", nodes[0]), ("host", own.node), ("swarm", own.swarm), ("table", own.kademlia?.wide), ("exchange", own.bitswap),
                ("announcer", own.routing.announcer), ("topics", own.node.pubsub), ("names", nodes[0].names),
                ("followed", own.routing.pubsubNames), ("identify", own.node.identify), ("fetch", own.node.fetch), ("router", own.routing.router),
            ]
            let left = objects.map { Weak(name: $0.0, object: $0.1) }
            parts.withLock { $0 = left }
            for node in nodes { await node.close() }
        }
        #expect(parts.withLock { $0.filter { $0.object != nil }.map(\.name) } == [])
    }
}
