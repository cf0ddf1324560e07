import Synchronization
import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation
import WaggleStack

/// The limits as a remote meets them.
@Suite struct SwarmLimitsTests {
    /// Refused before any cryptography: the raw connection is reset without a byte.
    @Test func refusesBeforeCryptography() throws {
        let world = World(seed: 21)
        try world.run {
            let server = try await world.listening("server") { $0.limits.inboundConnections = 2 }
            let recorder = Recorder(server)
            var clients: [Swarm] = []
            for index in 0..<2 {
                let client = try world.swarm("client \(index)")
                _ = try await client.connect(server.dialable)
                clients.append(client)
            }
            let late = try world.swarm("late")
            let error = await failure { try await late.connect(server.dialable) }
            guard case SwarmError.dialFailed? = error else { throw TestError.unexpected }
            try await server.until { recorder.refusals == [.inboundConnections] }
            // A place that gets free is given again.
            await clients[0].close()
            try await server.until { server.connections.count == 1 }
            _ = try await late.connect(server.dialable)
            for client in clients + [late, server] { await client.close() }
        }
    }

    /// Sockets that say nothing hold a place only until the upgrade's deadline, and only so many of them.
    @Test func silentSocketsAreBounded() throws {
        let world = World(seed: 22)
        try world.run {
            let server = try await world.listening("server") {
                $0.limits.pendingPerIP = 3
                $0.limits.pendingInbound = 4
            }
            let recorder = Recorder(server)
            var sockets: [any ByteSocket] = []
            let target = world.host("server").address(port: 4001)
            for name in ["a", "a", "a", "a", "b", "b"] {
                let system = world.host(name).system
                sockets.append(try await system.network.connect(to: target, from: nil, on: system.home))
                try await world.sleep(for: .milliseconds(40))
            }
            #expect(server.table.withLock { $0.ledger.pendingInbound } == 4)
            #expect(recorder.refusals == [.pendingPerIP, .pendingInbound])
            try await world.sleep(for: UpgradeLimits.duration)
            #expect(server.table.withLock { $0.ledger.connections } == 0)
            #expect(server.table.withLock { $0.ledger.rows } == 0)
            for socket in sockets { socket.close(abort: true) }
            await server.close()
        }
    }

    /// Whoever takes all places by connecting and keeping silent keeps nobody out: the oldest gives way, and what was counted for it is freed.
    @Test func silentSocketsGiveWay() throws {
        let world = World(seed: 25)
        try world.run {
            let server = try await world.listening("server") {
                $0.limits.pendingPerIP = 3
                $0.limits.pendingInbound = 6
            }
            let recorder = Recorder(server)
            var sockets: [any ByteSocket] = []
            let target = world.host("server").address(port: 4001)
            func stall(_ names: [String]) async throws {
                for name in names {
                    let system = world.host(name).system
                    sockets.append(try await system.network.connect(to: target, from: nil, on: system.home))
                }
            }
            try await stall(["a", "a", "a", "b", "b", "b"])
            // While they are young nobody gives way.
            let hasty = try world.swarm("hasty")
            #expect(await failure { try await hasty.connect(server.dialable) } != nil)
            #expect(recorder.refusals == [.pendingInbound])
            try await world.sleep(for: .milliseconds(300))
            // All places are taken, and an honest peer gets one.
            let honest = try world.swarm("honest")
            _ = try await honest.connect(server.dialable)
            try await server.until { server.connections.count == 1 }
            #expect(server.table.withLock { ($0.ledger.pendingInbound, $0.handshakes.count) } == (5, 5))
            #expect(await Self.isOver(sockets[0]))
            #expect(await !Self.isOver(sockets[1]))
            // At an address that has none left, and the oldest of that address goes.
            let neighbour = try world.swarm("b")
            _ = try await neighbour.connect(server.dialable)
            try await server.until { server.connections.count == 2 }
            #expect(server.table.withLock { ($0.ledger.pendingInbound, $0.handshakes.count) } == (4, 4))
            // The next silent ones push out each other, never those that are up.
            try await stall(["c", "c", "c"])
            try await world.sleep(for: .milliseconds(300))
            try await stall(["d", "d", "d"])
            #expect(server.connections.count == 2)
            #expect(server.table.withLock { $0.ledger.pendingInbound } == 6)
            try await world.sleep(for: UpgradeLimits.duration + .seconds(1))
            #expect(server.table.withLock { ($0.ledger.pendingInbound, $0.handshakes.count) } == (0, 0))
            for socket in sockets { socket.close(abort: true) }
            for node in [honest, neighbour, hasty] { await node.close() }
            try await server.until { server.connections.isEmpty }
            #expect(server.table.withLock { $0.ledger.rows } == 0)
            await server.close()
        }
    }

    private static func isOver(_ socket: any ByteSocket) async -> Bool {
        await socket.loop.run {
            var byte: UInt8 = 0
            let outcome = withUnsafeMutableBytes(of: &byte) { socket.read(into: $0) }
            return switch outcome {
            case .ended, .failed: true
            case .moved, .wouldBlock: false
            }
        }
    }

    @Test func connectionsPerAddress() throws {
        let world = World(seed: 23)
        try world.run {
            let server = try await world.listening("server") { $0.limits.connectionsPerIPv4 = 2 }
            let recorder = Recorder(server)
            // Three nodes on one host.
            let clients = try (0..<3).map { _ in try world.swarm("client") }
            _ = try await clients[0].connect(server.dialable)
            _ = try await clients[1].connect(server.dialable)
            try await server.until { server.connections.count == 2 }
            #expect(await failure { try await clients[2].connect(server.dialable) } != nil)
            try await server.until { recorder.refusals == [.connectionsPerIP] }
            for node in clients + [server] { await node.close() }
        }
    }

    @Test func connectionsPerPeer() throws {
        let world = World(seed: 24)
        try world.run {
            let server = try await world.listening("server") { $0.limits.connectionsPerPeer = 2 }
            let first = try world.swarm("client")
            // The same peer from three places.
            let clients = try [first] + (0..<2).map { try world.swarm("place \($0)", key: first.identity.key) }
            for client in clients {
                // The dialer is done before the listener knows that it is one too many.
                _ = try? await client.connect(server.dialable)
                try await world.sleep(for: .seconds(1))
            }
            #expect(server.connections.count == 2)
            #expect(clients[2].connections.isEmpty)
            for node in clients + [server] { await node.close() }
        }
    }

    @Test func streamsPerServiceAndPeer() throws {
        let world = World(seed: 25)
        try world.run {
            let server = try await world.listening("server") { $0.limits.streamsPerPeer = 5 }
            server.register(Echo(ServiceLimits(streamsPerPeer: 3, streams: 4)))
            let clients = try (0..<2).map { try world.swarm("client \($0)") }
            var streams: [Stream] = []
            for (index, client) in clients.enumerated() {
                let connection = try await client.connect(server.dialable)
                var served = 0
                for _ in 0..<5 {
                    let stream = try await connection.openStream([Echo.id])
                    do {
                        try await stream.write("x")
                        if try await stream.read() == "x" { served += 1 }
                    } catch StreamError.reset {}
                    streams.append(stream)
                }
                #expect(served == (index == 0 ? 3 : 1))
            }
            for stream in streams { stream.finish() }
            try await server.until { server.table.withLock { $0.ledger.inboundStreams } == 0 }
            // All places are free again.
            #expect(try await clients[1].echo("again", to: server.localPeer) == "again")
            for node in clients + [server] { await node.close() }
        }
    }

    @Test func streamsOfOnePeer() throws {
        let world = World(seed: 26)
        try world.run {
            let server = try await world.listening("server") { $0.limits.streamsPerPeer = 4 }
            server.register(Echo())
            let client = try world.swarm("client")
            let connection = try await client.connect(server.dialable)
            var open: [Stream] = []
            var refused = 0
            for _ in 0..<8 {
                let stream = try await connection.openStream([Echo.id])
                do {
                    try await stream.write("x")
                    _ = try await stream.read()
                    open.append(stream)
                } catch { refused += 1 }
            }
            #expect(open.count == 4)
            #expect(refused == 4)
            #expect(server.table.withLock { $0.ledger.inboundStreams } == 4)
            await client.close()
            try await server.until { server.table.withLock { $0.ledger.inboundStreams } == 0 }
            #expect(server.table.withLock { $0.ledger.rows } == 0)
            await server.close()
        }
    }

    @Test func dialsWaitForAPlace() throws {
        let world = World(seed: 27)
        try world.run {
            var servers: [Swarm] = []
            for index in 0..<12 { servers.append(try await world.listening("server \(index)")) }
            let client = try world.swarm("client") { $0.limits.pendingOutbound = 2 }
            let most = Peak()
            let targets = servers.map(\.dialable)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for target in targets {
                    group.addTask {
                        _ = try await client.connect(target)
                        let pending = client.table.withLock { $0.ledger.pendingOutbound }
                        most.value.withLock { $0 = max($0, pending) }
                    }
                }
                try await group.waitForAll()
            }
            #expect(client.peers.count == 12)
            #expect(most.value.withLock { $0 } <= 2)
            for node in servers + [client] { await node.close() }
        }
    }

    @Test func trimsToTheLowMark() throws {
        let world = World(seed: 28)
        try world.run {
            let server = try await world.listening("server") {
                $0.trimming.highWater = 8
                $0.trimming.lowWater = 4
                $0.trimming.grace = .seconds(5)
                $0.trimming.interval = .seconds(5)
            }
            let recorder = Recorder(server)
            let clients = try (0..<10).map { try world.swarm("client \($0)") }
            server.protect(clients[0].localPeer, tag: "friend")
            server.tag(clients[1].localPeer, "useful", value: 10)
            server.tag(clients[2].localPeer, "useful", value: 5)
            server.tag(clients[3].localPeer, "useful", value: 1)
            for client in clients[..<8] { _ = try await client.connect(server.dialable) }
            try await world.sleep(for: .seconds(30))
            #expect(server.connections.count == 8)
            for client in clients[8...] { _ = try await client.connect(server.dialable) }
            try await world.sleep(for: .seconds(1))
            // The ninth made room for all but four, of which it was one: it was too young to go. Then came the tenth.
            #expect(server.connections.count == 5)
            #expect(recorder.closeReasons.allSatisfy { $0 == .trimmed })
            #expect(server.isConnected(clients[0].localPeer))
            #expect(server.isConnected(clients[1].localPeer))
            #expect(server.isConnected(clients[8].localPeer) && server.isConnected(clients[9].localPeer))
            for node in clients + [server] { await node.close() }
        }
    }

    @Test func idleConnectionsAreClosed() throws {
        let world = World(seed: 29)
        try world.run {
            let server = try await world.listening("server") { $0.idleTimeout = .seconds(40) }
            server.register(Echo())
            let clients = try (0..<3).map { try world.swarm("client \($0)") }
            for client in clients { _ = try await client.connect(server.dialable) }
            server.protect(clients[0].localPeer, tag: "friend")
            let stream = try await clients[1].openStream(to: server.localPeer, [Echo.id])
            try await stream.write("x")
            try await world.sleep(for: .seconds(60))
            #expect(server.peers == [clients[0].localPeer, clients[1].localPeer].sorted())
            stream.finish()
            try await world.sleep(for: .seconds(60))
            #expect(server.peers == [clients[0].localPeer])
            #expect(server.unprotect(clients[0].localPeer, tag: "friend") == false)
            try await world.sleep(for: .seconds(60))
            #expect(server.connections.isEmpty)
            for node in clients + [server] { await node.close() }
        }
    }

    @Test func gateClosesAndKeepsOut() throws {
        let world = World(seed: 30)
        try world.run {
            let server = try await world.listening("server")
            let recorder = Recorder(server)
            let clients = try (0..<2).map { try world.swarm("client \($0)") }
            for client in clients { _ = try await client.connect(server.dialable) }
            try await server.until { server.connections.count == 2 }
            server.gate.deny(clients[0].localPeer)
            try await server.until { server.peers == [clients[1].localPeer] }
            #expect(recorder.closeReasons == [.gated])
            // The handshake shows who it is, and then it is over.
            _ = try? await clients[0].connect(server.dialable)
            try await world.sleep(for: .seconds(1))
            #expect(clients[0].connections.isEmpty)
            #expect(await failure { try await server.connect(to: clients[0].localPeer) } as? SwarmError == .refused(.peerDenied))
            // A range is refused before any byte, in both directions.
            server.gate.deny(IPRange(world.host("client 1").address(port: 0).ip, prefixLength: 32))
            try await server.until { server.connections.isEmpty }
            #expect(await failure { try await clients[1].connect(server.dialable) } != nil)
            try await server.until { recorder.refusals == [.addressDenied] }
            let address = Multiaddr(world.host("client 1").address(port: 4001), over: .tcp)
            let error = await failure { try await server.connect(to: clients[1].localPeer, addresses: [address]) }
            guard case SwarmError.dialFailed(let failures)? = error else { throw TestError.unexpected }
            #expect(Set(failures.map(\.cause)) == [.refused(.addressDenied)])
            for node in clients + [server] { await node.close() }
        }
    }

    @Test func eventsAreBounded() throws {
        let world = World(seed: 31)
        try world.run {
            let server = try await world.listening("server")
            let events = server.subscribe(capacity: 4)
            for index in 0..<10 { server.hub.emit(.refused(.v4(UInt32(index)), .connections)) }
            guard case .missed(6)? = await events.next() else { throw TestError.unexpected }
            var addresses: [IPAddress?] = []
            for _ in 0..<4 { if case .refused(let address, _)? = await events.next() { addresses.append(address) } }
            #expect(addresses == [.v4(6), .v4(7), .v4(8), .v4(9)])
            await server.close()
            while let event = await events.next() { if case .refused = event { throw TestError.unexpected } }
        }
    }

    /// Tags are bounded: strangers' go first.
    @Test func tagsAreBounded() throws {
        let world = World(seed: 32)
        let swarm = try world.swarm("one")
        let other = try world.swarm("two").localPeer
        for index in 0..<100 { swarm.tag(other, "tag \(index)", value: 1) }
        #expect(swarm.table.withLock { $0.value(of: other) } == ConnectionTable.tagsPerPeer)
        swarm.tag(other, "tag 0", value: .max)
        #expect(swarm.table.withLock { $0.value(of: other) } == .max)
    }
}

private final class Peak: Sendable {
    let value = Mutex(0)
}
