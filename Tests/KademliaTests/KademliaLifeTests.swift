import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation
import WaggleTestSupport

/// Restarts, modes, limits on the wire, and announcing many blocks at once.
@Suite struct KademliaLifeTests {
    private func stored(_ world: World, _ name: String, key: IdentityKeyPair) async throws -> (KadNode, any KeyValueStore) {
        let system = world.host(name).system
        let store = try system.openStore("/store", tables: Node.tables + [Kademlia.table], capacity: 1 << 26)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.identity = key
        configuration.channels = { [PlainChannel($0)] }
        configuration.listen = [Multiaddr(world.host(name).address(port: 4001), over: .tcp)]
        let node = try await Node(configuration, on: system, store: store)
        let kad = Kademlia(.local(validators: [PublicKeyValidator(), NumberValidator()], store: store))
        node.add(kad)
        return (KadNode(node: node, kad: kad), store)
    }

    @Test func recordsAndPeersOutliveARestart() throws {
        let world = World(seed: 51)
        try world.run {
            let key = try Node.generateKey(world.host("server").system)
            let others = try await world.kadNodes(4, .local(validators: [PublicKeyValidator(), NumberValidator()]))
            let (server, store) = try await stored(world, "server", key: key)
            try await server.start(joining: others[0])
            try await world.sleep(for: .seconds(30))
            let block = cid("kept")
            try await others[1].kad.provide(block)
            try await others[2].kad.putValue("v3", for: "/number/kept")
            #expect(server.kad.localProviders(of: block.multihash).map(\.peer) == [others[1].peer])
            await server.node.close()
            await store.close()
            world.host("server").kill()
            world.host("server").restart()
            let (again, secondStore) = try await stored(world, "server", key: key)
            // Nobody tells it where to go: it finds the way back by itself.
            try await again.node.start()
            try await world.sleep(for: .seconds(30))
            #expect(again.kad.peerCount == 4)
            #expect(again.kad.localProviders(of: block.multihash).map(\.peer) == [others[1].peer])
            #expect(again.kad.localProviders(of: block.multihash).first?.addresses == others[1].node.listenAddresses)
            let value = try again.kad.core.responder.state.withLock {
                $0.values.row(of: KademliaKey(hashing: "/number/kept" as Bytes), at: world.wallTime)
            }
            #expect(value?.value == "v3")
            #expect(value?.sender == others[2].peer)
            await again.node.close()
            await secondStore.close()
            for node in others { await node.node.close() }
        }
    }

    /// What expires while nobody runs is removed from the store as well.
    @Test func whatExpiredIsRemoved() throws {
        let world = World(seed: 58)
        try world.run {
            let store = try world.host("server").system.openStore("/store", tables: [Kademlia.table], capacity: 1 << 26)
            let archive = KademliaArchive(store, "/test")
            let now = world.wallTime
            let own = KademliaKey(hashing: "own" as Bytes)
            var providers = ProviderTable(own: own), values = ValueTable(own: own)
            (providers.keepsChanges, values.keepsChanges) = (true, true)
            try providers.add(contact(1), for: KademliaKey(hashing: "old" as Bytes), at: now)
            try providers.add(contact(2), for: KademliaKey(hashing: "new" as Bytes), at: now + .seconds(10 * 3600))
            try values.put(ValueTable.Row(key: "k", value: "v", received: now, sender: peerID(1)), at: KademliaKey(hashing: "k" as Bytes))
            try await archive.write(providers.takeChanges(), values.takeChanges(), peers: [contact(3)], durable: true)
            #expect(try rows(store) == ["a": 2, "p": 1, "r": 2, "v": 1])
            var (laterProviders, laterValues) = (ProviderTable(own: own), ValueTable(own: own))
            let contents = try archive.read(&laterProviders, &laterValues, at: now + .seconds(50 * 3600))
            try await archive.remove(contents.stale)
            #expect(contents.peers == [contact(3)])
            #expect(laterProviders.count == 1 && laterValues.count == 0)
            #expect(try rows(store) == ["a": 1, "p": 1, "r": 1])
            await store.close()
        }
    }

    /// Rows in the store, by their kind.
    private func rows(_ store: any KeyValueStore) throws -> [String: Int] {
        var kinds: [String: Int] = [:]
        try store.read { reader in
            try Bytes().withUnsafeBytes { start in
                try reader.scan(Kademlia.table, from: start) { key, _ in
                    if let zero = key.firstIndex(of: 0) { kinds[String(UnicodeScalar(key[zero + 1])), default: 0] += 1 }
                    return true
                }
            }
        }
        return kinds
    }

    /// A value of ours that others have replaced is not put again for ever.
    @Test func replacedValuesAreNotPutAgain() throws {
        let world = World(seed: 59)
        try world.run {
            try await world.sleep(for: KademliaLimits.republishInterval + .seconds(10))
            let nodes = try await world.kadNodes(2, .local(validators: [NumberValidator()]))
            try await nodes[0].kad.putValue("v1", for: "/number/old")
            try await nodes[0].kad.putValue("v1", for: "/number/mine")
            try await nodes[1].kad.putValue("v2", for: "/number/old")
            let core = try nodes[0].kad.core
            for place in core.ownValues.keys { core.ownValues[place]?.put = core.home.now - KademliaLimits.republishInterval }
            try await world.sleep(for: KademliaLimits.sweepInterval + .seconds(60))
            #expect(core.ownValues.values.map(\.key) == ["/number/mine"])
            for node in nodes { await node.node.close() }
        }
    }

    /// What was told a second before a crash is lost at most.
    @Test func recordsOutliveACrash() throws {
        let world = World(seed: 52)
        try world.run {
            let key = try Node.generateKey(world.host("server").system)
            let (server, _) = try await stored(world, "server", key: key)
            try await server.start()
            let other = try await world.kadNode("other")
            try await other.start(joining: server)
            try await world.sleep(for: .seconds(5))
            try await other.kad.provide(cid("kept"))
            try await world.sleep(for: .seconds(5))
            world.host("server").kill()
            world.host("server").restart()
            let (again, store) = try await stored(world, "server", key: key)
            try await again.node.start()
            try await world.sleep(for: .seconds(1))
            #expect(again.kad.localProviders(of: cid("kept").multihash).map(\.peer) == [other.peer])
            await again.node.close()
            await store.close()
            await other.node.close()
        }
    }

    @Test func publicAddressesMakeServers() throws {
        let world = World(seed: 53)
        try world.run {
            let inside = try await world.kadNode("inside", .wide())
            let outside = try await world.kadNode("outside", addresses: [.v4(0x0909_0909)], .wide())
            let client = try await world.kadNode("client", addresses: [.v4(0x0a0a_0909)], .wide(mode: .client))
            try await inside.start()
            try await outside.start(joining: inside)
            try await client.start(joining: outside)
            try await world.sleep(for: .seconds(5))
            // One that a public address reached knows that it can be reached.
            #expect(await inside.kad.isServer)
            #expect(await outside.kad.isServer)
            #expect(await !client.kad.isServer)
            // But without a public address of its own it is in no table.
            #expect(outside.kad.peerCount == 0)
            #expect(client.kad.peerCount == 1)
            #expect(inside.node.swarm.supportedProtocols.contains("/ipfs/kad/1.0.0"))
            #expect(!client.node.swarm.supportedProtocols.contains("/ipfs/kad/1.0.0"))
            for node in [inside, outside, client] { await node.node.close() }
        }
    }

    @Test func networksAreApart() throws {
        let world = World(seed: 54)
        try world.run {
            let one = try await world.kadNode("one", KademliaConfiguration(prefix: "/one", scope: .any))
            let other = try await world.kadNode("other", KademliaConfiguration(prefix: "/other", scope: .any))
            try await one.start()
            try await other.start(joining: one)
            try await world.sleep(for: .seconds(5))
            #expect(one.kad.peerCount == 0 && other.kad.peerCount == 0)
            await #expect(throws: KademliaError.noPeers) { try await one.kad.closestPeers(to: "x") }
            await one.node.close()
            await other.node.close()
            await #expect(throws: (any Error).self) { try await one.kad.closestPeers(to: "x") }
        }
    }

    @Test func streamsAreBoundedAndRulesKept() throws {
        let world = World(seed: 55)
        try world.run {
            let server = try await world.kadNode("server")
            try await server.start()
            let client = try await world.plainNode("client")
            try await client.start()
            let connection = try await client.connect(server.node.listenAddresses[0].with(peer: server.peer))
            let protocolID = server.kad.configuration.protocolID
            let request = KademliaMessage.encode(.findNode, key: server.peer.bytes)
            var streams: [WaggleNetwork.Stream] = []
            var answered = 0
            for _ in 0..<KademliaLimits.streamsPerPeer + 4 {
                let stream = try await connection.openStream([protocolID])
                try? await stream.writeMessage(request)
                if (try? await stream.readMessage(limit: .kibibytes(64))) != nil { answered += 1 }
                streams.append(stream)
            }
            #expect(answered == KademliaLimits.streamsPerPeer)
            // Many requests on one stream are fine; silence ends it.
            for _ in 0..<100 {
                try await streams[0].writeMessage(request)
                #expect(try await streams[0].readMessage(limit: .kibibytes(64)) != nil)
            }
            try await world.sleep(for: KademliaLimits.streamIdle + .seconds(1))
            await #expect(throws: StreamError.self) {
                try await streams[0].writeMessage(request)
                _ = try await streams[0].readMessage(limit: .kibibytes(64))
            }
            for stream in streams { stream.reset() }
            // A message that is announced too long, and one that is none, end the stream.
            for bytes in [[0xff, 0xff, 0x7f] as Bytes, [2, 0xff, 0xff]] {
                let stream = try await connection.openStream([protocolID])
                try await stream.write(bytes)
                await #expect(throws: StreamError.self) {
                    guard try await stream.readMessage(limit: .kibibytes(64)) != nil else { throw StreamError.truncated }
                }
            }
            await client.close()
            await server.node.close()
        }
    }

    @Test func manyBlocksShareTheirSearches() throws {
        let world = World(seed: 56)
        try world.run {
            let nodes = try await world.kadNodes(30)
            let blocks = (0..<150).map { cid("block \($0)") }.sorted { KademliaKey($0.multihash) < KademliaKey($1.multihash) }
            let outcome = try await nodes[5].kad.provide(many: blocks)
            #expect(outcome.failed.isEmpty)
            #expect(outcome.lookups < 90)
            #expect(outcome.peers >= 25)
            #expect(outcome.records >= 150 * 15)
            var found = 0
            for block in blocks.prefix(20) {
                let isFound = Box(false)
                try await nodes[20].kad.findProviders(of: block) { provider in
                    isFound.set(provider.peer == nodes[5].peer)
                    return false
                }
                if isFound.value { found += 1 }
            }
            #expect(found == 20)
            for node in nodes { await node.node.close() }
        }
    }

    @Test func coversAreComplete() {
        var random = SeededRandom(seed: 9)
        let all = (0..<500).map { contact(UInt64($0)) }
        func closest(_ key: KademliaKey) -> [KademliaContact] { Array(all.sorted { (KademliaKey($0.peer) ^ key) < (KademliaKey($1.peer) ^ key) }.prefix(20)) }
        var cover = KeyspaceCover(k: 20)
        let keys = (0..<400).map { _ in KademliaKey(random.next(), random.next(), random.next(), random.next()) }.sorted()
        var searches = 0
        for key in keys {
            var known = cover.closest(to: key)
            var attempts = 0
            while let hole = known.hole {
                let target = attempts == 0 ? key : hole.place.sibling(at: 255, rest: hole.place)
                cover.add(closest(target), around: target)
                searches += 1
                attempts += 1
                known = cover.closest(to: key)
                if attempts > 20 { break }
            }
            // What is known for sure is what sorting everybody gives.
            #expect(known.contacts == closest(key))
        }
        #expect(searches < 150)
    }

    @Test func numbersAreReported() throws {
        let world = World(seed: 57)
        try world.run {
            let nodes = try await world.kadNodes(3)
            try await nodes[1].kad.provide(cid("x"))
            try await world.sleep(for: .seconds(1))
            let snapshot = await nodes[2].kad.snapshot()
            #expect(snapshot.peers == 2 && snapshot.isServer && snapshot.providerRecords == 1)
            var report = MetricReport()
            nodes[2].kad.report(to: &report)
            #expect(report.value("libp2p_kad_routing_table_peers", ["network": "/ipfs/lan"]) == 2)
            #expect(report.value("libp2p_kad_received_requests_total", ["network": "/ipfs/lan", "type": "ADD_PROVIDER"]) == 1)
            for node in nodes { await node.node.close() }
        }
    }
}
