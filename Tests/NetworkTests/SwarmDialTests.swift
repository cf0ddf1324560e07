import Synchronization
import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation
import WaggleStack

@Suite struct SwarmDialTests {
    @Test(arguments: SecurityPolicy.allCases) func dialsByAddressAndByPeer(policy: SecurityPolicy) throws {
        let world = World(seed: 1)
        try world.run {
            let server = try await world.listening("server", policy: policy)
            server.register(Echo())
            let client = try world.swarm("client", policy: policy)
            let connection = try await client.connect(server.dialable)
            #expect(connection.peer == server.localPeer)
            #expect(connection.security.isPostQuantum == (policy != .classical))
            #expect(try await client.connect(to: server.localPeer) === connection)
            #expect(try await client.echo("hello", to: server.localPeer) == "hello")
            await client.disconnect(server.localPeer)
            #expect(client.connections.isEmpty)
            // The address is known from the first time.
            #expect(client.addressBook.source(of: server.listenAddresses[0], of: server.localPeer) == .connected)
            _ = try await client.connect(to: server.localPeer)
            await client.close()
            await server.close()
            #expect(server.connections.isEmpty)
        }
    }

    @Test func dialsWithoutPeerID() throws {
        let world = World(seed: 2)
        try world.run {
            let server = try await world.listening("server")
            let client = try world.swarm("client")
            let connection = try await client.connect(server.listenAddresses[0])
            #expect(connection.peer == server.localPeer)
            #expect(client.isConnected(server.localPeer))
            await client.close()
            await server.close()
        }
    }

    @Test func concurrentCallsShareAnAttempt() throws {
        let world = World(seed: 3)
        try world.run {
            let server = try await world.listening("server")
            let client = try world.swarm("client")
            let address = server.dialable
            let peers = try await withThrowingTaskGroup(of: ObjectIdentifier.self) { group in
                for _ in 0..<20 { group.addTask { ObjectIdentifier(try await client.connect(to: server.localPeer, addresses: [address])) } }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(peers.count == 1)
            try await server.until { server.connections.count == 1 }
            await client.close()
            await server.close()
        }
    }

    @Test func refusesTheWrongPeer() throws {
        let world = World(seed: 4)
        try world.run {
            let server = try await world.listening("server")
            let other = try world.swarm("other")
            let client = try world.swarm("client")
            client.addressBook.add(server.listenAddresses, of: other.localPeer, source: .hint)
            let error = await failure { try await client.connect(to: other.localPeer) }
            guard case SwarmError.dialFailed(let failures)? = error else { throw TestError.unexpected }
            #expect(failures == [DialFailure(address: server.listenAddresses[0], cause: .wrongPeer(server.localPeer))])
            #expect(client.addressBook.addresses(of: other.localPeer).isEmpty)
            await client.close()
            await server.close()
            await other.close()
        }
    }

    @Test func knowsWhatItCannotDial() throws {
        let world = World(seed: 5)
        try world.run {
            let client = try world.swarm("client")
            let stranger = try world.swarm("stranger").localPeer
            #expect(await failure { try await client.connect(to: stranger) } as? SwarmError == .noAddresses(stranger))
            #expect(await failure { try await client.connect(to: client.localPeer) } as? SwarmError == .refused(.ourselves))
            let quic = try Multiaddr(parsing: "/ip4/10.0.0.9/udp/4001/quic-v1")
            #expect(await failure { try await client.connect(quic) } as? SwarmError == .unsupportedAddress(quic))
            #expect(await failure { try await client.connect(quic.with(peer: stranger)) } as? SwarmError == .noAddresses(stranger))
            await client.close()
            let address = try Multiaddr(parsing: "/ip4/10.0.0.9/tcp/4001")
            #expect(await failure { try await client.connect(address) } as? SwarmError == .closed)
        }
    }

    @Test func refusesToDialItself() throws {
        let world = World(seed: 6)
        try world.run {
            let server = try await world.listening("server")
            let error = await failure { try await server.connect(server.listenAddresses[0]) }
            guard case SwarmError.dialFailed(let failures)? = error else { throw TestError.unexpected }
            #expect(failures.map(\.cause) == [.refused(.ourselves)])
            try await server.until { server.connections.isEmpty }
            await server.close()
        }
    }

    /// A dead address first, then one that refuses, then the right one: the right one wins without waiting for the dead one.
    @Test func triesAddressesSideBySide() throws {
        let world = World(seed: 7)
        try world.run {
            let server = try await world.listening("server")
            let silent = world.host("silent")
            silent.crash()
            let refusing = world.host("refusing")
            let client = try world.swarm("client")
            let start = world.now
            let connection = try await client.connect(
                to: server.localPeer,
                addresses: [
                    Multiaddr(silent.address(port: 1), over: .tcp), Multiaddr(refusing.address(port: 1), over: .tcp), server.listenAddresses[0],
                ])
            #expect(connection.peer == server.localPeer)
            #expect(world.now - start < .milliseconds(200))
            await client.close()
            await server.close()
        }
    }

    @Test func timesOut() throws {
        let world = World(seed: 8)
        try world.run {
            let silent = world.host("silent")
            let client = try world.swarm("client")
            let peer = try world.swarm("silent").localPeer
            silent.crash()
            let start = world.now
            let address = Multiaddr(silent.address(port: 1), over: .tcp)
            let error = await failure { try await client.connect(to: peer, addresses: [address]) }
            #expect(error as? SwarmError == .dialFailed([DialFailure(address: address, cause: .timedOut)]))
            #expect(world.now - start == .seconds(15))
            await client.close()
        }
    }

    @Test func leavesFailedAddressesAlone() throws {
        let world = World(seed: 9)
        try world.run {
            let client = try world.swarm("client")
            let server = try world.swarm("server")
            let address = Multiaddr(world.host("server").address(port: 4001), over: .tcp)
            let peer = server.localPeer
            func causes() async -> [TransportError] {
                guard case SwarmError.dialFailed(let failures)? = await failure(of: { try await client.connect(to: peer, addresses: [address]) })
                else { return [] }
                return failures.map(\.cause)
            }
            let refused = TransportError.network(.connectionRefused(world.host("server").address(port: 4001)))
            #expect(await causes() == [refused])
            guard case .backOff(let until)? = await causes().first else { throw TestError.unexpected }
            #expect(until - world.now > .seconds(4))
            try await world.sleep(for: .seconds(6))
            #expect(await causes() == [refused])
            // The second pause is twice as long.
            try await world.sleep(for: .seconds(6))
            guard case .backOff? = await causes().first else { throw TestError.unexpected }
            // Who asks for an address by name gets it dialed.
            try await server.listen(on: address)
            _ = try await client.connect(address.with(peer: peer))
            await client.close()
            await server.close()
        }
    }

    @Test func cancellingTheLastCallerGivesUp() throws {
        let world = World(seed: 10)
        try world.run {
            let silent = world.host("silent")
            let client = try world.swarm("client")
            let peer = try world.swarm("silent").localPeer
            silent.crash()
            let address = Multiaddr(silent.address(port: 1), over: .tcp)
            let start = world.now
            let error = await withTaskGroup(of: (any Error)?.self) { group in
                group.addTask { await failure { try await client.connect(to: peer, addresses: [address]) } }
                try? await world.sleep(for: .milliseconds(100))
                group.cancelAll()
                return await group.next() ?? nil
            }
            #expect(error as? SwarmError == .cancelled)
            #expect(world.now - start == .milliseconds(100))
            #expect(client.table.withLock { $0.ledger.connections } <= 1)
            await client.close()
            #expect(client.table.withLock { $0.ledger.connections } == 0)
        }
    }

    /// Both sides dial at once, from their listening ports and from others: each has a usable connection, and one is left.
    @Test(arguments: [true, false], 0..<12) func simultaneousDials(reusesPort: Bool, seed: Int) throws {
        let world = World(seed: UInt64(100 + seed))
        try world.run {
            let left = try await world.listening("left") { $0.dialing.reusesPort = reusesPort }
            let right = try await world.listening("right") { $0.dialing.reusesPort = reusesPort }
            left.register(Echo())
            right.register(Echo())
            let (toLeft, toRight) = (left.dialable, right.dialable)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = try await left.connect(toRight)
                    for round in 0..<10 {
                        #expect(try await left.echo("ping \(round)", to: right.localPeer) == "ping \(round)")
                        try await world.sleep(for: .milliseconds(7))
                    }
                }
                group.addTask {
                    try await world.sleep(for: .microseconds(Int64(seed) * 1500))
                    _ = try await right.connect(toLeft)
                    for round in 0..<10 {
                        #expect(try await right.echo("pong \(round)", to: left.localPeer) == "pong \(round)")
                        try await world.sleep(for: .milliseconds(5))
                    }
                }
                try await group.waitForAll()
            }
            try await world.sleep(for: .seconds(20))
            #expect(left.connections.count == 1)
            #expect(right.connections.count == 1)
            #expect(left.connections.first?.direction != right.connections.first?.direction)
            #expect(try await left.echo("still", to: right.localPeer) == "still")
            await left.close()
            await right.close()
        }
    }

    /// A handler may disconnect its own peer, and one that never ends does not keep the swarm from closing.
    @Test func handlersDoNotHoldTheEndUp() throws {
        let world = World(seed: 16)
        try world.run {
            let server = try await world.listening("server")
            server.register(Rude(server))
            let client = try world.swarm("client")
            let start = world.now
            await #expect(throws: (any Error).self) {
                try await client.withStream(to: try await client.connect(server.dialable).peer, "/leave") { _ = try await $0.read() }
            }
            #expect(world.now - start < .seconds(1))
            _ = try await client.connect(server.dialable)
            let stream = try await client.openStream(to: server.localPeer, ["/stay"])
            try await stream.write("x")
            try await world.sleep(for: .seconds(1))
            await server.close()
            #expect(server.connections.isEmpty)
            await client.close()
            try await world.sleep(for: .seconds(60))
        }
    }

    @Test func classicalPeerIsRefusedWhereRequired() throws {
        let world = World(seed: 11)
        try world.run {
            let server = try await world.listening("server", policy: .classical)
            let client = try world.swarm("client", policy: .require)
            let error = await failure { try await client.connect(server.dialable) }
            #expect(error as? SwarmError == .dialFailed([DialFailure(address: server.listenAddresses[0], cause: .handshake(.classicalPeer))]))
            await client.close()
            await server.close()
        }
    }

    /// A peer that spoke our first channel is offered nothing else the next time, which saves a round trip; if it has lost it, the dial still succeeds.
    @Test func remembersTheChannel() throws {
        let world = World(seed: 15)
        try world.run {
            let server = try await world.listening("server", policy: .prefer)
            let client = try world.swarm("client", policy: .prefer)
            let dialable = server.dialable
            func connect() async throws -> (Connection, Duration) {
                let start = world.now
                let connection = try await client.connect(dialable)
                return (connection, world.now - start)
            }
            let (first, slow) = try await connect()
            #expect(first.security.isPostQuantum)
            await client.disconnect(server.localPeer)
            let (second, fast) = try await connect()
            #expect(second.security.isPostQuantum)
            #expect(slow - fast > .milliseconds(8))
            await client.disconnect(server.localPeer)
            await server.close()
            let classical = try world.swarm("server", key: server.identity.key, policy: .classical)
            try await classical.listen(on: dialable.withoutPeerID!)
            let (third, _) = try await connect()
            #expect(!third.security.isPostQuantum)
            await client.close()
            await classical.close()
        }
    }

    @Test func listensOnWhatItSays() throws {
        let world = World(seed: 12)
        try world.run {
            let server = try world.swarm("server")
            let recorder = Recorder(server)
            let expanded = try await server.listen(on: try Multiaddr(parsing: "/ip4/0.0.0.0/tcp/4001"))
            #expect(expanded.map(\.description) == ["/ip4/127.0.0.1/tcp/4001", "/ip4/10.0.0.1/tcp/4001"])
            let six = try await server.listen(on: try Multiaddr(parsing: "/ip6/::/tcp/0"))
            #expect(six.count == 1 && six[0].port(.tcp) != 0)
            #expect(server.listenAddresses == expanded + six)
            let taken = await failure { try await server.listen(on: try Multiaddr(parsing: "/ip4/0.0.0.0/tcp/4001")) }
            guard case SwarmError.listenFailed(_, .network(.addressInUse))? = taken else { throw TestError.unexpected }
            let client = try world.swarm("client")
            for address in expanded.dropFirst() + six { _ = try await client.connect(address) }
            #expect(server.stopListening(on: expanded[1]))
            #expect(server.listenAddresses == six)
            try await server.until { server.connections.count == 2 }
            try await server.until { !recorder.all.isEmpty }
            await client.close()
            await server.close()
        }
    }

    /// A partition during the handshake, and a connection that dies without a word.
    @Test func survivesPartitions() throws {
        let world = World(seed: 13)
        try world.run {
            let server = try await world.listening("server")
            server.register(Echo())
            let client = try world.swarm("client")
            let (a, b) = (world.host("server"), world.host("client"))
            world.partition(a, b)
            let error = await failure { try await client.connect(server.dialable) }
            guard case SwarmError.dialFailed(let failures)? = error else { throw TestError.unexpected }
            #expect(failures.map(\.cause) == [.timedOut])
            world.heal(a, b)
            _ = try await client.connect(server.dialable)
            #expect(try await client.echo("one", to: server.localPeer) == "one")
            world.partition(a, b)
            // The muxer notices by its pings.
            try await client.until(.seconds(300)) { client.connections.isEmpty }
            world.heal(a, b)
            try await server.until(.seconds(300)) { server.connections.isEmpty }
            try await world.sleep(for: .seconds(10))
            #expect(try await client.echo("two", to: server.localPeer) == "two")
            await client.close()
            await server.close()
        }
    }

    /// A host that crashes and comes back with the same key is reached again, and the old connection is not in the way.
    @Test func survivesCrashes() throws {
        let world = World(seed: 14)
        try world.run {
            let host = world.host("server")
            let first = try await world.listening("server")
            first.register(Echo())
            let client = try await world.listening("client")
            client.register(Echo())
            _ = try await client.connect(first.dialable)
            host.crash()
            host.restart()
            let second = try world.swarm("server", key: first.identity.key)
            second.register(Echo())
            try await second.listen(on: Multiaddr(host.address(port: 4001), over: .tcp))
            // The restarted one comes to us while we still think the old connection stands.
            #expect(try await { _ = try await second.connect(client.dialable) ; return try await second.echo("back", to: client.localPeer) }() == "back")
            #expect(try await client.echo("again", to: second.localPeer) == "again")
            try await client.until(.seconds(600)) { client.connections.count == 1 }
            #expect(try await client.echo("still", to: second.localPeer) == "still")
            await client.close()
            await second.close()
        }
    }
}

/// Leaves in the middle of a stream, or ignores that it should end.
private final class Rude: Service {
    private let swarm: Swarm
    init(_ swarm: Swarm) { self.swarm = swarm }
    var protocols: [ProtocolID] { ["/leave", "/stay"] }

    func serve(_ stream: Stream, from peer: PeerID) async throws {
        if stream.protocolID == "/leave" { return await swarm.disconnect(peer) }
        let scope = TaskScope()
        let home = swarm.system.home
        scope.spawn(on: home) { try? await home.sleep(until: home.now + .seconds(30)) }
        await scope.drain()
    }
}
