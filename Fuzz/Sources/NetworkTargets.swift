import WaggleBase
import WaggleCryptography
@testable import WaggleNetwork
@testable import WaggleServices
@testable import WaggleStack

private let start = Instant(nanoseconds: 1_000_000_000)

/// Our side of handshakes: the same keys and randomness every time.
private let channels: [any SecureChannel] = {
    let seed = SecureBytes([UInt8](repeating: 7, count: 32))
    guard let key = attempt({ try IdentityKeyPair(ed25519Seed: seed) }), let keys = attempt({ try NoiseKeys(identity: LocalIdentity(key), secret: seed) })
    else { preconditionFailure("a seed is a key") }
    return ChannelCatalog.channels(.prefer, keys)
}()

/// A node of a chain, whose signatures are made at once. Made anew each time: the leak sanitizer does not follow the keys of a global one,
/// because their kind is kept in spare bits of the pointers.
private func chainChannel() -> AnimicaChannel {
    guard let key = attempt({ try IdentityKeyPair(generating: .mlDSA65, random: SecureBytes([UInt8](repeating: 7, count: 32))) }),
        let channel = AnimicaChannel(identity: LocalIdentity(key), network: .init(chain: 1), transports: ["tcp"])
    else { preconditionFailure("a seed is a key") }
    return channel
}

/// Records as both sides of a session with known keys open them.
private func animicaRecords(_ bytes: Bytes) {
    let secret = SecureBytes([UInt8](repeating: 3, count: 32))
    let direction = AnimicaDirection(secret, .chaCha20Poly1305, .init(recordsPerKey: 2, keys: 4))
    let records = AnimicaRecords(sending: direction, receiving: direction)
    var input = bytes.array
    var start = 0
    while start < input.count {
        let outcome = attempt {
            try input[start...].withUnsafeMutableBytes { try records.open($0) }
        }
        guard case .record(let plaintext, let consumed)? = outcome else { return }
        precondition(plaintext.upperBound <= consumed && consumed > 0)
        start += consumed
    }
}

private let random = SecureBytes([UInt8](repeating: 9, count: HandshakeParameters.randomLength))

private func upgrade(_ role: Role, _ bytes: Bytes) {
    var machine = UpgradeMachine(
        UpgradeParameters(role: role, channels: channels, muxers: ["/yamux/1.0.0"], expectedPeer: nil, random: random), at: start)
    var cutter = Cutter(bytes)
    var window: [UInt8] = []
    while let piece = cutter.next() {
        window += piece.array
        guard let used = attempt({ try machine.receive(window.span.bytes) }) else { break }
        precondition(used <= window.count)
        window.removeFirst(used)
        while machine.next() != nil {}
    }
    while machine.next() != nil {}
    _ = machine.finish()
}

private func handshake(_ channel: any SecureChannel, _ role: Role, _ bytes: Bytes) {
    var machine = channel.makeHandshake(HandshakeParameters(role: role, muxers: ["/yamux/1.0.0"], random: random))
    while machine.next() != nil {}
    var cutter = Cutter(bytes)
    var window: [UInt8] = []
    while let piece = cutter.next() {
        window += piece.array
        guard let used = attempt({ try machine.receive(window.span.bytes) }) else { return }
        window.removeFirst(used)
        while machine.next() != nil {}
    }
    _ = machine.finish()
}

/// A session that gets the input in pieces; between them the other calls are made, as a connection would.
private func yamux(_ role: Role, _ bytes: Bytes) {
    let session = Yamux().makeSession(
        MuxerParameters(role: role, inboundStreams: 32, outboundStreams: 32, unreadBytes: 1 << 20, now: start))
    var now = start
    var cutter = Cutter(bytes)
    var open: [UInt64] = []
    withUnsafeTemporaryAllocation(byteCount: session.maximumHeader, alignment: 8) { header in
        guard let header = header.baseAddress else { return }
        while let piece = cutter.next() {
            switch piece.count % 8 {
            case 0: if let stream = session.openStream(at: now) { open.append(stream) }
            case 1: if let stream = open.last { session.send(piece, on: stream) }
            case 2: if let stream = open.popLast() { session.finish(stream) }
            case 3: if let stream = open.popLast() { session.reset(stream, code: 1) }
            case 4:
                now = now + .seconds(Int(piece.count))
                session.tick(at: now)
            default: break
            }
            session.receive(piece, at: now)
            while session.nextEvent() != nil {}
            while session.nextFrame(header: header, maximumPayload: 65_000, at: now) != nil {}
            precondition(session.unreadBytes <= 2 << 20)
        }
    }
}

let networkTargets: [(name: String, run: @Sendable (Bytes) -> Void)] = [
    ("multistream-dialer", { bytes in
        var machine = MultistreamMachine(proposing: ["/noise", "/tls/1.0.0"])
        var cutter = Cutter(bytes)
        while let piece = cutter.next() {
            guard attempt({ try machine.receive(piece.span) }) != nil else { return }
            while machine.next() != nil {}
        }
    }),
    ("multistream-listener", { bytes in
        var machine = MultistreamMachine(accepting: { $0 == "/noise" })
        var cutter = Cutter(bytes)
        while let piece = cutter.next() {
            guard attempt({ try machine.receive(piece.span) }) != nil else { return }
            while machine.next() != nil {}
        }
    }),
    ("upgrade-dialer", { upgrade(.initiator, $0) }),
    ("upgrade-listener", { upgrade(.responder, $0) }),
    ("noise-initiator", { bytes in for channel in channels { handshake(channel, .initiator, bytes) } }),
    ("noise-responder", { bytes in for channel in channels { handshake(channel, .responder, bytes) } }),
    ("animica-initiator", { handshake(chainChannel(), .initiator, $0) }),
    ("animica-responder", { handshake(chainChannel(), .responder, $0) }),
    ("animica-credentials", { bytes in _ = attempt { try AnimicaCredentials.read(bytes) } }),
    ("animica-records", { animicaRecords($0) }),
    ("identity-certificate", { bytes in
        let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)
        // Signatures do not stop the fuzzer: the digest is always taken for known.
        guard let certificate = attempt({ try IdentityCertificate(verifying: bytes, at: now, isKnown: { _ in true }) }) else { return }
        precondition(certificate.classicalPeer == PeerID(certificate.classicalKey) && certificate.encoded == bytes)
        precondition(certificate.expires > now && certificate.expires <= now + IdentityCertificateLimits.longestLifetime)
    }),
    ("noise-payload", { bytes in
        guard let payload = attempt({ try NoisePayload(bytes) }) else { return }
        precondition(payload.muxers.count <= NoiseLimits.muxers && payload.channels.count <= NoiseLimits.channels)
        _ = attempt { try NoisePayload(payload.encoded) }
    }),
    ("yamux-client", { yamux(.initiator, $0) }),
    ("yamux-server", { yamux(.responder, $0) }),
    ("fetch-message", { bytes in
        _ = attempt { try FetchMessage.request.decode(bytes) }
        if let result = attempt({ try FetchMessage.response.decode(bytes) }) { _ = attempt { try FetchMessage.response.encode(result) } }
    }),
    ("reputation-row", { bytes in
        if let row = attempt({ try ReputationTable.Row(decoding: bytes) }) { _ = row.encoded }
    }),
    ("rendezvous-message", { bytes in
        guard let message = attempt({ try RendezvousMessage(decoding: bytes) }) else { return }
        let again = attempt { try RendezvousMessage(decoding: message.encoded) }
        precondition(again == message)
        if let peer = UnsignedPeer(decoding: bytes) { precondition(peer.addresses.count <= RendezvousLimits.unsignedAddresses) }
    }),
    ("mdns-message", { bytes in
        guard let message = attempt({ try DNSMessage(decoding: bytes.span) }) else { return }
        _ = attempt { try DNSMessage(decoding: message.encoded().span) }
    }),
    ("mdns-machine", { bytes in
        // What a neighbour says, twice: who is found, and what is answered.
        guard let local = attempt({ try PeerID("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N") }), let message = attempt({ try DNSMessage(decoding: bytes.span) })
        else { return }
        let link = MDNSMachine.Link(interface: 2, isVersion6: false)
        var machine = MDNSMachine(local, MDNSNames(label: String(repeating: "a", count: 32)), random: 1)
        machine.handle(.links([link]), at: start)
        for second in 0..<2 {
            let now = start + .seconds(second * 100)
            let sender = MDNSMachine.Origin(address: SocketAddress(ip: .v4(0xc0a8_0002), port: UInt16(5353 + second)))
            machine.handle(.packet(message, from: sender, on: link), at: now)
            machine.handle(.tick, at: now + .seconds(1))
            while let output = machine.next() {
                if case .found(let peer, let addresses) = output { precondition(peer != local && (1...MDNSLimits.addressesPerPeer).contains(addresses.count)) }
            }
        }
    }),
    ("address-book-row", { bytes in _ = attempt { try AddressBookRow(decoding: bytes) } }),
    ("identify", { bytes in
        var message = IdentifyMessage()
        guard attempt({ try message.merge(bytes) }) != nil else { return }
        precondition((message.protocols?.count ?? 0) <= IdentifyLimits.protocols)
        for frame in message.frames { _ = attempt { try message.merge(frame) } }
    }),
    ("kademlia-message", { bytes in
        guard let message = attempt({ try KademliaMessage(bytes) }) else { return }
        precondition(message.contacts(providers: false).count <= KademliaLimits.closerPeers)
        precondition(message.contacts(providers: true).count <= KademliaLimits.providerPeers)
    }),
    ("kademlia-request", { bytes in
        guard let peer = attempt({ try PeerID("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N") }) else { return }
        let responder = KademliaResponder(
            peer: peer, configuration: KademliaConfiguration(prefix: "/fuzz", scope: .any), now: Instant(nanoseconds: 0))
        var cutter = Cutter(bytes)
        while let piece = cutter.next() { _ = responder.answer(piece, from: peer, at: KademliaKey(peer), now: WallTime(nanoseconds: 0)) }
    }),
]
