import Testing
import WaggleBase
import WaggleFormats

@Suite struct CIDTests {
    static let v0 = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
    static let v1 = "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

    @Test func versions() throws {
        let zero = try CID(parsing: CIDTests.v0)
        #expect(zero.version == .v0)
        #expect(zero.codec == .dagPB)
        #expect(zero.hashCode == .sha2_256)
        #expect(zero.bytes.count == 34)
        #expect(zero.description == CIDTests.v0)
        #expect(zero.text(base: .base36) == CIDTests.v0)
        let one = zero.v1
        #expect(one.description == CIDTests.v1)
        #expect(one != zero)
        #expect(one.v0 == zero)
        #expect(zero.v0 == zero)
        #expect(one.v1 == one)
        #expect(one.multihash == zero.multihash)
        #expect(one.digest == zero.digest)
        #expect(try CID(parsing: CIDTests.v1) == one)
        #expect(try CID(codec: .dagPB, hash: zero.multihash) == one)
        #expect(try CID(v0: one.multihash) == zero)
        #expect(try CID(codec: .raw, hash: zero.multihash).v0 == nil)
    }

    @Test func texts() throws {
        let cid = try CID(parsing: CIDTests.v1)
        for base in Multibase.allCases where base != .identity { #expect(CID(cid.text(base: base)) == cid, "\(base)") }
        let key = try CID(parsing: "k51qzi5uqu5dh9ihj4p2v5sl3hxvv27ryx2w0xrsv6jmmqi91t9xp8p9kaipc2")
        #expect(key.codec == .libp2pKey)
        #expect(key.hashCode == .identity)
        #expect(key.text(base: .base36) == "k51qzi5uqu5dh9ihj4p2v5sl3hxvv27ryx2w0xrsv6jmmqi91t9xp8p9kaipc2")
        let inline = try CID(parsing: "bafkqabiaaebagba")
        #expect(inline.inlined == [0, 1, 2, 3, 4])
        #expect(cid.inlined == nil)
    }

    @Test(arguments: [
        ("", CIDError.empty), ("Qm", .multibase(.unknownPrefix("Q"))), ("z" + v0, .prefixedVersion0),
        ("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1", .multibase(.unknownPrefix("Q"))),
        ("Qm0fTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n", .multibase(.invalidCharacter(at: 2))),
        ("f", .empty), ("f00", .unsupportedVersion(0)), ("f02701220", .unsupportedVersion(2)), ("f03", .unsupportedVersion(3)),
        ("f0170", .multihash(.malformed)), ("f8100700000", .malformed), ("f0155000000", .trailingBytes(1)), ("f0170008101", .multihash(.digestTooLong(bytes: 129))),
        ("f12", .unsupportedVersion(18)), ("f1220", .malformed), ("bAB", .multibase(.notCanonical)),
    ] as [(String, CIDError)]) func refused(_ text: String, _ error: CIDError) {
        #expect(throws: error) { try CID(parsing: text) }
        #expect(CID(text) == nil)
    }

    @Test func longTextIsRefused() {
        #expect(throws: CIDError.malformed) { try CID(parsing: "0" + String(repeating: "0", count: FormatsLimits.cidTextBytes)) }
    }

    @Test func splits() throws {
        for text in [CIDTests.v0, CIDTests.v1, "bafkqabiaaebagba"] {
            let cid = try CID(parsing: text)
            verifyCodec(cid.bytes) { try CID(bytes: $0).bytes }
            var reader = ByteReader(Bytes(cid.bytes.array + [9, 9, 9]).span)
            #expect(try CID.decode(from: &reader) == cid)
            #expect(reader.remaining == 3)
            #expect(throws: CIDError.trailingBytes(1)) { try CID(bytes: Bytes(cid.bytes.array + [0])) }
        }
    }

    @Test func randomRoundTrips() throws {
        var random = Seeded(2)
        for _ in 0..<500 {
            let code = Multicodec(rawValue: .random(in: 0..<(1 << UInt64.random(in: 1...63, using: &random)), using: &random))
            let codec = Multicodec(rawValue: .random(in: 0..<(1 << UInt64.random(in: 1...63, using: &random)), using: &random))
            let hash = try Multihash(code, digest: random.bytes(.random(in: 0...128, using: &random)))
            let cid = try CID(codec: codec, hash: hash)
            let again = try CID(bytes: cid.bytes)
            #expect(again == cid && again.hashValue == cid.hashValue)
            #expect(again.codec == codec && again.hashCode == code && again.digest == hash.digest && again.multihash == hash)
            #expect(try CID(parsing: cid.description) == cid)
        }
        #expect(throws: CIDError.malformed) { try CID(codec: Multicodec(rawValue: 1 << 63), hash: CID(parsing: CIDTests.v0).multihash) }
    }

    @Test func accessWithoutCopies() throws {
        // Inside the value, at its limit, and in memory of its own.
        for length in [0, 20, 32, 36, 37, 64, 128] {
            let digest = Bytes((0..<length).map { UInt8($0) })
            let hash = try Multihash(.blake2b256, digest: digest)
            let cid = try CID(codec: .dagJSON, hash: hash)
            #expect(cid.count == cid.bytes.count && hash.count == hash.bytes.count && hash.digestCount == length)
            #expect(cid.withUnsafeBytes { Bytes(copying: $0) } == cid.bytes)
            #expect(cid.withUnsafeMultihash { Bytes(copying: $0) } == hash.bytes)
            #expect(cid.withUnsafeDigest { Bytes(copying: $0) } == digest)
            #expect(hash.withUnsafeBytes { Bytes(copying: $0) } == hash.bytes)
            #expect(hash.withUnsafeDigest { Bytes(copying: $0) } == digest)
            #expect(cid.multihash == hash && cid.digest == digest && cid.codec == .dagJSON && cid.hashCode == .blake2b256)
        }
        #expect(MemoryLayout<CID>.stride == 48 && MemoryLayout<Multihash>.stride == 48)
    }

    @Test func fromDigest() throws {
        let digest = Bytes([UInt8](repeating: 3, count: 32))
        for codec in [Multicodec.raw, .dagPB, .dagJSON] {
            #expect(try digest.withUnsafeBytes { try CID(codec: codec, sha256: $0) } == CID(codec: codec, hash: Multihash(.sha2_256, digest: digest)))
        }
        #expect(throws: CIDError.malformed) { try digest.prefix(31).withUnsafeBytes { try CID(codec: .raw, sha256: $0) } }
    }
}
