import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

struct ChannelNoiseTests {
    static let suites: [NoiseChannel.Suite] = [.classical, .hybrid]

    @Test(arguments: suites) func bothSidesLearnWhoTheOtherIs(suite: NoiseChannel.Suite) throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        var pair = HandshakePair(suite, dialer, listener, expecting: listener.identity.peer)
        let messages = try pair.run()
        #expect(messages.count == 3)
        let left = try unwrap(pair.initiator.finish())
        let right = try unwrap(pair.responder.finish())
        #expect(left.peer == listener.identity.peer && right.peer == dialer.identity.peer)
        #expect(left.key == listener.identity.key.publicKey && right.key == dialer.identity.key.publicKey)
        #expect(left.muxer == "/yamux/1.0.0" && right.muxer == "/yamux/1.0.0")
        #expect(left.security == right.security)
        #expect(left.security.isPostQuantum == (suite == .hybrid))
        #expect(left.security.keyExchange == (suite == .hybrid ? "X25519+ML-KEM-768" : "X25519"))
        #expect(left.security.signature == "Ed25519" && left.security.transcriptVerified)
        #expect(try right.records.opened(left.records.sealed(Bytes([1, 2]))) == [1, 2])
        #expect(pair.initiator.finish() == nil && pair.responder.finish() == nil)
        #expect(messages[0].count == (suite == .hybrid ? 1218 : 34))
    }

    @Test func thePublicKeyOfAnotherKindWorksToo() throws {
        let dialer = try TestNode(1)
        let key = try unwrap(ECDSA.PrivateKey(.secp256k1, scalar: Bytes([UInt8](repeating: 5, count: 32)).span))
        let identity = LocalIdentity(try IdentityKeyPair(key))
        let channel = NoiseChannel.classical(try NoiseKeys(identity: identity, secret: SecureBytes([UInt8](repeating: 9, count: 32))))
        var left = NoiseChannel.classical(dialer.keys).makeHandshake(HandshakeParameters(role: .initiator, random: testRandom(1)))
        var right = channel.makeHandshake(HandshakeParameters(role: .responder, random: testRandom(2)))
        _ = try right.take(unwrap(left.next()))
        _ = try left.take(unwrap(right.next()))
        let secured = try unwrap(left.finish())
        #expect(secured.peer == identity.peer && secured.security.signature == "secp256k1")
        // No muxers and no channels were named, so none was agreed on and nothing was verified.
        #expect(secured.muxer == nil && !secured.security.transcriptVerified)
    }

    @Test(arguments: suites) func messagesMayBeCutAnywhere(suite: NoiseChannel.Suite) throws {
        var pair = HandshakePair(suite, try TestNode(1), try TestNode(2))
        for _ in 0..<2 {
            while let message = pair.initiator.next() {
                for length in 0..<message.count { #expect(try pair.responder.take(message.prefix(length)) == 0) }
                #expect(try pair.responder.take(message) == message.count)
            }
            while let message = pair.responder.next() {
                // What follows a message is left alone.
                var more = ByteWriter()
                more.write(message)
                more.write(utf8: "later")
                #expect(try pair.initiator.take(more.finish()) == message.count)
            }
        }
        #expect(pair.initiator.finish() != nil && pair.responder.finish() != nil)
    }

    @Test func anotherPeerThanExpectedIsRefused() throws {
        let (dialer, listener, other) = (try TestNode(1), try TestNode(2), try TestNode(3))
        var pair = HandshakePair(.hybrid, dialer, listener, expecting: other.identity.peer)
        #expect(throws: HandshakeError.wrongPeer(expected: other.identity.peer, actual: listener.identity.peer)) { try pair.run() }
        #expect(pair.initiator.next() == nil && pair.initiator.finish() == nil)
        #expect(throws: HandshakeError.self) { _ = try pair.initiator.take(Bytes([0, 0])) }
    }

    @Test(arguments: suites) func everyChangedByteIsNoticed(suite: NoiseChannel.Suite) throws {
        let step = suite == .hybrid ? 5 : 1
        var pair = HandshakePair(suite, try TestNode(1), try TestNode(2))
        let first = try unwrap(pair.initiator.next())
        for index in stride(from: 2, to: first.count, by: step) {
            // The responder cannot know yet; the initiator finds that the hashes differ.
            var copy = pair
            guard (try? copy.responder.take(flipped(first, index))) != nil else { continue }
            let answer = try unwrap(copy.responder.next())
            #expect(throws: HandshakeError.self) { _ = try copy.initiator.take(answer) }
        }
        _ = try pair.responder.take(first)
        let second = try unwrap(pair.responder.next())
        for index in stride(from: 2, to: second.count, by: step) {
            var copy = pair
            #expect(throws: HandshakeError.notAuthentic) { _ = try copy.initiator.take(flipped(second, index)) }
        }
        _ = try pair.initiator.take(second)
        let third = try unwrap(pair.initiator.next())
        for index in stride(from: 2, to: third.count, by: step) {
            var copy = pair
            #expect(throws: HandshakeError.notAuthentic) { _ = try copy.responder.take(flipped(third, index)) }
        }
        _ = try pair.responder.take(third)
        #expect(pair.responder.finish() != nil)
    }

    private func flipped(_ bytes: Bytes, _ index: Int) -> Bytes {
        var array = bytes.array
        array[index] ^= 0x40
        return Bytes(array)
    }

    @Test(arguments: suites) func shortenedMessagesAreRefused(suite: NoiseChannel.Suite) throws {
        var pair = HandshakePair(suite, try TestNode(1), try TestNode(2))
        func cut(_ message: Bytes, _ length: Int) -> Bytes { Bytes([UInt8(length >> 8), UInt8(length & 255)] + message.dropFirst(2).prefix(length).array) }
        let first = try unwrap(pair.initiator.next())
        for length in stride(from: 0, to: first.count - 2, by: suite == .hybrid ? 13 : 1) {
            var copy = pair
            #expect(throws: HandshakeError.malformed) { _ = try copy.responder.take(cut(first, length)) }
        }
        _ = try pair.responder.take(first)
        let second = try unwrap(pair.responder.next())
        for length in stride(from: 0, to: second.count - 2, by: suite == .hybrid ? 13 : 1) {
            var copy = pair
            #expect(throws: HandshakeError.self) { _ = try copy.initiator.take(cut(second, length)) }
        }
    }

    @Test func messagesOfAnotherHandshakeAreRefused() throws {
        var honest = HandshakePair(.hybrid, try TestNode(1), try TestNode(2))
        let messages = try honest.run()
        // The listener of a new connection, with randomness of its own, gets the dialer's recorded messages.
        var listener = NoiseChannel.hybrid(try TestNode(2).keys)[0].makeHandshake(HandshakeParameters(role: .responder, random: testRandom(77)))
        #expect(try listener.take(messages[0]) == messages[0].count)
        _ = listener.next()
        #expect(throws: HandshakeError.notAuthentic) { _ = try listener.take(messages[2]) }
        // A dialer gets a recorded answer.
        var dialer = NoiseChannel.hybrid(try TestNode(1).keys)[0].makeHandshake(HandshakeParameters(role: .initiator, random: testRandom(78)))
        _ = dialer.next()
        #expect(throws: HandshakeError.notAuthentic) { _ = try dialer.take(messages[1]) }
        // Its own message, reflected.
        var mirror = NoiseChannel.hybrid(try TestNode(1).keys)[0].makeHandshake(HandshakeParameters(role: .initiator, random: testRandom(79)))
        let own = try unwrap(mirror.next())
        #expect(throws: HandshakeError.self) { _ = try mirror.take(own) }
    }

    @Test func keysOfSmallOrderAreRefused() throws {
        let zero = [UInt8](repeating: 0, count: 32)
        var one = zero
        one[0] = 1
        for key in [zero, one] {
            var listener = NoiseChannel.classical(try TestNode(2).keys).makeHandshake(
                HandshakeParameters(role: .responder, random: testRandom(2)))
            #expect(throws: HandshakeError.notAuthentic) { _ = try listener.take(Bytes([0, 32] + key)) }
        }
    }

    @Test func anEncapsulationKeyThatIsNotReducedIsRefused() throws {
        var pair = HandshakePair(.hybrid, try TestNode(1), try TestNode(2))
        var message = try unwrap(pair.initiator.next()).array
        for index in 34..<40 { message[index] = 0xff }
        #expect(throws: HandshakeError.malformed) { _ = try pair.responder.take(Bytes(message)) }
    }

    @Test func oversizedMessagesAreRefusedBeforeTheyArrive() throws {
        for length in [NoiseLimits.handshakeMessageBytes + 1, 65_535] {
            var pair = HandshakePair(.classical, try TestNode(1), try TestNode(2))
            let header = Bytes([UInt8(length >> 8), UInt8(length & 255)])
            #expect(throws: HandshakeError.tooLong(bytes: length)) { _ = try pair.responder.take(header) }
        }
    }

    @Test func theMuxerIsTheInitiatorsFirstThatBothSpeak() throws {
        func muxers(_ left: [ProtocolID], _ right: [ProtocolID]) throws -> (ProtocolID?, ProtocolID?) {
            var pair = HandshakePair(.classical, try TestNode(1), try TestNode(2), muxers: left, listenerMuxers: right)
            try pair.run()
            return (pair.initiator.finish()?.muxer, pair.responder.finish()?.muxer)
        }
        #expect(try muxers(["/a", "/b"], ["/b", "/a"]) == ("/a", "/a"))
        #expect(try muxers(["/c", "/b"], ["/a", "/b"]) == ("/b", "/b"))
        #expect(try muxers([], ["/a"]) == (nil, nil))
        #expect(try muxers(["/a"], []) == (nil, nil))
        #expect(throws: HandshakeError.noCommonMuxer) { _ = try muxers(["/a"], ["/b"]) }
    }

    // MARK: A peer that does not follow the rules

    /// Plays the responder with a payload of its own making against an honest initiator.
    private func answer(_ payload: (Digest256, X25519.PrivateKey) throws -> Bytes) throws -> HandshakeError? {
        let node = try TestNode(1)
        var initiator = NoiseChannel.classical(node.keys).makeHandshake(
            HandshakeParameters(role: .initiator, muxers: ["/yamux/1.0.0"], configuredChannels: ["/noise"], random: testRandom(1)))
        let key = try unwrap(X25519.PrivateKey(Bytes([UInt8](repeating: 66, count: 32)).span))
        var evil = NoiseCore(.xx, role: .responder, localStatic: key, random: testRandom(3))
        _ = try evil.read(try unwrap(initiator.next()).dropFirst(2).span)
        var writer = ByteWriter()
        try evil.write(to: &writer) { hash in (try? payload(hash, key)) ?? Bytes() }
        let message = writer.finish()
        var framed = ByteWriter()
        framed.write(integer: UInt16(message.count))
        framed.write(message)
        let bytes = framed.finish()
        do throws(HandshakeError) { _ = try initiator.receive(bytes.span) } catch { return error }
        #expect(initiator.next() != nil && initiator.finish() != nil)
        return nil
    }

    /// A correct payload of `node` with static key `key`.
    private func honest(_ node: TestNode, _ key: X25519.PrivateKey) throws -> NoisePayload {
        var payload = NoisePayload()
        payload.identityKey = node.identity.key.publicKey.encoded
        payload.identitySignature = try unwrap(node.identity.key.sign(NoiseKeys.signedBytes(key.publicKey)))
        return payload
    }

    @Test func forgedPayloadsAreRefused() throws {
        let (victim, evil) = (try TestNode(8), try TestNode(9))
        #expect(try answer { _, key in try honest(evil, key).encoded } == nil)
        // The identity of someone else, with its own signature of another static key, or signed by the wrong identity.
        let stolen = try honest(victim, victim.keys.staticKey)
        #expect(try answer { _, _ in stolen.encoded } == .notAuthentic)
        #expect(try answer { _, key in
            var payload = try honest(evil, key)
            payload.identityKey = victim.identity.key.publicKey.encoded
            return payload.encoded
        } == .notAuthentic)
        // The signature without its domain.
        #expect(try answer { _, key in
            var payload = try honest(evil, key)
            payload.identitySignature = evil.identity.key.sign(key.publicKey)!
            return payload.encoded
        } == .notAuthentic)
        for length in [0, 1, 63, 65] {
            let error = try answer { _, key in
                var payload = try honest(evil, key)
                payload.identitySignature = Bytes([UInt8](repeating: 1, count: length))
                return payload.encoded
            }
            #expect(error == (length == 0 ? .malformed : .notAuthentic))
        }
    }

    @Test func badPayloadsEndInATypedError() throws {
        let evil = try TestNode(9)
        #expect(try answer { _, _ in Bytes() } == .malformed)
        #expect(try answer { _, _ in Bytes([0xff, 0xff]) } == .malformed)
        #expect(try answer { _, key in
            var payload = try honest(evil, key)
            payload.identityKey = Bytes([8, 1, 18, 2, 1, 2])
            return payload.encoded
        } == .keyRefused(.malformed))
        #expect(try answer { _, key in
            var payload = try honest(evil, key)
            payload.identityKey = Bytes([8, 9, 18, 1, 1])
            return payload.encoded
        } == .keyRefused(.unsupportedType(9)))
        #expect(try answer { _, key in
            var payload = try honest(evil, key)
            payload.identityKey = Bytes([UInt8](repeating: 1, count: 20_000))
            return payload.encoded
        } == .keyRefused(.sizeRefused(bytes: 20_000)))
        // More muxers and longer names than allowed; unknown fields are fine.
        #expect(try answer { _, key in
            var payload = try honest(evil, key)
            payload.muxers = (0...NoiseLimits.muxers).map { ProtocolID("/\($0)") }
            return payload.encoded
        } == .malformed)
        #expect(try answer { _, key in
            var payload = try honest(evil, key)
            payload.muxers = [ProtocolID(String(repeating: "x", count: 1025))]
            return payload.encoded
        } == .malformed)
        #expect(try answer { _, key in
            var writer = ByteWriter()
            writer.write(try honest(evil, key).encoded)
            writer.write([0x1a, 1, 7, 0x22, 3, 0x0a, 1, 5, 0x78, 4])
            return writer.finish()
        } == nil)
    }

    @Test func channelListsAreCheckedLikeEverythingElse() throws {
        let evil = try TestNode(9)
        func claim(_ channels: [ProtocolID], sign: (Bytes) -> Bytes?) throws -> HandshakeError? {
            try answer { hash, key in
                var payload = try honest(evil, key)
                payload.channels = channels
                payload.transcriptSignature = sign(NoiseTranscript.signedBytes(hash, channels) ?? Bytes()) ?? Bytes()
                return payload.encoded
            }
        }
        let sign: (Bytes) -> Bytes? = { evil.identity.key.sign($0) }
        #expect(try claim(["/noise"], sign: sign) == nil)
        #expect(try claim(["/tls/1.0.0", "/noise"], sign: sign) == nil)
        // Nothing in common, so this channel cannot have been negotiated.
        #expect(try claim(["/tls/1.0.0"], sign: sign) == .downgraded(expected: nil, negotiated: "/noise"))
        // A list without a signature, a signature without a list, a signature of something else.
        #expect(try claim(["/noise"], sign: { _ in nil }) == .malformed)
        #expect(try claim([], sign: sign) == .malformed)
        #expect(try claim(["/noise"], sign: { _ in evil.identity.key.sign(Bytes([1])) }) == .notAuthentic)
        #expect(try claim((0...NoiseLimits.channels).map { ProtocolID("/\($0)") }, sign: sign) == .malformed)
        #expect(try claim((0..<8).map { ProtocolID("/\($0)" + String(repeating: "x", count: 600)) }, sign: sign) == .malformed)
    }

    @Test func garbageNeverTraps() throws {
        var random = Generator(seed: 42)
        let nodes = (try TestNode(1), try TestNode(2))
        for round in 0..<600 {
            var pair = HandshakePair(round & 1 == 0 ? .classical : .hybrid, nodes.0, nodes.1)
            var machine = random.next() & 1 == 0 ? pair.initiator : pair.responder
            if random.next() & 1 == 0, let first = pair.initiator.next() {
                _ = try pair.responder.take(first)
                machine = pair.responder
            }
            var body = random.bytes(upTo: round % 10 == 0 ? 3_000 : 120)
            if random.next() & 3 != 0, body.count >= 2 {
                body[0] = UInt8((body.count - 2) >> 8)
                body[1] = UInt8((body.count - 2) & 255)
            }
            let bytes = Bytes(body)
            if let used = try? machine.take(bytes) { #expect(used <= bytes.count) }
            _ = machine.next()
            #expect(machine.finish() == nil)
        }
    }

    @Test func verifiedKeysAreRememberedWithinBounds() throws {
        let keys = try TestNode(1).keys
        let peer = try TestNode(2)
        let first = try honest(peer, peer.keys.staticKey)
        for _ in 0..<3 {
            #expect(try keys.verify(first, staticKey: peer.keys.staticKey.publicKey).peer == peer.identity.peer)
        }
        #expect(keys.rememberedCount == 1)
        // What is remembered is the whole triple, not the peer.
        #expect(throws: HandshakeError.notAuthentic) { _ = try keys.verify(first, staticKey: Bytes([UInt8](repeating: 3, count: 32))) }
        var random = Generator(seed: 6)
        for _ in 0..<2 * NoiseLimits.rememberedPeers + 10 {
            let key = Bytes(random.bytes(32))
            var payload = first
            payload.identitySignature = try unwrap(peer.identity.key.sign(NoiseKeys.signedBytes(key)))
            _ = try keys.verify(payload, staticKey: key)
        }
        #expect(keys.rememberedCount <= 2 * NoiseLimits.rememberedPeers)
        #expect(try keys.verify(first, staticKey: peer.keys.staticKey.publicKey).peer == peer.identity.peer)
    }
}
