import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

/// Whole nodes that find each other.
@Suite struct KademliaNetworkTests {
    @Test func strangersFindEachOther() throws {
        let world = World(seed: 11)
        try world.run {
            let nodes = try await world.kadNodes(12)
            for node in nodes {
                #expect(node.kad.peerCount == 11)
                #expect(await node.kad.isServer)
            }
            let (first, last) = (nodes[1], nodes[11])
            let addresses = try await first.kad.findPeer(last.peer)
            #expect(addresses.contains(last.node.listenAddresses[0]))
            let closest = try await first.kad.closestPeers(to: last.peer.bytes)
            #expect(closest.first?.peer == last.peer)
            #expect(closest.count == 11)
            try await first.kad.ping(last.contact)
            for node in nodes { await node.node.close() }
        }
    }

    @Test func providersAreFound() throws {
        let world = World(seed: 12)
        try world.run {
            let nodes = try await world.kadNodes(10)
            let block = cid("a block")
            try await nodes[3].kad.provide(block)
            let found = Box<[ContentProvider]>([])
            try await nodes[7].kad.findProviders(of: block) { provider in
                found.update { $0.append(provider) }
                return true
            }
            #expect(found.value.map(\.peer) == [nodes[3].peer])
            #expect(found.value.first?.addresses == nodes[3].node.listenAddresses)
            // Nobody has another one.
            found.set([])
            try await nodes[7].kad.findProviders(of: cid("nothing")) { provider in
                found.update { $0.append(provider) }
                return true
            }
            #expect(found.value.isEmpty)
            for node in nodes { await node.node.close() }
        }
    }

    @Test func valuesArePutChosenAndCorrected() throws {
        let world = World(seed: 13)
        try world.run {
            let nodes = try await world.kadNodes(8, .local(validators: [PublicKeyValidator(), NumberValidator()]))
            let key: Bytes = "/number/x"
            try await nodes[1].kad.putValue("v1", for: key)
            let found = Box<[Bytes]>([])
            func look(from node: KadNode) async throws -> [Bytes] {
                found.set([])
                try await node.kad.values(for: key) { value in
                    found.update { $0.append(value) }
                    return true
                }
                return found.value
            }
            #expect(try await look(from: nodes[5]) == ["v1"])
            // One has a newer value that the others have not heard of.
            let place = KademliaKey(hashing: key)
            try nodes[2].kad.core.responder.keep("v7", for: key, from: nil, now: world.wallTime)
            #expect(try await look(from: nodes[6]).last == "v7")
            try await world.sleep(for: .seconds(5))
            for node in nodes where node.peer != nodes[6].peer {
                let value = try node.kad.core.responder.state.withLock { $0.values.row(of: place, at: world.wallTime)?.value }
                #expect(value == "v7")
            }
            await #expect(throws: KademliaError.outdated) { try await nodes[1].kad.putValue("v3", for: key) }
            await #expect(throws: KademliaError.invalidValue) { try await nodes[1].kad.putValue("nonsense", for: key) }
            await #expect(throws: KademliaError.invalidKey) { try await nodes[1].kad.putValue("v3", for: "/unknown/x") }
            for node in nodes { await node.node.close() }
        }
    }

    /// Who has seen enough leaves alone those that had nothing, and mends what was worse.
    @Test func searchesThatEndEarlyCorrectOnlyTheWorse() throws {
        let world = World(seed: 18)
        try world.run {
            let nodes = try await world.kadNodes(6, .local(validators: [NumberValidator()]))
            let key: Bytes = "/number/y"
            let place = KademliaKey(hashing: key)
            func kept(_ node: KadNode) throws -> Bytes? {
                try node.kad.core.responder.state.withLock { $0.values.row(of: place, at: world.wallTime)?.value }
            }
            for node in nodes[..<2] { try node.kad.core.responder.keep("v5", for: key, from: nil, now: world.wallTime) }
            try await nodes[5].kad.values(for: key) { _ in false }
            try await world.sleep(for: .seconds(5))
            for node in nodes[2...] { #expect(try kept(node) == nil) }
            // Our own counts among the worse.
            try nodes[5].kad.core.responder.keep("v1", for: key, from: nil, now: world.wallTime)
            try await nodes[5].kad.values(for: key) { $0 != "v5" }
            try await world.sleep(for: .seconds(5))
            #expect(try kept(nodes[5]) == "v5")
            for node in nodes { await node.node.close() }
        }
    }

    /// A provider that one answer names without addresses is told again with those that another answer has.
    @Test func addressesOfProvidersComeLater() throws {
        let world = World(seed: 19)
        try world.run {
            let nodes = try await world.kadNodes(5)
            let block = cid("somewhere")
            let provider = contact(4242)
            for (number, node) in nodes[..<4].enumerated() {
                let told = KademliaContact(peer: provider.peer, addresses: number == 3 ? provider.addresses : [])
                try node.kad.core.responder.state.withLock { try $0.providers.add(told, for: KademliaKey(block.multihash), at: world.wallTime) }
            }
            let found = Box<[[Multiaddr]]>([])
            try await nodes[4].kad.findProviders(of: block) { candidate in
                found.update { $0.append(candidate.addresses) }
                return true
            }
            #expect(found.value.last == provider.addresses)
            #expect(found.value.count <= 2)
            for node in nodes { await node.node.close() }
        }
    }

    @Test func clientsAreInNoTable() throws {
        let world = World(seed: 14)
        try world.run {
            let server = try await world.kadNode("server")
            try await server.start()
            let client = try await world.kadNode("client", .local(mode: .client))
            try await client.start(joining: server)
            try await world.sleep(for: .seconds(10))
            #expect(server.kad.peerCount == 0)
            #expect(client.kad.peerCount == 1)
            #expect(await !client.kad.isServer)
            // But who is connected with one says where it is.
            let other = try await world.kadNode("other")
            try await other.start(joining: server)
            try await world.sleep(for: .seconds(10))
            #expect(try await other.kad.findPeer(client.peer) == client.node.listenAddresses)
            for node in [server, client, other] { await node.node.close() }
        }
    }

    @Test func theSwarmAsksForAddresses() throws {
        let world = World(seed: 15)
        try world.run {
            let nodes = try await world.kadNodes(5)
            let newcomer = try await world.kadNode("newcomer")
            newcomer.node.swarm.routing = newcomer.kad
            try await newcomer.start(joining: nodes[0])
            try await world.sleep(for: .seconds(5))
            await newcomer.node.swarm.disconnect(nodes[4].peer)
            newcomer.node.swarm.addressBook.remove(nodes[4].peer)
            #expect(try await newcomer.node.swarm.connect(to: nodes[4].peer).peer == nodes[4].peer)
            await #expect(throws: SwarmError.noAddresses(peerID(1))) { try await newcomer.node.swarm.connect(to: peerID(1)) }
            for node in nodes + [newcomer] { await node.node.close() }
        }
    }

    @Test func theDeadAreForgotten() throws {
        let world = World(seed: 16)
        try world.run {
            let nodes = try await world.kadNodes(10)
            for number in 7..<10 { world.host("node\(number)").crash() }
            let block = cid("a block")
            try await nodes[1].kad.provide(block)
            try await world.sleep(for: .seconds(30 * 60))
            for node in nodes[..<7] { #expect(node.kad.peerCount == 6) }
            let found = Box(0)
            try await nodes[5].kad.findProviders(of: block) { _ in
                found.update { $0 += 1 }
                return true
            }
            #expect(found.value == 1)
            for node in nodes[..<7] { await node.node.close() }
        }
    }

    @Test func searchesCanBeWatchedAndStopped() throws {
        let world = World(seed: 17)
        try world.run {
            let nodes = try await world.kadNodes(6)
            let events = Box<[String]>([])
            let observer: @Sendable (KademliaEvent) -> Void = { event in
                switch event {
                case .asking: events.update { $0.append("asking") }
                case .answered: events.update { $0.append("answered") }
                case .closest(let peers): events.update { $0.append("closest \(peers.count)") }
                default: break
                }
            }
            _ = try await KademliaTrace.watch(observer) { try await nodes[2].kad.closestPeers(to: "some key") }
            #expect(events.value.count { $0 == "asking" } == 5)
            #expect(events.value.count { $0 == "answered" } == 5)
            #expect(events.value.last == "closest 5")
            // A cancelled search ends, and leaves nothing behind.
            let ended = try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do { _ = try await nodes[3].kad.closestPeers(to: "another key") } catch { return true }
                    return false
                }
                group.cancelAll()
                return try await group.next() ?? false
            }
            #expect(ended)
            for node in nodes { await node.node.close() }
        }
    }
}

