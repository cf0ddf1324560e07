import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

@Suite struct IdentifyTests {
    @Test func bothSidesLearnEachOther() throws {
        let world = World(seed: 61)
        try world.run {
            let server = try await world.node("server")
            let client = try await world.node("client") { $0.agentVersion = "test/1" }
            let (ofServer, ofClient) = (Identified(client), Identified(server))
            try await server.start()
            try await client.start()
            let connection = try await client.connect(server.dialable)
            try await client.until { !ofServer.all.isEmpty && !ofClient.all.isEmpty }
            let seen = try #require(ofServer.all.first)
            #expect(seen.peer == server.peer)
            #expect(seen.protocolVersion == "ipfs/0.1.0")
            #expect(seen.agentVersion == "waggle/0.1.0")
            #expect(seen.protocols == server.swarm.supportedProtocols)
            #expect(seen.listenAddresses == server.listenAddresses)
            #expect(seen.observedAddress == connection.localAddress)
            #expect(seen.signedRecord != nil)
            #expect(ofClient.all.first?.agentVersion == "test/1")
            let book = client.swarm.addressBook
            #expect(book.source(of: server.listenAddresses[0], of: server.peer) == .certified)
            #expect(book.protocols(of: server.peer).contains("/ipfs/ping/1.0.0"))
            #expect(server.swarm.addressBook.addresses(of: client.peer) == client.listenAddresses)
            await client.close()
            await server.close()
        }
    }

    /// Who connects can use what the peer speaks at once.
    @Test func connectingEndsWhenThePeerIsKnown() throws {
        let world = World(seed: 67)
        try world.run {
            let server = try await world.node("server")
            let client = try await world.node("client")
            try await server.start()
            try await client.start()
            try await client.connect(server.dialable)
            #expect(client.swarm.addressBook.protocols(of: server.peer).contains("/ipfs/ping/1.0.0"))
            // Again, over the connection that there is.
            try await client.connect(server.dialable)
            // A peer that goes before it has said anything is not waited for.
            let connection = try await client.swarm.connect(server.dialable)
            #expect(client.swarm.connections.count == 1)
            await client.swarm.disconnect(server.peer)
            try await client.identify?.settle(connection)
            let another = try await client.swarm.connect(server.dialable)
            async let known: Void? = client.identify?.settle(another)
            await client.swarm.disconnect(server.peer)
            _ = try await known
            await client.close()
            await server.close()
        }
    }

    @Test func changesArePushed() throws {
        let world = World(seed: 62)
        try world.run {
            let server = try await world.node("server")
            let client = try await world.node("client")
            try await server.start()
            try await client.start()
            _ = try await client.connect(server.dialable)
            try await client.until { !client.swarm.addressBook.protocols(of: server.peer).isEmpty && !server.swarm.addressBook.protocols(of: client.peer).isEmpty }
            let learned = Identified(client)
            server.add(Echo())
            let extra = Multiaddr(world.host("server").address(port: 4002), over: .tcp)
            try await server.swarm.listen(on: extra)
            try await client.until { client.swarm.addressBook.protocols(of: server.peer).contains("/echo/1.0.0") }
            // Both changes went out in one message, with a record that replaces the first one.
            #expect(learned.all.count == 1)
            #expect(client.swarm.addressBook.source(of: extra, of: server.peer) == .certified)
            server.swarm.stopListening(on: extra)
            try await client.until { client.swarm.addressBook.source(of: extra, of: server.peer) == nil }
            await client.close()
            await server.close()
        }
    }

    /// A client that sends `frames` to the push protocol of a node, and what the node then knows.
    private func push(
        _ seed: UInt64, _ frames: @escaping @Sendable (Node) throws -> [Bytes],
        check: @escaping @Sendable (Node, Node, [PeerInformation]) throws -> Void
    ) throws {
        let world = World(seed: seed)
        try world.run {
            let server = try await world.node("server")
            let client = try await world.node("client")
            try await server.start()
            // The client's own services are silent: only what the test sends counts.
            try await client.swarm.listen(on: client.configuration.listen[0])
            let learned = Identified(server)
            _ = try await client.connect(server.dialable)
            try await world.sleep(for: .seconds(2))
            let before = learned.all.count
            let sent = try frames(client)
            _ = await failure {
                try await client.withStream(to: server.peer, Identify.push) { stream in
                    for frame in sent { try await stream.writeMessage(frame) }
                    stream.finish()
                    _ = try await stream.readAll(limit: .kibibytes(1))
                }
            }
            try await world.sleep(for: .seconds(2))
            try check(server, client, Array(learned.all.dropFirst(before)))
            await client.close()
            await server.close()
        }
    }

    private func frame(_ write: (inout ProtobufWriter) throws -> Void) rethrows -> Bytes {
        var writer = ProtobufWriter()
        try write(&writer)
        return writer.finish()
    }

    @Test func thousandsOfAddressesAreCut() throws {
        try push(63) { _ in
            try (0..<8).map { part in
                try frame { writer in
                    for index in 0..<400 { writer.write(2, try Multiaddr(parsing: "/ip4/9.\(part).\(index / 256).\(index % 256)/tcp/1").bytes) }
                }
            }
        } check: { server, client, learned in
            #expect(learned.count == 1)
            #expect(learned.first?.listenAddresses.count == IdentifyLimits.addresses)
            #expect(server.swarm.addressBook.addresses(of: client.peer).count <= 32)
        }
    }

    @Test func tooManyOrTooLongFramesAreRefused() throws {
        let many: @Sendable (Node) throws -> [Bytes] = { _ in (0...IdentifyLimits.frames).map { _ in frame { $0.write(6, "liar/1") } } }
        try push(64, many) { server, client, learned in
            #expect(learned.isEmpty)
            #expect(server.swarm.addressBook.agentVersion(of: client.peer) != "liar/1")
        }
        let long: @Sendable (Node) throws -> [Bytes] = { _ in [frame { $0.write(6, String(repeating: "x", count: IdentifyLimits.frame.bytes)) }] }
        try push(65, long) { _, _, learned in #expect(learned.isEmpty) }
        let none: @Sendable (Node) throws -> [Bytes] = { _ in [] }
        try push(66, none) { _, _, learned in #expect(learned.isEmpty) }
        let garbage: @Sendable (Node) throws -> [Bytes] = { _ in [[0xff, 0xff, 0xff], [0x0a, 0x7f]] }
        try push(67, garbage) { _, _, learned in #expect(learned.isEmpty) }
    }

    @Test func foreignKeysAndRecordsAreRefused() throws {
        let other = try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: 9, count: 32)))
        let wanted = try Multiaddr(parsing: "/ip4/6.6.6.6/tcp/6")
        try push(68) { _ in [frame { $0.write(1, other.publicKey.encoded) }] } check: { server, client, learned in
            #expect(learned.isEmpty)
            #expect(server.swarm.reputation.standing(of: client.peer)?.lastOffence == "forged-record")
        }

        // A record that another key signed for us, and one that is another peer's own: no address of either is believed.
        let forgeries: [@Sendable (Node) throws -> Bytes] = [
            { try #require(PeerRecord(peer: $0.peer, sequence: .max, addresses: [wanted]).signed(with: other)).encoded },
            { _ in try #require(PeerRecord(peer: PeerID(other.publicKey), sequence: .max, addresses: [wanted]).signed(with: other)).encoded },
        ]
        for (index, forge) in forgeries.enumerated() {
            try push(69 + UInt64(index)) { client in
                let envelope = try forge(client)
                return [
                    frame {
                        $0.write(2, wanted.bytes)
                        $0.write(8, envelope)
                    }
                ]
            } check: { server, client, learned in
                #expect(learned.first?.listenAddresses == [])
                #expect(!server.swarm.addressBook.addresses(of: client.peer).contains(wanted))
                #expect(server.swarm.addressBook.addresses(of: PeerID(other.publicKey)).isEmpty)
                #expect(server.swarm.reputation.standing(of: client.peer)?.lastOffence == "forged-record")
                #expect(server.swarm.reputation.standing(of: PeerID(other.publicKey)) == nil, "only who sent it is to blame")
            }
        }
    }

    /// A peer that pushes without end is heard as often as anybody may have news.
    @Test func pushesAreMetered() throws {
        let world = World(seed: 77)
        try world.run {
            let server = try await world.node("server")
            let client = try await world.node("client")
            try await server.start()
            try await client.swarm.listen(on: client.configuration.listen[0])
            let learned = Identified(server)
            _ = try await client.connect(server.dialable)
            try await world.sleep(for: .seconds(2))
            let before = learned.all.count
            let sent = frame { $0.write(6, "loud/1") }
            let began = client.system.home.now
            for _ in 0..<100 {
                _ = await failure {
                    try await client.withStream(to: server.peer, Identify.push) { stream in
                        try await stream.writeMessage(sent)
                        stream.finish()
                        _ = try await stream.readAll(limit: .kibibytes(1))
                    }
                }
            }
            let seconds = Int((client.system.home.now - began).wholeNanoseconds / 1_000_000_000)
            #expect((1...IdentifyLimits.pushes * (seconds + 2)).contains(learned.all.count - before) && learned.all.count - before < 100)
            try await world.sleep(for: .seconds(2))
            let calm = learned.all.count
            _ = await failure {
                try await client.withStream(to: server.peer, Identify.push) { stream in
                    try await stream.writeMessage(sent)
                    stream.finish()
                    _ = try await stream.readAll(limit: .kibibytes(1))
                }
            }
            #expect(learned.all.count == calm + 1)
            await client.close()
            await server.close()
        }
    }

    /// Fields that a push leaves out keep their values; an older record changes nothing.
    @Test func partialPushesKeepTheRest() throws {
        try push(75) { _ in [frame { $0.write(6, "renamed/2") }] } check: { server, client, learned in
            #expect(learned.count == 1)
            #expect(server.swarm.addressBook.agentVersion(of: client.peer) == "renamed/2")
            #expect(server.swarm.addressBook.protocols(of: client.peer).contains("/ipfs/ping/1.0.0"))
        }
        let old = try Multiaddr(parsing: "/ip4/7.7.7.7/tcp/7")
        try push(76) { client in
            let envelope = try #require(PeerRecord(peer: client.peer, sequence: 1, addresses: [old]).signed(with: client.swarm.identity.key))
            return [frame { $0.write(8, envelope.encoded) }]
        } check: { server, client, _ in
            #expect(server.swarm.addressBook.source(of: old, of: client.peer) == nil)
        }
    }

    @Test func longMessagesAreSplit() throws {
        var message = IdentifyMessage()
        message.publicKey = [1, 2, 3]
        message.agentVersion = "a/1"
        message.protocols = (0..<300).map { ProtocolID("/protocol/number/\($0)") }
        message.listenAddresses = try (0..<100).map { try Multiaddr(parsing: "/ip4/9.9.9.\($0)/tcp/1") }
        message.signedRecord = Bytes([UInt8](repeating: 7, count: 1500))
        let frames = message.frames
        #expect(frames.count == 3)
        #expect(frames.allSatisfy { $0.count <= IdentifyLimits.writtenFrame.bytes })
        var read = IdentifyMessage()
        for frame in frames { try read.merge(frame) }
        #expect(read.protocols == message.protocols)
        #expect(read.listenAddresses == message.listenAddresses)
        #expect(read.signedRecord == message.signedRecord)
        // Cut anywhere: an error or fewer fields, never a trap.
        for end in 0..<frames[0].count {
            var part = IdentifyMessage()
            _ = try? part.merge(frames[0].prefix(end))
        }
    }
}
