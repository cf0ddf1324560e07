import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleStack

/// Streams over TCP, Noise and yamux in both worlds; on Linux from threads that are not the connection's too.
@Suite struct ConnectionBehaviour {
    static let echo: ProtocolID = "/echo"

    private final class Echo: Service {
        var protocols: [ProtocolID] { [echo] }
        func serve(_ stream: WaggleNetwork.Stream, from peer: PeerID) async throws {
            while let bytes = try await stream.read() { try await stream.write(bytes) }
        }
    }

    private func swarm(_ system: any System) throws -> Swarm {
        func secret() -> SecureBytes { SecureBytes(count: 32) { system.fillRandom($0) } }
        let identity = LocalIdentity(try IdentityKeyPair(ed25519Seed: secret()))
        let keys = try NoiseKeys(identity: identity, secret: secret())
        let swarm = Swarm(
            system: system, identity: identity,
            configuration: SwarmConfiguration(channels: ChannelCatalog.all(keys), muxers: [Yamux()]), transports: [TCP()],
            addressBook: try AddressBook(system: system))
        swarm.register(Echo())
        return swarm
    }

    private func withConnection(_ scene: Stage.Scene, _ body: (Connection) async throws -> Void) async throws {
        let (near, far) = (try swarm(scene.near), try swarm(scene.far))
        let addresses = try await far.listen(on: Multiaddr(SocketAddress(ip: scene.farAddress, port: 0), over: .tcp))
        let connection = try await near.connect(to: far.localPeer, addresses: addresses)
        #expect(connection.security.isPostQuantum && connection.peer == far.localPeer)
        do { try await body(connection) } catch {
            await near.close()
            await far.close()
            throw error
        }
        await near.close()
        await far.close()
        #expect(connection.isClosed && connection.streamCount == 0)
    }

    private static func pattern(_ count: Int, _ seed: Int) -> Bytes {
        Bytes(count: count) { buffer in
            for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: (index &* 31 &+ seed) &>> 3 ^ index) }
            return count
        }
    }

    /// Writes and reads at once; what comes back is what was sent.
    private static func exchange(_ stream: WaggleNetwork.Stream, _ bytes: Bytes) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for start in Swift.stride(from: 0, to: bytes.count, by: 70_000) {
                    try await stream.write(bytes[start..<min(start + 70_000, bytes.count)])
                }
                stream.finish()
            }
            group.addTask {
                let back = try await stream.readAll(limit: .mebibytes(16))
                #expect(back == bytes)
            }
            try await group.waitForAll()
        }
    }

    @Test(arguments: Stage.allCases) func streamsOnTheLoop(_ stage: Stage) async throws {
        try await stage.play { scene in
            try await withConnection(scene) { connection in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for index in 0..<20 {
                        group.addTask {
                            try await Self.exchange(try await connection.openStream([Self.echo]), Self.pattern(200_000 + index, index))
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    /// Tasks of the global pool use streams of a loop.
    @Test func streamsFromOtherThreads() async throws {
        let stage = Stage.linux
        let connection = Waiting<(Connection, [Swarm])>()
        try await stage.play { scene in
            let (near, far) = (try swarm(scene.near), try swarm(scene.far))
            let addresses = try await far.listen(on: Multiaddr(SocketAddress(ip: scene.farAddress, port: 0), over: .tcp))
            connection.value = (try await near.connect(to: far.localPeer, addresses: addresses), [near, far])
        }
        let (open, swarms) = try #require(connection.value)
        #expect(!open.loop.isCurrent)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<12 {
                group.addTask {
                    let stream = try await open.openStream([Self.echo])
                    stream.deadline = open.loop.now + .seconds(300)
                    if index % 4 == 0 {
                        for round in 0..<50 {
                            let bytes = Self.pattern(100, round)
                            try await stream.write(bytes)
                            #expect(try await stream.read(exactly: 100) == bytes)
                        }
                        stream.finish()
                        #expect(try await stream.read() == nil)
                    } else if index % 4 == 1 {
                        try await stream.write("lost")
                        stream.reset(7)
                    } else {
                        try await Self.exchange(stream, Self.pattern(500_000, index))
                    }
                }
            }
            group.addTask {
                // What others may look at while it changes.
                for _ in 0..<100 {
                    _ = (open.bytesIn, open.bytesOut, open.streamCount, open.roundTrip, open.lastActivity, open.isClosed)
                    await Task.yield()
                }
            }
            try await group.waitForAll()
        }
        let reader = Task { try await (try await open.openStream([Self.echo])).read() }
        await Task.yield()
        reader.cancel()
        await #expect(throws: StreamError.cancelled) { try await reader.value }
        open.close(.normal)
        await open.closed()
        #expect(open.isClosed)
        await #expect(throws: StreamError.connectionLost) { try await open.openStream([Self.echo]) }
        for swarm in swarms { await swarm.close() }
    }

    private final class Waiting<Value>: @unchecked Sendable {
        var value: Value?
    }
}
