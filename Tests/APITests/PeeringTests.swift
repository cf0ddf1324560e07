import Testing
@testable import WaggleAPI
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@Suite struct PeeringTests {
    private func node(_ world: World, _ name: String) async throws -> Node {
        let host = world.host(name)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.policy = .classical
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        let node = try await Node(configuration, on: host.system)
        try await node.start()
        return node
    }

    @Test func peersAreDialedAgain() throws {
        let world = World(seed: 1)
        try world.run {
            let (client, server) = (try await node(world, "client"), try await node(world, "server"))
            let peering = Peering(client.swarm, on: client.system.home)
            let scope = TaskScope()
            scope.spawn(on: client.system.home) { await peering.run() }
            // One that hangs does not hold up the other.
            let dead = try #require(Multiaddr("/ip4/10.0.0.77/tcp/1/p2p/12D3KooWA6EGcHyLd5zLwJkP8X5sVTQpGqDwgBR3yqkgXJQaMcxR"))
            try peering.add(#require(dead.peer), [dead])
            try peering.add(server.peer, server.listenAddresses)
            try await world.sleep(for: .seconds(1))
            #expect(client.swarm.isConnected(server.peer))
            for _ in 0..<3 {
                await server.swarm.disconnect(client.peer)
                try await world.sleep(for: .seconds(8))
                #expect(client.swarm.isConnected(server.peer))
            }
            peering.remove(server.peer)
            await server.swarm.disconnect(client.peer)
            try await world.sleep(for: .seconds(60))
            #expect(!client.swarm.isConnected(server.peer) && peering.peers.count == 1)
            await scope.close()
            await client.close()
            await server.close()
        }
    }

    @Test func pausesGrow() {
        for random: UInt64 in [0, 12_345_678_901] {
            let pauses = (1...30).map { Peering.pause(afterFailures: $0, random: random) }
            #expect(pauses[0] >= .milliseconds(3750) && pauses[0] <= .milliseconds(6250))
            #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $0 <= $1 })
            #expect(pauses[29] >= .seconds(449) && pauses[29] <= .seconds(751))
        }
    }

    @Test func bootstrapEntriesOfTheConfiguration() throws {
        var configuration = ConfigurationDefaults.make(peerID: "x")
        #expect(try NodeSettings.make(configuration).bootstrap.count == ConfigurationDefaults.bootstrap.count)
        try configuration.set("Bootstrap", to: ["auto", "dns://seeds.example.org", "203.0.113.10:6701"])
        let settings = try NodeSettings.make(configuration)
        #expect(settings.seeds == [.texts(name: "seeds.example.org")])
        #expect(settings.bootstrap.last == Multiaddr("/ip4/203.0.113.10/tcp/6701"))
        #expect(settings.bootstrap.count == ConfigurationDefaults.bootstrap.count + 1)
        #expect(settings.multicastDNS)
        try configuration.set("Bootstrap", to: ["nonsense"])
        #expect(throws: CommandError.self) { try NodeSettings.make(configuration) }
        try ConfigurationDefaults.apply("test", to: &configuration)
        #expect(try NodeSettings.make(configuration).bootstrap.isEmpty && !NodeSettings.make(configuration).multicastDNS)
        try configuration.set("Addresses.Swarm", to: ["/dns4/localhost/tcp/4701"])
        #expect(throws: CommandError.self) { try NodeSettings.make(configuration) }
        // The environment wins; empty means none.
        let plain = ConfigurationDefaults.make(peerID: "x")
        #expect(try DaemonOverrides(["BOOTSTRAP": ""]).apply(to: plain).bootstrap.isEmpty)
        #expect(try DaemonOverrides(["BOOTSTRAP": "a:1, b:2"]).apply(to: plain).bootstrap == ["a:1", "b:2"])
        #expect(try DaemonOverrides(["ANIMICA_P2P_SEEDS": "dns://seeds.animica.org"]).apply(to: plain).bootstrap == ["dns://seeds.animica.org"])
    }
}
