import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

@testable import WaggleServices

struct PubSubWireTests {
    private func signed(_ key: IdentityKeyPair, attaching: Bool = false) throws -> GossipMessage {
        try #require(
            GossipMessage.make(
                from: PeerID(key.publicKey).bytes, data: "data", sequence: [0, 0, 0, 0, 0, 0, 0, 9], topic: "topic",
                key: attaching ? key.publicKey.encoded : nil
            ) { key.sign($0) })
    }

    @Test func fieldsAreWindows() throws {
        let message = try signed(try identity(1).key)
        #expect(message.data == "data" && message.topic == "topic" && message.sequence == [0, 0, 0, 0, 0, 0, 0, 9])
        #expect(message.signature.count == 64 && !message.keyPart.isPresent)
        let again = try GossipMessage(message.field, message.field.count - message.body.count..<message.field.count)
        #expect(again.field == message.field && again.from == message.from)
        #expect(message.standardID == Bytes(message.from.array + message.sequence.array))
    }

    /// What go-libp2p-pubsub signs: the prefix and the message without signature and key.
    @Test func signatureCoversTheMessageWithoutKeyAndSignature() throws {
        let message = try signed(try identity(1).key)
        var expected = ProtobufWriter()
        expected.write(1, message.from)
        expected.write(2, "data" as Bytes)
        expected.write(3, message.sequence)
        expected.write(4, "topic" as Bytes)
        let signedPart = expected.finish()
        #expect(message.signedBytes == Bytes(Array("libp2p-pubsub:".utf8) + signedPart.array))
        #expect(AuthorKeys().isGenuine(message))
    }

    /// In another order, with fields that we do not know: the signature is over the canonical order.
    @Test func signatureHoldsInAnyOrder() throws {
        let key = try identity(1).key
        let message = try signed(key)
        var shuffled = ProtobufWriter()
        shuffled.write(5, message.signature)
        shuffled.write(4, message.topic)
        shuffled.write(3, message.sequence)
        shuffled.write(2, message.data)
        shuffled.write(1, message.from)
        let body = shuffled.finish()
        var field = ProtobufWriter()
        field.write(2, body)
        let whole = field.finish()
        let read = try GossipMessage(whole, whole.count - body.count..<whole.count)
        #expect(read.signedEnd == 0)
        #expect(read.signedBytes == message.signedBytes)
        #expect(AuthorKeys().isGenuine(read))
    }

    @Test func keysMustBeTheAuthors() throws {
        let key = try identity(1).key, other = try identity(2).key
        #expect(AuthorKeys().isGenuine(try signed(key, attaching: true)))
        func forged(_ author: IdentityKeyPair, _ attached: IdentityKeyPair?, _ signer: IdentityKeyPair) throws -> GossipMessage {
            try #require(
                GossipMessage.make(
                    from: PeerID(author.publicKey).bytes, data: "x", sequence: [0, 0, 0, 0, 0, 0, 0, 1], topic: "t", key: attached?.publicKey.encoded
                ) { signer.sign($0) })
        }
        #expect(!AuthorKeys().isGenuine(try forged(key, nil, other)))
        #expect(!AuthorKeys().isGenuine(try forged(key, other, other)))
        let known = AuthorKeys()
        #expect(known.isGenuine(try forged(key, nil, key)))
        #expect(!known.isGenuine(try forged(key, other, key)))
        // A hashed PeerID needs the key beside it.
        let hashed = try IdentityKeyPair(generating: .ecdsa, random: SecureBytes([UInt8](repeating: 5, count: 32)))
        #expect(AuthorKeys().isGenuine(try forged(hashed, hashed, hashed)))
        #expect(!AuthorKeys().isGenuine(try forged(hashed, nil, hashed)))
        #expect(!AuthorKeys().isGenuine(try forged(hashed, key, hashed)))
    }

    @Test func fieldsThatComeTwiceAreRefused() throws {
        for field in 1...6 {
            var body = ProtobufWriter()
            body.write(field, "a" as Bytes)
            body.write(field, "b" as Bytes)
            let bytes = body.finish()
            var rpc = ProtobufWriter()
            rpc.write(2, bytes)
            let whole = rpc.finish()
            #expect(throws: ProtobufError.limit(field: field)) { try GossipMessage(whole, whole.count - bytes.count..<whole.count) }
        }
    }

    @Test func smallMessagesDoNotKeepLargeBlocks() throws {
        let message = try signed(try identity(1).key)
        let block = Bytes(message.field.array + [UInt8](repeating: 0, count: 100_000))
        let window = try GossipMessage(block, message.field.count - message.body.count..<message.field.count)
        #expect(window.field.retained > 100_000)
        #expect(window.compacted().field.retained < 1000)
        #expect(window.compacted().data == "data")
    }

    // MARK: Frames

    private func frames(_ pieces: [Bytes], limit: ByteCount = .kibibytes(64)) throws -> [Bytes] {
        var reader = FrameReader(limit: limit)
        var found: [Bytes] = []
        for piece in pieces {
            reader.feed(piece)
            while let frame = try reader.next() { found.append(frame) }
        }
        return found
    }

    @Test func framesComeInAnyPieces() throws {
        let contents: [Bytes] = ["", "one", Bytes([UInt8](repeating: 1, count: 300)), "three", Bytes([UInt8](repeating: 2, count: 40_000))]
        var writer = ByteWriter()
        for content in contents {
            writer.write(varint: UInt64(content.count))
            writer.write(content)
        }
        let whole = writer.finish()
        for cut in 0...min(whole.count, 400) {
            #expect(try frames([whole.prefix(cut), whole.dropFirst(cut)].filter { !$0.isEmpty }) == contents)
        }
        #expect(try frames(whole.map { [$0] }) == contents)
    }

    @Test func lengthsThatCannotBeAreRefused() {
        #expect(throws: FrameError.tooLong) { try frames([[0x81, 0x80, 0x04]]) }
        #expect(throws: FrameError.tooLong) { try frames([[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]) }
        #expect(throws: FrameError.malformed) { try frames([[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]]) }
        #expect(throws: FrameError.malformed) { try frames((0..<12).map { _ in [0xff] }) }
        #expect(throws: FrameError.malformed) { try frames([[0x80, 0x00]]) }
    }

    // MARK: Tables

    @Test func seenMessagesAreForgottenInTime() {
        var table = SeenTable(limit: 100, lifetime: .seconds(10), isRefreshed: false)
        let hasher = MessageHasher(1, 2)
        let start = Instant(nanoseconds: 5)
        let keys = (0..<50).map { hasher.key(Bytes(utf8: "\($0)")) }
        for (index, key) in keys.enumerated() {
            let isNew = table.insert(key, at: start + .milliseconds(index))
            #expect(isNew)
        }
        for key in keys {
            let isNew = table.insert(key, at: start + .seconds(1))
            #expect(!isNew)
        }
        table.expire(at: start + .seconds(10) + .milliseconds(24))
        #expect(table.count == 25)
        #expect(!table.contains(keys[24]) && table.contains(keys[25]))
        // The bound holds whatever comes.
        for number in 0..<1000 { _ = table.insert(hasher.key(Bytes(utf8: "more \(number)")), at: start + .seconds(11)) }
        #expect(table.count == 100)
        #expect(table.contains(hasher.key("more 999")) && !table.contains(keys[30]))
    }

    @Test func duplicatesRefreshWhereAskedFor() {
        var table = SeenTable(limit: 100, lifetime: .seconds(10), isRefreshed: true)
        let key = MessageHasher(1, 2).key("a")
        let start = Instant(nanoseconds: 5)
        _ = table.insert(key, at: start)
        _ = table.insert(key, at: start + .seconds(8))
        table.expire(at: start + .seconds(12))
        #expect(table.contains(key))
        table.expire(at: start + .seconds(18))
        #expect(!table.contains(key))
    }

    /// What was seen again does not keep what was not, and a table that was large becomes small again.
    @Test func refreshedMessagesKeepNoOthers() {
        var table = SeenTable(limit: 10_000, lifetime: .seconds(10), isRefreshed: true)
        let start = Instant(nanoseconds: 5)
        func key(_ number: Int) -> MessageKey { MessageKey(low: UInt64(number) &* 0x9e37_79b9_7f4a_7c15, high: UInt64(number)) }
        for number in 0..<5000 { _ = table.insert(key(number), at: start) }
        for number in 0..<100 { _ = table.insert(key(number), at: start + .seconds(9)) }
        let large = table.capacity
        table.expire(at: start + .seconds(11))
        #expect(table.count == 100 && large >= 5000 && table.capacity < large)
        #expect((0..<100).allSatisfy { table.contains(key($0)) })
        for second in 12..<20 { table.expire(at: start + .seconds(second)) }
        #expect(table.count == 0 && table.capacity < 1000)
    }

    @Test func theTableSurvivesAnyOrderOfRemovals() {
        var table = SeenTable(limit: 10_000, lifetime: .seconds(1), isRefreshed: false)
        var reference: Set<Int> = []
        var random = GossipRandom(seed: 3)
        // Few low bits differ, so that runs are long.
        func key(_ number: Int) -> MessageKey { MessageKey(low: UInt64(number % 7), high: UInt64(number)) }
        for _ in 0..<5000 {
            let number = Int.random(in: 0..<200, using: &random)
            if Bool.random(using: &random) {
                let isNew = table.insert(key(number), at: Instant(nanoseconds: 1))
                #expect(isNew == reference.insert(number).inserted)
            } else {
                table.remove(key(number))
                reference.remove(number)
            }
        }
        for number in 0..<200 { #expect(table.contains(key(number)) == reference.contains(number)) }
        #expect(table.count == reference.count)
    }

    @Test func hashesAreSipHash() {
        // The first vectors of the reference implementation for SipHash-1-3 do not exist for 128 bits; what matters is that keys and inputs count.
        let hasher = MessageHasher(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        var seen: Set<MessageKey> = []
        for count in 0..<64 { seen.insert(hasher.key(Bytes((0..<count).map { UInt8($0) }))) }
        #expect(seen.count == 64)
        #expect(hasher.key("ab", "cd") == hasher.key("abcd") && hasher.key("ab") != MessageHasher(1, 2).key("ab"))
    }

    @Test func bucketsRefill() {
        let start = Instant(nanoseconds: 1_000_000_000)
        var bucket = TokenBucket(RateLimit(perSecond: 10, burst: 5), at: start)
        var taken: [Int] = []
        for (after, tries) in [(Duration.zero, 8), (.milliseconds(200), 8), (.seconds(60), 20)] {
            taken.append((0..<tries).reduce(0) { count, _ in count + (bucket.take(at: start + after) ? 1 : 0) })
        }
        #expect(taken == [5, 2, 5])
    }

    // MARK: What waits for a peer

    private func item(_ number: Int, size: Int = 100) -> Outbox.Item {
        var writer = ProtobufWriter()
        writer.message(2) { $0.write(2, [UInt8](repeating: 0, count: size)) }
        return Outbox.Item(key: MessageKey(low: UInt64(number), high: 0), field: writer.finish())
    }

    @Test func ownMessagesAreKeptLongest() {
        var outbox = Outbox()
        for number in 0..<PubSubLimits.queuedMessages { outbox.forward(item(number)) }
        for _ in 0..<200 { outbox.tell([0x0a, 0]) }
        outbox.publish(item(-1 & 0xffff_ffff))
        #expect(outbox.dropped == 1 && outbox.messages == PubSubLimits.queuedMessages)
        for number in 0..<PubSubLimits.queuedMessages { outbox.publish(item(1_000_000 + number)) }
        // All that was forwarded went first, then the oldest of our own.
        #expect(outbox.messages == PubSubLimits.queuedMessages && outbox.dropped == PubSubLimits.queuedMessages + 1)
        outbox.forward(item(5))
        let dropped = outbox.takeDropped()
        #expect(dropped == PubSubLimits.queuedMessages + 2 && outbox.dropped == 0)
    }

    @Test func bytesAreBounded() {
        var outbox = Outbox()
        for number in 0..<100 { outbox.forward(item(number, size: 100_000)) }
        #expect(outbox.forwardedBytes <= PubSubLimits.queuedBytes.bytes)
        #expect(outbox.dropped > 50)
    }

    @Test func cancelledMessagesDoNotGoOut() {
        var outbox = Outbox()
        for number in 0..<10 { outbox.forward(item(number)) }
        let (_, messages, cancelled) = outbox.take { $0.low % 2 == 0 }
        #expect(messages == 5 && cancelled == 5 && outbox.isEmpty)
    }

    @Test func controlGoesFirstAndGossipLast() throws {
        var outbox = Outbox()
        outbox.tell(GossipEncoding.have("t", ["id"]))
        for number in 0..<3 { outbox.forward(item(number, size: 50_000)) }
        outbox.control(GossipEncoding.doNotWant(["a"]))
        outbox.graft(1, GossipEncoding.graft("t"))
        outbox.prune(1, "t", backOff: 60, exchanged: [])
        func next() throws -> SentRPC? {
            let (pieces, _, _) = outbox.take { _ in false }
            guard !pieces.isEmpty else { return nil }
            var writer = ByteWriter()
            for piece in pieces { writer.write(piece) }
            let whole = writer.finish()
            guard case .value(_, let head) = Varint.decode(whole.span) else { return nil }
            return try SentRPC(whole.dropFirst(head))
        }
        let first = try #require(try next()), second = try #require(try next()), third = try #require(try next())
        // The PRUNE took the place of the GRAFT.
        #expect(first.doNotWants == ["a"] && first.grafts.isEmpty && first.prunes.count == 1 && first.messages.count == 1 && first.haves.isEmpty)
        #expect(second.messages.count == 1 && second.haves.isEmpty)
        #expect(third.messages.count == 1 && third.haves.count == 1)
        #expect(try next() == nil)
    }
}
