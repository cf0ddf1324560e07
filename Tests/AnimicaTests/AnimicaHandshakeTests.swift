import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

@Suite struct AnimicaHandshakeTests {
    @Test func bothSidesLearnWhoTheOtherIs() throws {
        var pair = try AnimicaPair(expecting: ChainNode.bob.identity.peer)
        let messages = try pair.run()
        #expect(messages.count == 3)
        let left = try unwrap(pair.initiator.finish())
        let right = try unwrap(pair.responder.finish())
        #expect(left.peer == ChainNode.bob.identity.peer && right.peer == ChainNode.alice.identity.peer)
        #expect(left.key == ChainNode.bob.identity.key.publicKey && right.key == ChainNode.alice.identity.key.publicKey)
        #expect(left.muxer == "/yamux/1.0.0" && right.muxer == "/yamux/1.0.0")
        #expect(left.security == right.security)
        #expect(left.security.channel == "/animica/1" && left.security.isPostQuantum && left.security.transcriptVerified)
        #expect(left.security.keyExchange == "ML-KEM-768 mutual" && left.security.signature == "ML-DSA-65")
        #expect(left.security.lifetime == .seconds(86_400))
        #expect(try right.records.opened(left.records.sealed([1, 2])) == [1, 2])
        #expect(try left.records.opened(right.records.sealed([3])) == [3])
        #expect(pair.initiator.finish() == nil && pair.responder.finish() == nil)
    }

    @Test func hashBasedIdentitiesSignElsewhere() throws {
        var pair = try AnimicaPair(.hash, .hash)
        let hello = try unwrap(pair.initiator.next())
        try pair.responder.take(hello)
        // Nothing is said, and nothing received, before the signature is there.
        #expect(pair.responder.next() == nil && pair.responder.finish() == nil)
        #expect(try pair.responder.take(hello) == 0)
        let work = try unwrap(pair.responder.takeWork())
        #expect(pair.responder.takeWork() == nil)
        var refusing = pair.responder
        let signature = try unwrap(work())
        try pair.responder.complete(signature)
        try pair.initiator.take(unwrap(pair.responder.next()))
        try pair.responder.take(unwrap(pair.initiator.message()))
        let left = try unwrap(pair.initiator.finish())
        let right = try unwrap(pair.responder.finish())
        #expect(left.security.signature == "SLH-DSA-SHAKE-128s" && left.peer == right.peer)
        #expect(try right.records.opened(left.records.sealed([1])) == [1])
        // A node that has no time says so.
        #expect(throws: HandshakeError.self) { try refusing.complete(nil) }
        var dialer = try AnimicaPair(.hash, .hash).initiator
        _ = dialer.next()
        let refusal = HandshakeRefusal(.busy, ours: "", theirs: "unknown", isByPeer: true)
        #expect(throws: HandshakeError.refused(refusal)) { try dialer.take(unwrap(refusing.next())) }
    }

    @Test func kindsOfIdentitiesMix() throws {
        let (left, right) = try AnimicaPair.connected(.hash, .alice)
        #expect(left.security.signature == "ML-DSA-65" && right.security.signature == "SLH-DSA-SHAKE-128s")
        let classical = LocalIdentity(try IdentityKeyPair(ed25519Seed: fixedBytes(1, 32)))
        #expect(AnimicaChannel(identity: classical, network: .init(chain: 1), transports: []) == nil)
        let other = LocalIdentity(try IdentityKeyPair(generating: .mlDSA87, random: fixedBytes(1, 32)))
        #expect(AnimicaChannel(identity: other, network: .init(chain: 1), transports: []) == nil)
    }

    @Test func messagesMayBeCutAnywhere() throws {
        var pair = try AnimicaPair()
        for _ in 0..<2 {
            while let message = pair.initiator.next() {
                for length in 0..<message.count { #expect(try pair.responder.take(message.prefix(length)) == 0) }
                // What follows a message is left alone.
                #expect(try pair.responder.take(Bytes(message.array + [1, 2, 3])) == message.count)
            }
            while let message = pair.responder.next() {
                for length in 0..<message.count { #expect(try pair.initiator.take(message.prefix(length)) == 0) }
                #expect(try pair.initiator.take(Bytes(message.array + [1, 2, 3])) == message.count)
            }
        }
        #expect(pair.initiator.finish() != nil && pair.responder.finish() != nil)
    }

    @Test func everyChangedByteIsNoticed() throws {
        var pair = try AnimicaPair()
        let hello = try unwrap(pair.initiator.next())
        for index in 0..<hello.count {
            // What the responder cannot know, the initiator finds: the transcripts differ.
            var copy = pair
            guard index < 80 || index % 29 == 0, (try? copy.responder.take(flipped(hello, index))) == hello.count else { continue }
            let answer = try unwrap(copy.responder.next())
            #expect(throws: HandshakeError.self, "byte \(index)") { try copy.initiator.take(answer) }
            #expect(copy.initiator.next() == nil && copy.initiator.finish() == nil)
        }
        try pair.responder.take(hello)
        let answer = try unwrap(pair.responder.next())
        for index in 0..<answer.count {
            var copy = pair
            var changed = flipped(answer, index)
            // A longer length makes the machine wait for more.
            if index == 1 || index == 2 { changed = Bytes(changed.array + [UInt8](repeating: 0, count: 65_536)) }
            #expect(throws: HandshakeError.self, "byte \(index)") { try copy.initiator.take(changed) }
            #expect(copy.initiator.finish() == nil)
        }
        try pair.initiator.take(answer)
        let finish = try unwrap(pair.initiator.next())
        for index in 0..<finish.count {
            var copy = pair
            var changed = flipped(finish, index)
            if index == 1 || index == 2 { changed = Bytes(changed.array + [UInt8](repeating: 0, count: 65_536)) }
            #expect(throws: HandshakeError.self, "byte \(index)") { try copy.responder.take(changed) }
            #expect(copy.responder.next() == nil && copy.responder.finish() == nil)
        }
        try pair.responder.take(finish)
        #expect(pair.responder.finish() != nil)
    }

    @Test func otherSizesAreRefused() throws {
        func cut(_ message: Bytes, _ length: Int) -> Bytes {
            let content = message.dropFirst(3).prefix(length).array
            return Bytes([message[0], UInt8(length >> 8), UInt8(length & 255)] + content + [UInt8](repeating: 0, count: length - content.count))
        }
        var pair = try AnimicaPair()
        let hello = try unwrap(pair.initiator.next())
        for length in 0..<2060 where length != hello.count - 3 {
            var copy = pair
            #expect(throws: HandshakeError.self) { try copy.responder.take(cut(hello, length)) }
        }
        try pair.responder.take(hello)
        let answer = try unwrap(pair.responder.next())
        for length in stride(from: 0, to: 20_000, by: 37) where length != answer.count - 3 {
            var copy = pair
            #expect(throws: HandshakeError.self) { try copy.initiator.take(cut(answer, length)) }
        }
        try pair.initiator.take(answer)
        let finish = try unwrap(pair.initiator.next())
        for length in stride(from: 0, to: 20_000, by: 37) where length != finish.count - 3 {
            var copy = pair
            #expect(throws: HandshakeError.self) { try copy.responder.take(cut(finish, length)) }
        }
        // Too long is seen in the header.
        var copy = pair
        #expect(throws: HandshakeError.tooLong(bytes: 0xffff)) { try copy.responder.take(Bytes([3, 0xff, 0xff])) }
        var fresh = try AnimicaPair().responder
        #expect(throws: HandshakeError.tooLong(bytes: 0x0801)) { try fresh.take(Bytes([1, 8, 1])) }
    }

    @Test func messagesOfAnotherHandshakeAreRefused() throws {
        var honest = try AnimicaPair()
        let messages = try honest.run()
        // A listener gets the dialer's recorded messages: it answers, with keys of its own, and the recorded end does not fit.
        var listener = try ChainNode.bob.machine(.responder, random: 77)
        try listener.take(messages[0])
        #expect(try unwrap(listener.next()) != messages[1])
        #expect(throws: HandshakeError.notAuthentic) { try listener.take(messages[2]) }
        // A dialer gets a recorded answer.
        var dialer = try ChainNode.alice.machine(.initiator, random: 78)
        _ = dialer.next()
        #expect(throws: HandshakeError.notAuthentic) { try dialer.take(messages[1]) }
        // The same hello twice on one connection, and an answer in place of an end.
        var again = try ChainNode.bob.machine(.responder, random: 79)
        try again.take(messages[0])
        var confused = again
        #expect(throws: HandshakeError.malformed) { try again.take(messages[0]) }
        #expect(throws: HandshakeError.malformed) { try confused.take(messages[1]) }
        // A KEM ciphertext of another session under otherwise honest bytes.
        var third = try AnimicaPair(seed: 9)
        try third.responder.take(unwrap(third.initiator.next()))
        let answer = try unwrap(third.responder.next())
        let hello = 3 + (try ChainNode.bob.channel()).hello.encodedLength - 2
        var spliced = answer.array
        spliced.replaceSubrange(hello..<hello + 1088, with: messages[1].array[hello..<hello + 1088])
        #expect(throws: HandshakeError.notAuthentic) { try third.initiator.take(Bytes(spliced)) }
    }

    @Test func reflectedMessagesAndSwappedRolesAreRefused() throws {
        var mirror = try ChainNode.alice.machine(.initiator, random: 1)
        let own = try unwrap(mirror.next())
        #expect(throws: HandshakeError.malformed) { try mirror.take(own) }
        // Two initiators, two responders.
        var (left, right) = (try ChainNode.alice.machine(.initiator, random: 2), try ChainNode.bob.machine(.initiator, random: 3))
        let hello = try unwrap(left.next())
        #expect(throws: HandshakeError.malformed) { try right.take(hello) }
        var responder = try ChainNode.bob.machine(.responder, random: 4)
        #expect(responder.next() == nil)
        try responder.take(own)
        let answer = try unwrap(responder.next())
        var other = try ChainNode.alice.machine(.responder, random: 5)
        #expect(throws: HandshakeError.malformed) { try other.take(answer) }
        // Credentials of one role do not pass for those of the other, because labels differ.
        let schedule = AnimicaSchedule()
        #expect(schedule.signedBytes(.initiator, Bytes().span) != schedule.signedBytes(.responder, Bytes().span))
        #expect(schedule.traffic(.initiator) != schedule.traffic(.responder))
        // A refusal opens no handshake.
        var fresh = try ChainNode.bob.machine(.responder, random: 6)
        #expect(throws: HandshakeError.malformed) { try fresh.take(Bytes([0x7f, 0, 1, 5])) }
    }

    @Test func anotherPeerThanExpectedIsRefused() throws {
        var pair = try AnimicaPair(expecting: ChainNode.carol.identity.peer)
        let error = HandshakeError.wrongPeer(expected: ChainNode.carol.identity.peer, actual: ChainNode.bob.identity.peer)
        #expect(throws: error) { try pair.run() }
        // The initiator has told nobody who it is.
        #expect(pair.initiator.next() == nil && pair.initiator.finish() == nil)
    }

    @Test func aManInTheMiddleCannotSpeakForAnother() throws {
        // Mallory shakes hands with both as herself, and passes on one side's credentials: they are signed for another transcript.
        var honest = try AnimicaPair()
        let hello = try unwrap(honest.initiator.next())
        var mallory = try ChainNode.carol.machine(.responder, random: 40)
        try mallory.take(hello)
        var answer = try unwrap(mallory.next()).array
        try honest.responder.take(hello)
        let real = try unwrap(honest.responder.next()).array
        // Bob's sealed credentials behind Mallory's keys.
        let open = 3 + (try ChainNode.bob.channel()).hello.encodedLength - 2 + 1088 + 1184
        answer.replaceSubrange(open..., with: real[open...])
        #expect(throws: HandshakeError.notAuthentic) { try honest.initiator.take(Bytes(answer)) }
    }

    @Test func keysThatAreNoKeysAreRefused() throws {
        var pair = try AnimicaPair()
        var hello = try unwrap(pair.initiator.next()).array
        // Coefficients of 4095 are not reduced (FIPS 203, section 7.2).
        for index in hello.count - 1184..<hello.count - 32 { hello[index] = 0xff }
        #expect(throws: HandshakeError.malformed) { try pair.responder.take(Bytes(hello)) }
        #expect(pair.responder.next() == nil)
    }

    @Test func muxersAreAgreedOnInside() throws {
        func run(_ dialer: [ProtocolID], _ listener: [ProtocolID]) throws -> (ProtocolID?, ProtocolID?) {
            var left = try ChainNode.alice.machine(.initiator, random: 1, muxers: dialer)
            var right = try ChainNode.bob.machine(.responder, random: 2, muxers: listener)
            try right.take(unwrap(left.next()))
            try left.take(unwrap(right.next()))
            try right.take(unwrap(left.next()))
            return (try unwrap(left.finish()).muxer, try unwrap(right.finish()).muxer)
        }
        #expect(try run(["/a", "/b"], ["/b", "/a"]) == ("/a", "/a"))
        #expect(try run([], ["/b"]) == (nil, nil))
        #expect(throws: HandshakeError.noCommonMuxer) { try run(["/a"], ["/b"]) }
    }

    @Test func aStrippedOfferIsNoticed() throws {
        // Both would rather speak a channel that someone removed from the negotiation.
        let better: [ProtocolID] = ["/better/1", "/animica/1"]
        var left = try ChainNode.alice.machine(.initiator, random: 1, channels: better)
        var right = try ChainNode.bob.machine(.responder, random: 2, channels: better)
        try right.take(unwrap(left.next()))
        let downgraded = HandshakeError.downgraded(expected: "/better/1", negotiated: "/animica/1")
        let answer = try unwrap(right.next())
        #expect(throws: downgraded) { try left.take(answer) }
        // A side that negotiated nothing has nothing to compare.
        var (alone, listener) = (
            try ChainNode.alice.machine(.initiator, random: 1, channels: []), try ChainNode.bob.machine(.responder, random: 2, channels: better)
        )
        try listener.take(unwrap(alone.next()))
        try alone.take(unwrap(listener.next()))
        try listener.take(unwrap(alone.next()))
        #expect(try unwrap(listener.finish()).security.transcriptVerified == false)
    }

    @Test func copiesOfOneHandshakeGiveDifferentKeysThanAnother() throws {
        // The same randomness on both sides, another chain: every key differs.
        let (left, _) = try AnimicaPair.connected()
        let other = AnimicaChannel.Network(chain: 8)
        let (_, right) = try AnimicaPair.connected(.alice.on(other), .bob.on(other))
        #expect(throws: RecordError.notAuthentic) { try right.records.opened(left.records.sealed([1])) }
    }
}
