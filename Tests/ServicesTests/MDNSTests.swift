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

    /// Multicast DNS as a test speaks it.
    private func port(_ world: World, _ host: Host, interface: UInt32 = 2) async throws -> any DatagramSocket {
        var options = DatagramOptions()
        options.sharesAddress = true
        let socket = try await host.system.datagrams.bind(SocketAddress(ip: .v4(0), port: 5353), options, on: host.system.home)
        try socket.join(MDNSNames.group4, interface: interface)
        return socket
    }

    private func messages(_ socket: any DatagramSocket) throws -> [DNSMessage] {
        let batch = DatagramBatch(capacity: 64, datagramSize: 9000)
        guard case .moved = socket.receive(into: batch) else { return [] }
        return try batch.entries.indices.map { index in try batch.withBytes(of: index) { try DNSMessage(decoding: $0.bytes) } }
    }

    /// A node that listens everywhere follows its interfaces: cables, wireless networks and leases come and go.
    @Test func interfacesComeAndGo() throws {
        let world = World(seed: 10)
        try world.run {
            let (a, b) = (world.host("a", addresses: []), world.host("b", addresses: []))
            var nodes: [Node] = []
            for host in [a, b] {
                let node = try await world.node(host.name) { $0.listen = [try! Multiaddr(parsing: "/ip4/0.0.0.0/tcp/4001")] }
                node.add(MDNS())
                try await node.start()
                nodes.append(node)
            }
            try await world.sleep(for: .seconds(20))
            world.addInterface("wlan0", to: a, addresses: [.v4(0xc0a8_0001)], segment: "air")
            world.addInterface("wlan0", to: b, addresses: [.v4(0xc0a8_0002)], segment: "air")
            let (one, two) = (nodes[0], nodes[1])
            try await one.until(.seconds(12)) { one.swarm.isConnected(two.peer) }
            let told = try #require(Multiaddr("/ip4/192.168.0.1/tcp/4001"))
            #expect(one.listenAddresses.contains(told))
            try await two.until { two.swarm.addressBook.addresses(of: one.peer).contains(told) }
            world.setInterface("wlan0", of: a, isUp: false)
            try await one.until(.seconds(6)) { !one.listenAddresses.contains(told) }
            for node in nodes { await node.close() }
        }
    }

    /// Networks without private addresses: what the interface itself has is told on it, and there only.
    @Test func publicAddressesOfTheNetworkItself() throws {
        let world = World(seed: 11)
        try world.run {
            var nodes: [Node] = []
            for (index, name) in ["a", "b"].enumerated() {
                let ip = IPAddress.v6(high: 0x2001_0db8_0001_0002, low: UInt64(index + 1), zone: 0)
                let host = world.host(name, addresses: [ip])
                if index == 0 { world.addInterface("eth1", to: host, addresses: [.v4(0xc0a8_0101)], segment: "other") }
                let node = try await world.node(name) { $0.listen = host.addresses.map { Multiaddr(SocketAddress(ip: $0, port: 4001), over: .tcp) } }
                node.add(MDNS())
                nodes.append(node)
            }
            let watcher = world.host("watcher", addresses: [.v4(0xc0a8_0102)])
            world.setSegment("other", on: watcher)
            let socket = try await port(world, watcher)
            for node in nodes { try await node.start() }
            let (one, two) = (nodes[0], nodes[1])
            try await one.until(.seconds(5)) { one.swarm.isConnected(two.peer) }
            var texts: Set<String> = []
            for message in try messages(socket) {
                for case .texts(let all) in message.additional.map(\.data) { texts.formUnion(all.map { String(decoding: $0, as: UTF8.self) }) }
            }
            #expect(texts == ["dnsaddr=/ip4/192.168.1.1/tcp/4001/p2p/\(one.peer)"])
            for node in nodes { await node.close() }
            socket.close()
        }
    }

    @Test func whoGoesSaysSoAndStrangersHearNothing() throws {
        let world = World(seed: 12)
        try world.run {
            let node = try await world.node("a")
            node.add(MDNS())
            let near = world.host("near")
            let far = world.host("far", addresses: [.v4(0x0a09_0909)])
            let socket = try await port(world, near)
            try await node.start()
            try await world.sleep(for: .seconds(5))
            #expect(try messages(socket).contains { $0.isResponse && $0.answers.contains { $0.seconds > 0 } })
            var question = MDNSNames(label: "x").question()
            question.id = 9
            let bytes = question.encoded()
            let target = try #require(node.listenAddresses[0].ip)
            func answers(_ host: Host) async throws -> Int {
                let port = try await host.system.datagrams.bind(SocketAddress(ip: .v4(0), port: 40_000), DatagramOptions(), on: host.system.home)
                _ = bytes.withUnsafeBytes { port.send([OutgoingDatagram(to: SocketAddress(ip: target, port: 5353), $0)]) }
                try await world.sleep(for: .seconds(1))
                let found = try messages(port).filter { $0.id == 9 }.count
                port.close()
                return found
            }
            #expect(try await answers(near) == 1)
            #expect(try await answers(far) == 0)
            _ = try messages(socket)
            await node.close()
            try await world.sleep(for: .seconds(1))
            #expect(try messages(socket).contains { $0.isResponse && $0.answers.contains { $0.seconds == 0 } })
            socket.close()
        }
    }
}
