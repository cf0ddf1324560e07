import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

@testable import WaggleStack

/// Noise, envelopes and records with identities of every kind.
struct ChannelKindTests {
    private static let kinds = KeyKind.allCases

    @Test(arguments: kinds, ChannelNoiseTests.suites)
    func handshakes(kind: KeyKind, suite: NoiseChannel.Suite) throws {
        let (dialer, listener) = (try TestNode(1, kind), try TestNode(2, kind))
        var pair = HandshakePair(suite, dialer, listener, expecting: listener.identity.peer)
        let messages = try pair.run()
        let left = try unwrap(pair.initiator.finish()), right = try unwrap(pair.responder.finish())
        #expect(left.peer == listener.identity.peer && right.peer == dialer.identity.peer)
        #expect(left.key == listener.identity.key.publicKey && left.security.signature == kind.name)
        #expect(left.security.transcriptVerified && right.security.transcriptVerified)
        #expect(try right.records.opened(left.records.sealed(Bytes([1, 2]))) == [1, 2])
        #expect(messages.allSatisfy { $0.count <= NoiseLimits.handshakeMessageBytes })
        // The longest of all: key, two signatures and a KEM ciphertext.
        if kind == .slhDSAShake128s { #expect(messages[1].count > 15_800) }
    }

    /// A slow signature is handed out: nothing is sent or received before it is there, and a node that is busy gives up.
    @Test func slowSignaturesAreWork() throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2, .slhDSAShake128s))
        #expect(listener.identity.key.isSlow && !dialer.identity.key.isSlow)
        func begun() throws -> (HandshakePair, HandshakeWork) {
            var pair = HandshakePair(.hybrid, dialer, listener)
            let first = try unwrap(pair.initiator.next())
            #expect(try pair.responder.take(first) == first.count)
            #expect(pair.responder.next() == nil)
            #expect(try pair.responder.take(first) == 0)
            let work = try unwrap(pair.responder.takeWork())
            #expect(pair.responder.takeWork() == nil && pair.responder.finish() == nil)
            return (pair, work)
        }
        var (pair, work) = try begun()
        try pair.responder.complete(work())
        try pair.run()
        #expect(pair.initiator.finish()?.peer == listener.identity.peer)

        (pair, _) = try begun()
        #expect(throws: HandshakeError.self) { try pair.responder.complete(nil) }
        #expect(pair.responder.next() == nil)
        #expect(throws: HandshakeError.self) { try pair.responder.take(Bytes([0, 0])) }

        // A signature of something else is noticed by the dialer.
        (pair, _) = try begun()
        try pair.responder.complete(listener.identity.key.sign("another transcript"))
        let answer = try unwrap(pair.responder.next())
        #expect(throws: HandshakeError.notAuthentic) { try pair.initiator.take(answer) }
    }

    /// The signature of the static key is made once and verified once.
    @Test func staticKeySignaturesAreKept() throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2, .slhDSAShake128s))
        for _ in 0..<2 {
            var pair = HandshakePair(.classical, dialer, listener)
            try pair.run()
            #expect(pair.initiator.finish() != nil)
        }
        #expect(dialer.keys.rememberedCount == 1)
        #expect(listener.keys.signature.count == KeyLimits.signatureLength)
    }

    /// Both ML-DSA encodings are identities, and different ones.
    @Test func bothEncodings() throws {
        let secret = try IdentityKeyPair(generating: .mlDSA65, random: SecureBytes([UInt8](repeating: 3, count: 32)))
        let pkix = LocalIdentity(try IdentityKeyPair(try #require(secret.mlDSA), .pkix))
        #expect(pkix.peer != LocalIdentity(secret).peer)
        let keys = try NoiseKeys(identity: pkix, secret: SecureBytes([UInt8](repeating: 9, count: 32)))
        var left = NoiseChannel.classical(try TestNode(1).keys).makeHandshake(HandshakeParameters(role: .initiator, expectedPeer: pkix.peer, random: testRandom(1)))
        var right = NoiseChannel.classical(keys).makeHandshake(HandshakeParameters(role: .responder, random: testRandom(2)))
        _ = try right.take(unwrap(left.next()))
        _ = try left.take(unwrap(right.next()))
        #expect(try unwrap(left.finish()).key == pkix.key.publicKey)
    }

    @Test(arguments: kinds)
    func recordsAndAddresses(kind: KeyKind) throws {
        let node = try TestNode(4, kind)
        let peer = node.identity.peer
        #expect((peer.publicKey != nil) == (kind == .ed25519 || kind == .secp256k1))
        let address = try Multiaddr(parsing: "/ip4/9.9.9.9/tcp/1")
        let named = try Multiaddr(parsing: address.with(peer: peer).description)
        #expect(named.peer == peer && named == address.with(peer: peer))
        #expect(try PeerID(bytes: peer.bytes) == peer && PeerID(peer.cidText) == peer)

        let envelope = try #require(PeerRecord(peer: peer, sequence: 7, addresses: [address]).signed(with: node.identity.key))
        let record = try PeerRecord(verifying: envelope.encoded)
        #expect(record.peer == peer && record.addresses == [address] && record.sequence == 7)
        // Any byte of the signature, which comes last, and of the key.
        for index in [3, 40, envelope.encoded.count - 1, envelope.encoded.count - 30] {
            var wrong = envelope.encoded.array
            wrong[index] ^= 4
            #expect(throws: EnvelopeError.self) { try PeerRecord(verifying: Bytes(wrong)) }
        }
    }

    @Test func envelopesAreBounded() throws {
        let key = try TestNode(4, .slhDSAShake128s).identity.key
        let room = SignedEnvelope.maximumLength - key.publicKey.encoded.count - KeyLimits.signatureLength - 12
        let fitting = try #require(SignedEnvelope(signing: Bytes([UInt8](repeating: 1, count: room - 4)), type: "t", domain: "d", with: key))
        #expect(fitting.encoded.count <= SignedEnvelope.maximumLength)
        _ = try SignedEnvelope(verifying: fitting.encoded, domain: "d")
        let long = try #require(SignedEnvelope(signing: Bytes([UInt8](repeating: 1, count: room + 8)), type: "t", domain: "d", with: key))
        #expect(throws: EnvelopeError.tooLong) { try SignedEnvelope(verifying: long.encoded, domain: "d") }
    }
}
