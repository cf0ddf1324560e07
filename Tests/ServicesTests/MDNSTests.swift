import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

/// Nodes that find each other on simulated networks.
@Suite struct MDNSTests {
    @Test(arguments: [1, 2, 3] as [UInt64]) func nodesFindEachOther(seed: UInt64) throws {
        let world = World(seed: seed)
        try world.run {
            let nodes = [try await world.node("a"), try await world.node("b"), try await world.node("c")]
            for node in nodes {
                node.add(MDNS())
                try await node.start()
            }
            let start = world.now
            for node in nodes { try await node.until { node.swarm.peers.count == 2 } }
            #expect(world.now - start < .seconds(2))
            #expect(!nodes[0].swarm.addressBook.addresses(of: nodes[1].peer).isEmpty)
            for node in nodes { await node.close() }
        }
    }

    @Test func lateComersAndLossyNetworks() throws {
        var options = WorldOptions()
        options.link.loss = 0.4
        let world = World(seed: 4, options: options)
        try world.run {
            let first = try await world.node("a")
            first.add(MDNS())
            try await first.start()
            try await world.sleep(for: .seconds(400))
            let late = try await world.node("b")
            late.add(MDNS())
            try await late.start()
            try await late.until { late.swarm.isConnected(first.peer) }
            await first.close()
            await late.close()
        }
    }

    @Test func overVersion6Only() throws {
        let world = World(seed: 5)
        try world.run {
            var nodes: [Node] = []
            for (index, name) in ["a", "b"].enumerated() {
                let ip = IPAddress.v6(high: 0xfd12 << 48, low: UInt64(index + 1), zone: 0)
                _ = world.host(name, addresses: [ip])
                let node = try await world.node(name) { $0.listen = [Multiaddr(SocketAddress(ip: ip, port: 4001), over: .tcp)] }
                node.add(MDNS())
                try await node.start()
                nodes.append(node)
            }
            let (one, two) = (nodes[0], nodes[1])
            try await one.until { one.swarm.isConnected(two.peer) }
            for node in nodes { await node.close() }
        }
    }

    @Test func otherSegmentsAndRefusingInterfaces() throws {
        var options = WorldOptions()
        options.logLevel = .debug
        let world = World(seed: 6, options: options)
        try world.run {
            let (a, b, c) = (world.host("a"), world.host("b"), world.host("c"))
            world.setSegment("elsewhere", on: b)
            world.refuseMulticast(on: "eth0", of: c)
            var nodes: [Node] = []
            for host in [a, b, c] {
                let node = try await world.node(host.name)
                node.add(MDNS())
                try await node.start()
                nodes.append(node)
            }
            try await world.sleep(for: .seconds(30))
            #expect(nodes.allSatisfy { $0.swarm.peers.isEmpty })
            // Once for each family, and never louder.
            let refusals = world.records.filter { $0.contains("refuses multicast") }
            #expect(refusals.count == 2 && refusals.allSatisfy { $0.contains("debug mdns") })
            #expect(!world.records.contains { $0.contains("warning") || $0.contains("error mdns") })
            // An interface that appears brings them together.
            world.addInterface("wlan0", to: a, addresses: [.v4(0xc0a8_0001)], segment: "air")
            world.addInterface("wlan0", to: b, addresses: [.v4(0xc0a8_0002)], segment: "air")
            try await nodes[0].swarm.listen(on: Multiaddr(SocketAddress(ip: .v4(0xc0a8_0001), port: 4002), over: .tcp))
            let (one, two) = (nodes[0], nodes[1])
            try await one.until(.seconds(20)) { one.swarm.isConnected(two.peer) }
            for node in nodes { await node.close() }
        }
    }

    @Test func onlyPrivateAddressesAreTold() throws {
        let world = World(seed: 7)
        try world.run {
            let server = world.host("server", addresses: [.v4(0x0808_0808), .v4(0x0a00_0063)])
            let node = try await world.node("server") {
                $0.listen = server.addresses.map { Multiaddr(SocketAddress(ip: $0, port: 4001), over: .tcp) }
                    + [Multiaddr(SocketAddress(ip: .loopback, port: 4001), over: .tcp)]
            }
            node.add(MDNS())
            let watcher = world.host("watcher").system
            var options = DatagramOptions()
            options.sharesAddress = true
            let socket = try await watcher.datagrams.bind(SocketAddress(ip: .v4(0), port: 5353), options, on: watcher.home)
            try socket.join(MDNSNames.group4, interface: 2)
            try await node.start()
            try await world.sleep(for: .seconds(1))
            let batch = DatagramBatch(capacity: 32, datagramSize: 9000)
            guard case .moved = socket.receive(into: batch) else { return #expect(Bool(false), "nothing was sent") }
            var texts: Set<String> = []
            for index in batch.entries.indices {
                let message = try batch.withBytes(of: index) { try DNSMessage(decoding: $0.bytes) }
                for case .texts(let all) in message.additional.map(\.data) { texts.formUnion(all.map { String(decoding: $0, as: UTF8.self) }) }
            }
            #expect(texts == ["dnsaddr=/ip4/10.0.0.99/tcp/4001/p2p/\(node.peer)"])
            await node.close()
            socket.close()
        }
    }

    @Test func sameSeedSameTrace() throws {
        func play() throws -> Trace {
            let world = World(seed: 9)
            return try world.run {
                let nodes = [try await world.node("a"), try await world.node("b")]
                for node in nodes {
                    node.add(MDNS())
                    try await node.start()
                }
                try await world.sleep(for: .seconds(20))
                for node in nodes { await node.close() }
                return world.trace
            }
        }
        let (first, second) = (try play(), try play())
        #expect(first == second)
    }
}
