import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

@Suite struct NodeTests {
    /// The library example of the README, in a simulated world.
    @Test func twentyLineEcho() throws {
        let world = World(seed: 51)
        let server = world.host("server")
        let client = world.host("client")
        try world.run {
            let echo = try await Node(.preset(.publicServer), on: world.system(for: server))
            echo.add(Echo())
            try await echo.start()
            let peer = echo.peer
            let address = try Multiaddr(parsing: "/ip4/10.0.0.1/tcp/4701").with(peer: peer)

            let node = try await Node(.preset(.publicServer), on: world.system(for: client))
            node.add(Echo())
            try await node.run { node in
                try await node.connect(address)
                try await node.withStream(to: peer, "/echo/1.0.0") { stream in
                    try await stream.write("hello")
                    stream.finish()
                    #expect(try await stream.readAll(limit: .kibibytes(64)) == "hello")
                    #expect(stream.connection.security.isPostQuantum)
                }
            }
            #expect(node.swarm.connections.isEmpty)
            await echo.close()
        }
    }

    @Test(arguments: NodeConfiguration.Preset.allCases) func presetsStandUp(preset: NodeConfiguration.Preset) throws {
        let world = World(seed: 52)
        let host = world.host("one")
        try world.run {
            let node = try await Node(.preset(preset), on: host.system)
            try await node.run { node in
                let expected = switch preset { case .publicServer, .lan: 3; case .client, .embedded: 0 }
                #expect(node.listenAddresses.count == expected)
                #expect(node.swarm.supportedProtocols.map(\.text) == ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/libp2p/fetch/0.0.1"])
            }
        }
    }

    @Test func portInUseIsSaid() throws {
        let world = World(seed: 53)
        try world.run {
            let first = try await world.node("one")
            try await first.start()
            let second = try await world.node("one")
            let error = await failure { try await second.run { _ in } }
            guard case SwarmError.listenFailed(_, .network(.addressInUse))? = error else { throw TestError.unexpected }
            await first.close()
        }
    }

    @Test func bootstrapKeepsTrying() throws {
        let world = World(seed: 54)
        try world.run {
            let first = try await world.node("first")
            let key = first.swarm.identity.key
            let address = Multiaddr(world.host("first").address(port: 4001), over: .tcp).with(peer: first.peer)
            let second = try await world.node("second") { $0.bootstrap = [address] }
            try await second.start()
            try await world.sleep(for: .seconds(40))
            #expect(second.swarm.peers.isEmpty)
            try await first.start()
            try await second.until(.seconds(600)) { second.swarm.peers == [first.peer] }
            await first.close()
            try await second.until { second.swarm.peers.isEmpty }
            let again = try await world.node("first") { $0.identity = key }
            try await again.start()
            try await second.until(.seconds(600)) { second.swarm.peers == [again.peer] }
            await again.close()
            await second.close()
        }
    }

    /// The address book of a node outlives it.
    @Test func remembersAddressesOverRestarts() throws {
        let world = World(seed: 55)
        try world.run {
            let server = try await world.node("server")
            try await server.start()
            let host = world.host("client")
            var configuration = NodeConfiguration.preset(.client)
            configuration.policy = .classical
            let peer = server.peer
            do {
                let store = try host.system.openStore("/data", tables: Node.tables, capacity: 1 << 30)
                let node = try await Node(configuration, on: host.system, store: store)
                try await node.run { node in _ = try await node.connect(server.dialable) }
                await store.close()
            }
            host.kill()
            let system = host.restart()
            let store = try system.openStore("/data", tables: Node.tables, capacity: 1 << 30)
            let node = try await Node(configuration, on: system, store: store)
            try await node.run { node in
                let connection = try await node.swarm.connect(to: peer)
                #expect(connection.peer == peer)
            }
            await store.close()
            await server.close()
        }
    }
}
