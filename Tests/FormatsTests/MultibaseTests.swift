import Testing
import WaggleBase
import WaggleFormats

@Suite struct MultibaseTests {
    static let files: [(String, String)] = [
        ("basic", "yes mani !"), ("leading_zero", "\0yes mani !"), ("two_leading_zeros", "\0\0yes mani !"),
    ]

    @Test(arguments: files) func vectors(_ file: String, _ value: String) throws {
        let bytes = Bytes(utf8: value)
        let rows = try rows("multiformats/multibase/\(file).csv")
        #expect(rows.count == 23)
        for row in rows {
            let base = try #require(Multibase(name: row[0]))
            #expect(base.encode(bytes) == row[1], "\(base)")
            let decoded = try Multibase.decode(row[1])
            #expect(decoded.base == base)
            #expect(decoded.bytes == bytes, "\(base)")
        }
    }

    @Test func eitherCase() throws {
        let rows = try rows("multiformats/multibase/case_insensitivity.csv")
        #expect(rows.count == 12)
        for row in rows {
            let decoded = try Multibase.decode(row[1])
            #expect(decoded.base.name == row[0])
            #expect(decoded.bytes == Bytes(utf8: "hello world"))
        }
        #expect(throws: MultibaseError.self) { try Multibase.decode("zlII") }
    }

    @Test func registry() throws {
        let left: Set = ["base45", "proquint", "none"]
        for row in try rows("multiformats/multibase/multibase.csv") where !left.contains(row[2]) {
            let base = try #require(Multibase(name: row[2]), "\(row[2])")
            #expect(base.prefix.value == UInt32(row[0].dropFirst(2), radix: 16))
        }
        #expect(Multibase(name: "identity")?.prefix == "\0")
        #expect(Multibase.allCases.count == 24)
    }

    @Test func roundTrip() throws {
        var random = Seeded(1)
        for base in Multibase.allCases where base != .identity {
            for length in 0..<70 {
                let zeros = length == 0 ? 0 : Int.random(in: 0...min(3, length), using: &random)
                let bytes = Bytes([UInt8](repeating: 0, count: zeros) + random.bytes(length - zeros).array)
                let decoded = try Multibase.decode(base.encode(bytes))
                #expect(decoded.base == base)
                #expect(decoded.bytes == bytes, "\(base) \(bytes)")
                #expect(try base.decode(unprefixed: base.encode(bytes, prefixed: false)) == bytes)
            }
        }
        #expect(Multibase.identity.encode("abc") == "\0abc")
        #expect(try Multibase.decode("\0abc").bytes == "abc")
    }

    @Test func everyByteHasItsEmoji() throws {
        let all = Bytes((0...255).map { UInt8($0) })
        let text = Multibase.base256emoji.encode(all, prefixed: false)
        #expect(Set(text.unicodeScalars).count == 256)
        #expect(try Multibase.base256emoji.decode(unprefixed: text) == all)
        #expect(throws: MultibaseError.invalidCharacter(at: 4)) { try Multibase.decode("🚀🚀x") }
    }

    @Test(arguments: [
        ("", MultibaseError.empty), ("!abc", .unknownPrefix("!")), ("f0", .notCanonical), ("fzz", .invalidCharacter(at: 0)),
        ("baa1a", .invalidCharacter(at: 2)), ("ba", .notCanonical), ("bab", .notCanonical), ("mQQ==", .invalidCharacter(at: 2)),
        ("MQQ", .notCanonical), ("MQQ=", .notCanonical), ("MQQ===", .notCanonical), ("MQR==", .notCanonical), ("M=", .notCanonical),
        ("z0", .invalidCharacter(at: 0)), ("zaé", .invalidCharacter(at: 1)), ("uQQ+", .invalidCharacter(at: 2)),
    ]) func refused(_ text: String, _ error: MultibaseError) {
        #expect(throws: error) { try Multibase.decode(text) }
    }

    @Test func positionalLengthIsBounded() throws {
        let longest = String(repeating: "z", count: FormatsLimits.positionalTextCharacters)
        #expect(try Multibase.decode("z" + longest).bytes.count > 10_000)
        #expect(throws: MultibaseError.tooLong(characters: longest.count + 1)) { try Multibase.decode("zz" + longest) }
    }
}
