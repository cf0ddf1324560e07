import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation
import WaggleStack

/// Whole nodes with identities of every kind.
@Suite struct IdentityKindNodeTests {
    private func key(_ kind: KeyKind, _ seed: UInt8) throws -> IdentityKeyPair {
        try IdentityKeyPair(generating: kind, random: SecureBytes([UInt8](repeating: seed, count: kind.randomLength)))
    }

    /// Two nodes connect, identify each other, exchange records, and find each other again by multiaddr and by PeerID alone.
    @Test(arguments: KeyKind.allCases)
    func nodes(kind: KeyKind) throws {
        let world = World(seed: 900)
        let (first, second) = (try key(kind, 1), try key(kind, 2))
        try world.run {
            let server = try await world.node("server") {
                $0.identity = first
                $0.policy = .prefer
            }
            let client = try await world.node("client") {
                $0.identity = second
                $0.policy = .prefer
            }
            let (ofServer, ofClient) = (Identified(client), Identified(server))
            try await server.start()
            try await client.start()
            let connection = try await client.connect(server.dialable)
            #expect(connection.peer == server.peer && connection.peerKey == first.publicKey && connection.security.signature == kind.name)
            try await client.until { !ofServer.all.isEmpty && !ofClient.all.isEmpty }
            for (node, seen, other) in [(client, ofServer, server), (server, ofClient, client)] {
                let information = try #require(seen.all.first)
                #expect(information.listenAddresses == other.listenAddresses && information.protocols == other.swarm.supportedProtocols)
                let record = try PeerRecord(verifying: try #require(information.signedRecord))
                #expect(record.peer == other.peer && record.addresses == other.listenAddresses)
                let book = node.swarm.addressBook
                #expect(book.source(of: other.listenAddresses[0], of: other.peer) == .certified)
                #expect(book.signedRecord(of: other.peer) == information.signedRecord)
            }
            // A push with another record arrives too.
            let extra = Multiaddr(world.host("server").address(port: 4002), over: .tcp)
            try await server.swarm.listen(on: extra)
            try await client.until { client.swarm.addressBook.source(of: extra, of: server.peer) == .certified }

            for address in [try Multiaddr(parsing: server.dialable.description), nil] {
                for connection in client.swarm.connections { connection.close(.normal) }
                try await client.until { client.swarm.connections.isEmpty && server.swarm.connections.isEmpty }
                let again = if let address { try await client.connect(address) } else { try await client.swarm.connect(to: server.peer) }
                #expect(again.peer == server.peer)
            }
            await client.close()
            await server.close()
        }
    }

    /// A slow key signs one record for all who ask at once.
    @Test func oneRecordForAll() throws {
        let world = World(seed: 904)
        let ours = try key(.slhDSAShake128s, 1)
        try world.run {
            let server = try await world.node("server") { $0.identity = ours }
            try await server.start()
            var clients: [(node: Node, seen: Identified)] = []
            for number in 0..<4 {
                let client = try await world.node("client\(number)")
                clients.append((client, Identified(client)))
                try await client.start()
            }
            for (client, _) in clients { _ = try await client.connect(server.dialable) }
            for (client, seen) in clients { try await client.until { !seen.all.isEmpty } }
            let records = Set(clients.compactMap { $0.seen.all.first?.signedRecord })
            #expect(records.count == 1)
            for (client, _) in clients { await client.close() }
            await server.close()
        }
    }

    /// The same peer does not answer to a PeerID of another key, of whatever kind.
    @Test func anotherKeyIsAnotherPeer() throws {
        let world = World(seed: 901)
        let (first, second) = (try key(.mlDSA65, 1), try key(.mlDSA65, 2))
        try world.run {
            let server = try await world.node("server") { $0.identity = first }
            let client = try await world.node("client")
            try await server.start()
            try await client.start()
            let error = await failure { try await client.connect(server.listenAddresses[0].with(peer: PeerID(second.publicKey))) }
            #expect(error as? SwarmError == .dialFailed([DialFailure(address: server.listenAddresses[0], cause: .wrongPeer(server.peer))]))
            await client.close()
            await server.close()
        }
    }

    /// A program that does not know ML-DSA ends the connection at once. Whoever dialed, our side says why in plain words.
    /// So it does where the muxer is agreed on after the handshake.
    @Test(arguments: [KeyKind.mlDSA65, .slhDSAShake128s], [true, false])
    func programsThatDoNotKnowTheKind(kind: KeyKind, earlyMuxer: Bool) throws {
        let world = World(seed: 902)
        let ours = try key(kind, 1)
        try world.run {
            let node = try await world.node("node") { $0.identity = ours }
            let other = try await world.node("other") { configuration in
                let secret = SecureBytes([UInt8](repeating: 5, count: 32))
                configuration.channels = { identity in
                    do { return try Catalog.channels(NoiseKeys(identity: identity, secret: secret)).map { IgnorantChannel(inner: $0, earlyMuxer: earlyMuxer) } } catch { return [] }
                }
            }
            let refusals = Refusals(node)
            try await node.start()
            try await other.start()
            let error = try #require(await failure { try await node.connect(other.dialable) } as? SwarmError)
            #expect(error == .dialFailed([DialFailure(address: other.listenAddresses[0], cause: .handshake(.turnedAway(kind)))]))
            #expect("\(error)".contains("the peer ended the connection when it saw this node's \(kind.name) identity"))
            #expect(refusals.all == [.turnedAway(kind)])
            let theirs = try #require(await failure { try await other.connect(node.dialable) })
            #expect("\(theirs)".contains("the peer's identity was refused: a key of the unknown libp2p type"))
            try await node.until { refusals.all.count == 2 }
            #expect(refusals.all.last == .turnedAway(kind))
            await node.close()
            await other.close()
        }
    }

    /// What is not known here is refused just so.
    @Test func silenceIsNoRefusal() throws {
        let world = World(seed: 903)
        let ours = try key(.mlDSA44, 1)
        try world.run {
            // This one listens and speaks no protocol of its own.
            let silent = try await world.node("silent")
            try await silent.swarm.listen(on: silent.configuration.listen[0])
            let node = try await world.node("node") { $0.identity = ours }
            try await node.swarm.listen(on: node.configuration.listen[0])
            let began = node.system.home.now
            let connection = try await node.connect(silent.dialable)
            #expect(!connection.isClosed && node.system.home.now - began <= UpgradeLimits.acceptance + .seconds(1))
            await node.close()
            await silent.close()
        }
    }

    /// Records stay within what other stacks read, with as many addresses as fit, and frames are never cut inside a field.
    @Test(arguments: KeyKind.allCases)
    func identifyFrames(kind: KeyKind) throws {
        let key = try key(kind, 1), peer = PeerID(key.publicKey)
        let addresses = try (0..<400).map { try Multiaddr(parsing: "/ip6/2001:db8::\($0)/udp/4001/quic-v1") }
        let record = try #require(Identify.record(of: peer, addresses, .max, key))
        let read = try PeerRecord(verifying: record)
        #expect(read.addresses.count >= 8 && read.addresses[...] == addresses.prefix(read.addresses.count))
        let isLong = kind == .slhDSAShake128s
        #expect(record.count <= (isLong ? IdentifyLimits.writtenLongRecord : IdentifyLimits.writtenRecord).bytes)
        var message = IdentifyMessage()
        message.publicKey = key.publicKey.encoded
        message.agentVersion = "a/1"
        message.protocols = (0..<100).map { ProtocolID("/protocol/number/\($0)") }
        message.listenAddresses = Array(addresses.prefix(100))
        message.signedRecord = record
        let frames = message.frames
        #expect(frames.count <= IdentifyLimits.frames)
        #expect(frames.dropLast().allSatisfy { $0.count <= IdentifyLimits.writtenFrame.bytes })
        #expect(frames.allSatisfy { $0.count <= IdentifyLimits.frame.bytes && (isLong || $0.count <= 8 << 10) })
        // go-libp2p merges: the last of a single field, all of a repeated one.
        var merged = IdentifyMessage()
        for frame in frames { try merged.merge(frame) }
        #expect(merged.publicKey == message.publicKey && merged.signedRecord == record)
        #expect(merged.protocols == message.protocols && merged.listenAddresses == message.listenAddresses)
    }
}

/// Handshakes that failed at a node.
private final class Refusals: Sendable {
    private let found = Waiting()

    private final class Waiting: @unchecked Sendable {
        var errors: [UpgradeError] = []
    }

    init(_ node: Node) {
        // The simulation runs on one thread.
        _ = node.swarm.observe(on: node.system.home) { [found] event in
            if case .handshakeFailed(_, _, let error) = event { found.errors.append(error) }
        }
    }

    var all: [UpgradeError] { found.errors }
}

/// A channel as other programs have it: the same bytes, but no key of a post-quantum kind is known.
private struct IgnorantChannel: SecureChannel {
    let inner: any SecureChannel
    let earlyMuxer: Bool

    var protocolID: ProtocolID { inner.protocolID }
    var isPostQuantum: Bool { inner.isPostQuantum }

    func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake {
        var parameters = parameters
        if !earlyMuxer { parameters.muxers = [] }
        return Ignorant(inner: inner.makeHandshake(parameters))
    }

    private struct Ignorant: Handshake {
        var inner: any Handshake
        var outcome: Secured?

        mutating func receive(_ input: RawSpan) throws(HandshakeError) -> Int {
            let used = try inner.receive(input)
            let message = inner.next()
            if let secured = inner.finish() {
                if secured.key.kind.isPostQuantum { throw .keyRefused(.unsupportedType(4)) }
                outcome = secured
            }
            output = message
            return used
        }

        var output: Bytes?
        mutating func next() -> Bytes? { output.take() ?? inner.next() }
        mutating func finish() -> Secured? { outcome.take() }
        mutating func takeWork() -> HandshakeWork? { inner.takeWork() }
        mutating func complete(_ result: Bytes?) throws(HandshakeError) { try inner.complete(result) }
    }
}
