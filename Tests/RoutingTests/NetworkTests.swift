import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation
import WaggleTestSupport

@testable import WaggleContent

/// Nodes with repositories in one local network: names and content through the hash table.
private struct TestNetwork: Sendable {
    let world: World
    var nodes: [ContentNode] = []

    init(_ world: World) { self.world = world }

    static func routing() -> RoutingConfiguration {
        var routing = RoutingConfiguration()
        routing.republishing.interval = .seconds(400)
        routing.republishing.lifetime = .seconds(1200)
        return routing
    }

    static func open(_ system: some System, _ host: Host, isNew: Bool = true, overPubSub: Bool = false) async throws -> ContentNode {
        if isNew {
            try Repository.initialize(at: "/repo", configuration: "{}", on: system)
            _ = try IdentityFile.store(try Node.generateKey(system), in: "/repo", on: system)
        }
        var configuration = NodeConfiguration.preset(.lan)
        configuration.channels = { [PlainChannel($0)] }
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        var routing = routing()
        if overPubSub {
            configuration.routing = .none
            configuration.pubsub = PubSubConfiguration()
            routing.namesOverPubSub = true
        }
        let node = try await ContentNode.open("/repo", network: configuration, routing: routing, on: system)
        try await node.start()
        return node
    }

    mutating func grow(to count: Int) async throws {
        while nodes.count < count {
            let host = world.host("node\(nodes.count)")
            let node = try await TestNetwork.open(host.system, host)
            if let first = nodes.first { try await TestNetwork.connect(node, to: first) }
            nodes.append(node)
        }
        try await world.sleep(for: .seconds(30))
    }

    static func connect(_ node: ContentNode, to other: ContentNode) async throws {
        let (own, far) = (try #require(node.online), try #require(other.online))
        _ = try await own.swarm.connect(far.swarm.listenAddresses[0].with(peer: far.swarm.localPeer))
    }

    func close() async { for node in nodes { await node.close() } }
}

@Suite struct NetworkTests {
    private let first = "/ipfs/bafkqaddwgevxmmraojswg33smq"
    private let second = "/ipfs/bafkqaaa"

    private func resolve(_ node: ContentNode, _ name: IPNSName) async throws -> String {
        var options = NameSystem.Resolving()
        options.usesCache = false
        return try await node.names.resolve(try ContentPath(parsing: "/ipns/\(name)"), options).path.description
    }

    @Test func everybodyResolvesTheNewest() throws {
        let world = World(seed: 71)
        try world.run(limit: .seconds(40_000)) {
            var network = TestNetwork(world)
            try await network.grow(to: 6)
            let nodes = network.nodes
            let key = nodes[1].identity.key
            let name = IPNSName(nodes[1].identity.peer)
            var options = NameSystem.Publishing()
            options.lifetime = .seconds(1200)
            let old = try await nodes[1].names.publish(try ContentPath(parsing: first), with: key, options)
            for node in nodes { #expect(try await resolve(node, name) == first) }
            try await nodes[1].names.publish(try ContentPath(parsing: second), with: key, options)
            for node in nodes { #expect(try await resolve(node, name) == second) }

            // An older record never takes its place, whoever brings it.
            let router = try #require(nodes[4].online).routing.router
            await #expect(throws: (any Error).self) { try await router.putValue(old.encoded, for: name.routingKey) }
            // Nor does a forged one.
            let forged = try IPNSRecord(.init(value: first, sequence: 99, validity: world.host("node0").system.wallTime + .seconds(99)), with: testKey(3))
            await #expect(throws: (any Error).self) { try await router.putValue(forged.encoded, for: name.routingKey) }
            for node in nodes { #expect(try await resolve(node, name) == second) }

            // It is published again as long as its node lives, and ends some time after it.
            try await world.sleep(for: .seconds(1800))
            for node in nodes { #expect(try await resolve(node, name) == second) }
            await nodes[1].close()
            try await world.sleep(for: .seconds(300))
            #expect(try await resolve(nodes[5], name) == second)
            try await world.sleep(for: .seconds(1200))
            await #expect(throws: (any Error).self) { _ = try await resolve(nodes[5], name) }
            network.nodes.remove(at: 1)
            await network.close()
        }
    }

    @Test func namesTravelAsMessages() throws {
        let world = World(seed: 73)
        try world.run(limit: .seconds(10_000)) {
            var nodes: [ContentNode] = []
            for number in 0..<3 {
                let host = world.host("node\(number)")
                nodes.append(try await TestNetwork.open(host.system, host, overPubSub: true))
                if number == 1 { try await TestNetwork.connect(nodes[1], to: nodes[0]) }
            }
            let name = IPNSName(nodes[0].identity.peer)
            // Who asks follows the name from then on.
            await #expect(throws: (any Error).self) { _ = try await resolve(nodes[1], name) }
            try await world.sleep(for: .seconds(5))
            for value in [first, second] {
                try await nodes[0].names.publish(try ContentPath(parsing: value), with: nodes[0].identity.key)
                try await world.sleep(for: .seconds(2))
                #expect(try await resolve(nodes[1], name) == value)
            }
            // Whoever comes later asks those who follow it, and the author need not be there any more.
            await nodes[0].close()
            try await TestNetwork.connect(nodes[2], to: nodes[1])
            try await world.sleep(for: .seconds(5))
            #expect(try await resolve(nodes[2], name) == second)
            let followed = try #require(nodes[2].online?.routing.pubsubNames)
            #expect(followed.subscriptions == [name])
            #expect(followed.cancel(name) && !followed.cancel(name) && followed.subscriptions.isEmpty)
            for node in nodes.dropFirst() { await node.close() }
        }
    }

    @Test func aRestartKeepsNamesAndProvidedBlocks() throws {
        let world = World(seed: 72)
        try world.run(limit: .seconds(40_000)) {
            var network = TestNetwork(world)
            try await network.grow(to: 5)
            let nodes = network.nodes
            let key = nodes[2].identity.key
            let name = IPNSName(nodes[2].identity.peer)
            try await nodes[2].names.publish(try ContentPath(parsing: first), with: key)
            let bytes: Bytes = "a block to be found"
            let block = Block(cid: try #require(KeyspaceKey(try Multihash(.sha2_256, digest: Bytes(SHA256.hash(bytes).bytes.span))).cid), bytes: bytes)
            try await nodes[2].repository.blocks.put([block])
            try await world.sleep(for: .seconds(20))
            // Announced without anybody asking for it.
            let finder = try #require(nodes[4].online)
            let found = try await finder.routing.discovery.findProviders(of: block.cid, count: 1)
            #expect(found.map(\.peer) == [nodes[2].identity.peer])
            let announcer = try #require(nodes[2].online?.routing.announcer)
            #expect(await announcer.statistics().keysAnnounced >= 1)

            let host = world.host("node2")
            await nodes[2].close()
            try await world.sleep(for: .seconds(60))
            let again = try await TestNetwork.open(host.system, host, isNew: false)
            try await TestNetwork.connect(again, to: nodes[0])
            try await world.sleep(for: .seconds(60))
            #expect(again.identity.peer == nodes[2].identity.peer)
            #expect(try await resolve(again, name) == first)
            // The number goes on.
            let record = try await again.names.publish(try ContentPath(parsing: second), with: key)
            #expect(record.sequence == 1)
            for node in [nodes[0], nodes[3], nodes[4], again] { #expect(try await resolve(node, name) == second) }
            #expect(try await finder.routing.discovery.findProviders(of: block.cid, count: 1).map(\.peer) == [again.identity.peer])
            // And who served is remembered.
            let fetched = try await finder.bitswap.withSession { try await $0.block(block.cid) }
            #expect(fetched == bytes)
            #expect(finder.routing.providers.record(of: again.identity.peer).map { $0.successes > 0 } == true)
            network.nodes[2] = again
            await network.close()
        }
    }
}
