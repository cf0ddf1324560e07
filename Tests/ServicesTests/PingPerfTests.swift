import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

@Suite struct PingPerfTests {
    private func pair(_ seed: UInt64, link: LinkOptions? = nil, _ body: @escaping @Sendable (World, Node, Node) async throws -> Void) throws {
        let world = World(seed: seed)
        if let link { world.link(world.host("server"), world.host("client"), link) }
        try world.run {
            let server = try await world.node("server") { $0.servesPerf = true }
            let client = try await world.node("client") { $0.servesPerf = true }
            try await server.start()
            try await client.start()
            try await client.connect(server.dialable)
            try await body(world, server, client)
            await client.close()
            await server.close()
        }
    }

    @Test func aThousandPingsOnOneStream() throws {
        try pair(81, link: LinkOptions(latency: .milliseconds(10), jitter: .zero)) { _, server, client in
            let ping = try #require(client.ping)
            let count = Counter()
            let roundTrips = try await ping.pings(to: server.peer, count: 1000) { number, _ in count.value.withLock { $0 += number } }
            #expect(roundTrips.count == 1000)
            #expect(roundTrips.allSatisfy { $0 >= .milliseconds(20) && $0 < .milliseconds(25) })
            #expect(count.value.withLock { $0 } == 499_500)
            #expect(ping.roundTrip(to: server.peer) == roundTrips.last)
            #expect(try await ping.ping(server.peer) >= .milliseconds(20))
        }
    }

    @Test func pingsKeepTheirInterval() throws {
        try pair(82) { world, server, client in
            let start = world.now
            _ = try await #require(client.ping).pings(to: server.peer, count: 5, interval: .seconds(1))
            #expect(world.now - start >= .seconds(4))
            #expect(world.now - start < .seconds(5))
        }
    }

    @Test func splitPingsAreAnswered() throws {
        try pair(83) { _, server, client in
            try await client.withStream(to: server.peer, Ping.protocolID) { stream in
                let payload = Bytes((0..<32).map { UInt8($0) })
                for cut in 1..<32 {
                    try await stream.write(payload.prefix(cut))
                    try await client.system.home.sleep(until: client.system.home.now + .milliseconds(20))
                    try await stream.write(payload.dropFirst(cut))
                    #expect(try await stream.read(exactly: 32) == payload)
                }
            }
        }
    }

    @Test func silentAndManyPingStreamsAreBounded() throws {
        try pair(84) { world, server, client in
            let connection = try await client.swarm.connect(to: server.peer)
            var streams: [WaggleNetwork.Stream] = []
            var answered = 0
            for _ in 0..<4 {
                let stream = try await connection.openStream([Ping.protocolID])
                try? await stream.write(Bytes([UInt8](repeating: 1, count: 32)))
                if (try? await stream.read(exactly: 32)) != nil { answered += 1 }
                streams.append(stream)
            }
            #expect(answered == PingLimits.streamsPerPeer)
            // After a minute of silence the server lets go.
            try await world.sleep(for: PingLimits.idle + .seconds(1))
            await #expect(throws: StreamError.self) { try await streams[0].read(exactly: 32) }
            #expect(try await #require(client.ping).ping(server.peer) > .zero)
        }
    }

    @Test func aPartitionedPeerTimesOut() throws {
        try pair(85) { world, server, client in
            world.partition(world.host("server"), world.host("client"))
            let error = await failure { try await client.ping?.ping(server.peer) }
            #expect(error as? StreamError == .timedOut)
            world.healAll()
        }
    }

    @Test(arguments: [(0, 0), (1, 0), (0, 1), (100_000, 300_000), (1 << 20, 3 << 20)] as [(UInt64, UInt64)])
    func perfMovesWhatIsAsked(up: UInt64, down: UInt64) throws {
        try pair(86) { _, server, client in
            let perf = Perf()
            perf.registered(on: client.swarm)
            let connection = try #require(client.swarm.connections.first)
            let (sent, received) = (connection.bytesOut, connection.bytesIn)
            let result = try await perf.measure(server.peer, upload: up, download: down)
            #expect(result.upload >= .zero && result.download >= .zero)
            #expect(connection.bytesOut - sent >= Int(up))
            #expect(connection.bytesIn - received >= Int(down))
        }
    }

    @Test func perfIsOnlyServedWhereAsked() throws {
        let world = World(seed: 87)
        try world.run {
            let server = try await world.node("server")
            let client = try await world.node("client")
            try await server.start()
            try await client.start()
            try await client.connect(server.dialable)
            let error = await failure { try await client.withStream(to: server.peer, Perf.protocolID) { try await $0.readAll(limit: .kibibytes(1)) } }
            // Either the negotiation fails, or the first read after an optimistic one.
            #expect(error as? SwarmError == .stream(.protocolNotSupported) || error as? StreamError == .protocolNotSupported)
            await client.close()
            await server.close()
        }
    }
}

private final class Counter: Sendable {
    let value = Mutex(0)
}
