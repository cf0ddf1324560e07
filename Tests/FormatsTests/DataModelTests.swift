import Testing
import WaggleBase
import WaggleFormats

@Suite struct DataModelTests {
    @Test func fixtures() throws {
        #expect(IPLDFixture.all.count == 128)
        for fixture in IPLDFixture.all {
            let cbor = try #require(fixture.blocks["dag-cbor"])
            let json = try #require(fixture.blocks["dag-json"])
            #expect(cbor.cid.codec == .dagCBOR && json.cid.codec == .dagJSON)
            let value = try DagCBOR.decode(cbor.bytes)
            #expect(try DagCBOR.encode(value) == cbor.bytes, "\(fixture.name)")
            #expect(try DagJSON.decode(json.bytes) == value, "\(fixture.name)")
            #expect(try DagJSON.encode(value) == json.bytes, "\(fixture.name)")
            #expect(try DagCBOR.decode(cbor.bytes, .relaxed) == value && DagJSON.decode(json.bytes, .relaxed) == value)
            #expect(try DagCBOR.links(of: cbor.bytes) == value.links)
            if let pb = fixture.blocks["dag-pb"] {
                let node = try PBNode(pb.bytes)
                #expect(node.value == value, "\(fixture.name)")
                #expect(try PBNode(value) == node)
            }
        }
    }

    @Test func splits() {
        for fixture in IPLDFixture.all {
            if let cbor = fixture.blocks["dag-cbor"], cbor.bytes.count < 150 {
                verifyCodec(cbor.bytes) { try DagCBOR.encode(DagCBOR.decode($0)) }
                verifyNoTrap(cbor.bytes) { _ = try DagCBOR.decode($0, .relaxed) }
            }
            // A prefix of a number is a number.
            if let json = fixture.blocks["dag-json"], json.bytes.count < 150, !["int", "flo"].contains(fixture.name.prefix(3)) {
                verifyCodec(json.bytes) { try DagJSON.encode(DagJSON.decode($0)) }
                verifyNoTrap(json.bytes) { _ = try DagJSON.decode($0, .relaxed) }
            }
        }
    }

    /// A random value of the data model.
    static func random(_ random: inout Seeded, depth: Int = 0) -> Value {
        switch Int.random(in: 0..<(depth < 4 ? 9 : 7), using: &random) {
        case 0: return .null
        case 1: return .bool(.random(using: &random))
        case 2: return .integer(.random(in: Value.integers, using: &random) >> Int128.random(in: 0...64, using: &random))
        case 3:
            let value = Double(bitPattern: .random(in: 0...(.max), using: &random))
            return .float(value.isFinite ? value : 0.5)
        case 4: return .string(text(&random))
        case 5: return .bytes(random.bytes(.random(in: 0..<40, using: &random)))
        case 6: return .link(CID(["bafkqabiaaebagba", "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"].randomElement(using: &random)!)!)
        case 7: return .list((0..<Int.random(in: 0..<5, using: &random)).map { _ in self.random(&random, depth: depth + 1) })
        default:
            var map = OrderedMap<Value>()
            for _ in 0..<Int.random(in: 0..<12, using: &random) { map[text(&random)] = self.random(&random, depth: depth + 1) }
            return .map(map)
        }
    }

    static func text(_ random: inout Seeded) -> String {
        let scalars: [ClosedRange<UInt32>] = [0...0x7f, 0x80...0x7ff, 0x800...0xd7ff, 0x10000...0x10ffff]
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0..<12, using: &random) {
            let range = scalars.randomElement(using: &random)!
            if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &random)) { text.append(scalar) }
        }
        return String(text)
    }

    @Test func randomRoundTrips() throws {
        var random = Seeded(4)
        for _ in 0..<2000 {
            let value = DataModelTests.random(&random)
            let cbor = try DagCBOR.encode(value)
            #expect(try DagCBOR.decode(cbor) == value)
            let json = try DagJSON.encode(value)
            let again = try DagJSON.decode(json)
            #expect(again == value, "\(json.utf8 ?? "")")
            #expect(again.hashValue == value.hashValue || value == .float(0))
        }
    }

    @Test func maps() {
        var map = OrderedMap<Int>()
        for index in 0..<30 {
            let isNew = map.append("\(index)", index)
            #expect(isNew)
        }
        let isNew = map.append("7", 0)
        #expect(!isNew)
        #expect(map["7"] == 7 && map["30"] == nil)
        map["7"] = nil
        map["8"] = 80
        map["new"] = 1
        #expect(map["7"] == nil && map["8"] == 80 && map["29"] == 29 && map.count == 30 && map.keys.last == "new")
        for index in 0..<25 { map["\(index)"] = nil }
        #expect(map.keys == ["25", "26", "27", "28", "29", "new"])
        #expect(map["29"] == 29)
        // Two spellings of one letter are two keys.
        let accents = OrderedMap([("\u{e9}", 1), ("e\u{301}", 2)])
        #expect(accents.count == 2 && accents["\u{e9}"] == 1)
        #expect(OrderedMap([("a", 1), ("b", 2)]) == OrderedMap([("b", 2), ("a", 1)]))
        #expect(OrderedMap([("a", 1), ("b", 2)]).hashValue == OrderedMap([("b", 2), ("a", 1)]).hashValue)
        #expect(OrderedMap([("a", 1)]) != OrderedMap([("a", 2)]))
        #expect(Value.string("\u{e9}") != Value.string("e\u{301}"))
    }

    @Test func accessors() {
        let value: Value = ["a": [1, 2.5, true, nil, "x"], "b": ["c": 3]]
        #expect(value["a"]?[0]?.int == 1 && value["a"]?[1]?.float == 2.5 && value["a"]?[2]?.bool == true && value["a"]?[3] == .null)
        #expect(value["a"]?[4]?.string == "x" && value["a"]?[5] == nil && value["b"]?["c"] == 3 && value["b"]?["d"] == nil)
        #expect(value.list == nil && value.link == nil && value.bytes == nil && value.map?.count == 2)
    }

    @Test func dagPBShapes() {
        let link: Value = .link(CID("bafkqabiaaebagba")!)
        let wrong: [Value] = [
            nil, [:], ["Links": 1], ["Links": [], "Data": "x"], ["Links": [], "More": 1], ["Links": [[:]]], ["Links": [["Hash": 1]]],
            ["Links": [["Hash": link, "Name": 1]]], ["Links": [["Hash": link, "Tsize": -1]]], ["Links": [["Hash": link, "Other": 1]]], ["Data": .bytes("x")],
        ]
        for value in wrong { #expect(throws: DagPBError.shape) { try PBNode(value) } }
    }
}

@Suite struct DagCBORTests {
    @Test(arguments: [
        ("1800", "0", DagCBORError.notCanonical(at: 0)), ("1817", "23", .notCanonical(at: 0)), ("190001", "1", .notCanonical(at: 0)),
        ("1a0000ffff", "65535", .notCanonical(at: 0)), ("1b00000000ffffffff", "4294967295", .notCanonical(at: 0)), ("3800", "-1", .notCanonical(at: 0)),
        ("580161", #"{"/":{"bytes":"YQ"}}"#, .notCanonical(at: 0)), ("780161", #""a""#, .notCanonical(at: 0)), ("980101", "[1]", .notCanonical(at: 0)),
        ("b801616101", #"{"a":1}"#, .notCanonical(at: 0)), ("a1780161 01", #"{"a":1}"#, .notCanonical(at: 1)),
        ("f93c00", "1.0", .notCanonical(at: 0)), ("fa3f800000", "1.0", .notCanonical(at: 0)), ("f90001", "5.960464477539063e-8", .notCanonical(at: 0)),
        ("f97bff", "65504.0", .notCanonical(at: 0)), ("f98000", "-0.0", .notCanonical(at: 0)), ("f90400", "0.00006103515625", .notCanonical(at: 0)),
        ("a26162016161 02", #"{"a":2,"b":1}"#, .notCanonical(at: 4)), ("a2626161016162 02", #"{"aa":1,"b":2}"#, .notCanonical(at: 5)),
        ("d9002a4a00 0155000500010203 04", nil, .notCanonical(at: 0)), ("d82a580a00 0155000500010203 04", nil, .notCanonical(at: 2)),
    ] as [(String, String?, DagCBORError)]) func relaxation(_ text: String, _ json: String?, _ error: DagCBORError) throws {
        #expect(throws: error) { try DagCBOR.decode(hex(text)) }
        let value = try DagCBOR.decode(hex(text), .relaxed)
        #expect(value == (try json.map { try DagJSON.decode(Bytes(utf8: $0)) }) ?? .link(CID("bafkqabiaaebagba")!))
    }

    @Test(arguments: [
        ("", DagCBORError.truncated), ("0000", .trailingBytes(1)), ("18", .truncated), ("19ff", .truncated), ("62ff", .truncated), ("6261", .truncated),
        ("5bffffffffffffffff", .truncated), ("7b7fffffffffffffff", .truncated), ("9bffffffffffffffff", .truncated), ("bb7fffffffffffffff", .truncated),
        ("9a00100000", .truncated), ("82 01", .truncated), ("a1", .truncated), ("a16161", .truncated),
        ("61ff", .malformed(at: 1)), ("62c328", .malformed(at: 1)), ("63eda080", .malformed(at: 1)), ("a1 01 02", .malformed(at: 1)),
        ("a14161 01", .malformed(at: 1)), ("a2616101616102", .malformed(at: 4)),
        ("5fff", .unsupported(0x5f, at: 0)), ("7fff", .unsupported(0x7f, at: 0)), ("9fff", .unsupported(0x9f, at: 0)), ("bfff", .unsupported(0xbf, at: 0)),
        ("ff", .unsupported(0xff, at: 0)), ("f7", .unsupported(0xf7, at: 0)), ("f0", .unsupported(0xf0, at: 0)), ("f8ff", .unsupported(0xf8, at: 0)),
        ("1c", .unsupported(0x1c, at: 0)), ("81fc", .unsupported(0xfc, at: 1)), ("c11a514b67b0", .unsupported(0xc1, at: 0)), ("c24101", .unsupported(0xc2, at: 0)),
        ("d82b4100", .unsupported(0xd8, at: 0)), ("d82a00", .malformed(at: 2)), ("d82a40", .malformed(at: 2)), ("d82a4100", .link(.empty)),
        ("d82a490155000500010203 04", .malformed(at: 2)), ("d82a4b00 0155000500010203 04ff", .link(.trailingBytes(1))),
        ("fb7ff8000000000000", .notFinite), ("fb7ff0000000000000", .notFinite), ("f97c00", .notFinite), ("f97e00", .notFinite), ("faff800000", .notFinite),
    ]) func refused(_ text: String, _ error: DagCBORError) {
        #expect(throws: error) { try DagCBOR.decode(hex(text)) }
        #expect(throws: error) { try DagCBOR.decode(hex(text), .relaxed) }
    }

    @Test func integers() throws {
        for (value, text) in [
            (Int128(0), "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"), (65536, "1a00010000"), (1 << 32, "1b0000000100000000"),
            ((1 << 64) - 1, "1bffffffffffffffff"), (-1, "20"), (-24, "37"), (-25, "3818"), (-(1 << 64), "3bffffffffffffffff"),
        ] {
            #expect(try DagCBOR.encode(.integer(value)) == hex(text))
            #expect(try DagCBOR.decode(hex(text)) == .integer(value))
        }
        #expect(throws: DagCBORError.limit) { try DagCBOR.encode(.integer(1 << 64)) }
        #expect(throws: DagCBORError.limit) { try DagCBOR.encode(.integer(-(1 << 64) - 1)) }
        #expect(throws: DagCBORError.notFinite) { try DagCBOR.encode(.float(.nan)) }
        #expect(throws: DagCBORError.notFinite) { try DagCBOR.encode([.float(-.infinity)]) }
    }

    @Test func limits() throws {
        let nested = { (levels: Int) in Bytes([UInt8](repeating: 0x81, count: levels) + [0x00]) }
        let deepest = try DagCBOR.decode(nested(FormatsLimits.depth))
        #expect(try DagCBOR.encode(deepest) == nested(FormatsLimits.depth))
        #expect(throws: DagCBORError.limit) { try DagCBOR.decode(nested(FormatsLimits.depth + 1)) }
        #expect(throws: DagCBORError.limit) { try DagCBOR.decode(nested(1_000_000)) }
        #expect(throws: DagCBORError.limit) { try DagCBOR.encode(.list([deepest])) }
        let many = Bytes([0x9a, 0x00, 0x10, 0x00, 0x00] + [UInt8](repeating: 0xf6, count: 1 << 20))
        #expect(throws: DagCBORError.limit) { try DagCBOR.decode(many) }
        #expect(MemoryLayout<Value>.stride <= 32)
    }

    @Test func claimsAllocateNothing() {
        // Nested lists that each claim to fill the block.
        let liar = Bytes((0..<FormatsLimits.depth).flatMap { _ in [0x9a, 0x00, 0x0f, 0x00, 0x00] as [UInt8] } + [UInt8](repeating: 0xf6, count: 1 << 20))
        #expect(throws: DagCBORError.self) { try DagCBOR.decode(liar) }
        #expect(throws: DagCBORError.truncated) { try DagCBOR.links(of: liar) }
    }

    @Test func linksAreScanned() throws {
        let link = "d82a4a00 0155000500010203 04"
        let cid = try #require(CID("bafkqabiaaebagba"))
        #expect(try DagCBOR.links(of: hex("83 \(link) a2 6161 \(link) 6162 82 01 \(link) f4")) == [cid, cid, cid])
        // What `decode` refuses: text that is not UTF-8, integers as keys, and depth.
        #expect(try DagCBOR.links(of: hex("82 61ff \(link)")) == [cid])
        #expect(try DagCBOR.links(of: hex("a1 01 \(link)")) == [cid])
        #expect(try DagCBOR.links(of: Bytes([UInt8](repeating: 0x81, count: 100_000) + hex(link).array)) == [cid])
        for (text, error) in [("", DagCBORError.truncated), ("82 01", .truncated), ("0000", .trailingBytes(1)), ("c101", .unsupported(0xc1, at: 0)), ("d82a4100", .link(.empty)), ("a1 01", .truncated)] {
            #expect(throws: error) { try DagCBOR.links(of: hex(text)) }
        }
        verifyNoTrap(hex("83 \(link) a2 6161 \(link) 6162 82 01 \(link) f4")) { _ = try DagCBOR.links(of: $0) }
    }

    @Test func largeBytesAreWindows() throws {
        let block = try DagCBOR.encode(.bytes(Bytes([UInt8](repeating: 1, count: 5000))))
        #expect(try DagCBOR.decode(block).bytes?.retained == block.retained)
        let small = try DagCBOR.encode([.bytes([1]), .bytes(Bytes([UInt8](repeating: 1, count: 10_000)))])
        #expect(try DagCBOR.decode(small)[0]?.bytes?.retained == 1)
    }
}

@Suite struct DagJSONTests {
    @Test(arguments: [
        (" 1", "1"), ("[1, 2]", "[1,2]"), (#"{"b":1,"a":2}"#, #"{"a":2,"b":1}"#), ("1.50", "1.5"), ("1e2", "100.0"), ("-0", "0"), ("1E+2", "100.0"),
        (#""\u0041\/""#, #""A/""#), (#"{"/":"f0155000500010203"#+#"04"}"#, #"{"/":"bafkqabiaaebagba"}"#),
    ]) func relaxation(_ text: String, _ canonical: String) throws {
        let bytes = Bytes(utf8: text)
        #expect(throws: DagJSONError.notCanonical) { try DagJSON.decode(bytes) }
        #expect(try DagJSON.encode(DagJSON.decode(bytes, .relaxed)).utf8 == canonical)
    }

    @Test(arguments: [
        (#"{"/":"bafkqabiaaebagba","a":1}"#, DagJSONError.reserved), (#"{"/":{"bytes":"YQ"},"a":1}"#, .reserved), (#"{"/":{"bytes":"YQ","a":1}}"#, .reserved),
        (#"{"/":""}"#, .link(.empty)), (#"{"/":"x"}"#, .link(.multibase(.unknownPrefix("x")))), (#"{"/":{"bytes":"YQ=="}}"#, .bytes(.invalidCharacter(at: 2))),
        (#"{"/":{"bytes":"Y"}}"#, .bytes(.notCanonical)), ("18446744073709551616", .number), ("-18446744073709551617", .number),
        ("[1", .json(.truncated)), ("1 2", .json(.unexpected(0x32, at: 2))), (#"{"a":1,"a":2}"#, .json(.duplicate("a"))),
    ]) func refused(_ text: String, _ error: DagJSONError) {
        #expect(throws: error) { try DagJSON.decode(Bytes(utf8: text)) }
        #expect(throws: error) { try DagJSON.decode(Bytes(utf8: text), .relaxed) }
    }

    @Test(arguments: [
        #"{"/":1}"#, #"{"/":[]}"#, #"{"/":{}}"#, #"{"/":{"a":1}}"#, #"{"/":{"bytes":1}}"#, #"{"/":{"/":"bafkqabiaaebagba"}}"#, #"{"/":{"/":{"bytes":"YQ"}}}"#,
        #"{"/":{"bytes":{"/":{"bytes":"YQ"}}}}"#, #"{"a":{"bytes":"YQ"}}"#,
    ]) func mapsWithASlash(_ text: String) throws {
        let value = try DagJSON.decode(Bytes(utf8: text))
        #expect(value.map != nil)
        #expect(try DagJSON.encode(value).utf8 == text)
    }

    @Test func whatCannotBeWritten() {
        #expect(throws: DagJSONError.reserved) { try DagJSON.encode(["/": "bafkqabiaaebagba"]) }
        #expect(throws: DagJSONError.reserved) { try DagJSON.encode(["/": ["bytes": "YQ"]]) }
        #expect(throws: DagJSONError.number) { try DagJSON.encode(.float(.infinity)) }
        #expect(throws: DagJSONError.number) { try DagJSON.encode(.integer(1 << 64)) }
        var value: Value = .bytes("x")
        for _ in 0..<FormatsLimits.depth - 2 { value = [value] }
        #expect(throws: Never.self) { try DagJSON.decode(DagJSON.encode(value)) }
        #expect(throws: DagJSONError.json(.limit)) { try DagJSON.encode([value]) }
    }
}

@Suite struct JSONTests {
    /// ECMA-262, Number::toString, with the point that marks a float.
    @Test(arguments: [
        (0.0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (-1.5, "-1.5"), (0.1, "0.1"), (1e20, "100000000000000000000.0"), (1e21, "1e+21"), (123_456_789_012_345_680, "123456789012345680.0"),
        (1.5e21, "1.5e+21"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1.25e-7, "1.25e-7"), (.leastNonzeroMagnitude, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9_007_199_254_740_992, "9007199254740992.0"), (0.000_001_234, "0.000001234"), (123456.789, "123456.789"), (4.35, "4.35"), (100, "100.0"), (2e-5, "0.00002"),
    ]) func numbers(_ value: Double, _ text: String) throws {
        #expect(JSON.number(value).text() == text)
        #expect(try JSON(parsing: text) == .number(value))
    }

    @Test func everyDoubleReadsBack() throws {
        var random = Seeded(5)
        for _ in 0..<5000 {
            let value = Double(bitPattern: .random(in: 0...(.max), using: &random))
            guard value.isFinite else { continue }
            #expect(try JSON(parsing: JSON.number(value).text()) == .number(value))
        }
    }

    @Test func layout() throws {
        let value: JSON = ["b": [1, 2.5, []], "a": ["x": nil, "y": true], "c": [:], "text": "\"\\/\u{8}\t\n\u{c}\r\u{1}\u{7f}é😀"]
        #expect(value.text() == #"{"b":[1,2.5,[]],"a":{"x":null,"y":true},"c":{},"text":"\"\\/\b\t\n\f\r\u0001"# + "\u{7f}é😀\"}")
        #expect((["b": 1, "a": [1]] as JSON).text(JSON.Style(isIndented: true, sortsKeys: true)) == "{\n  \"a\": [\n    1\n  ],\n  \"b\": 1\n}")
        #expect(try JSON(parsing: value.text()) == value)
        #expect(try JSON(parsing: value.text(.indented)) == value)
        #expect(JSON.number(.nan).text() == "null")
        verifyNoTrap(value.encode(.indented)) { _ = try JSON(parsing: $0) }
    }

    @Test func members() {
        var config: JSON = ["Addresses": ["API": "x"]]
        #expect(config["Addresses"]?["API"]?.string == "x")
        config["Addresses"]?["Swarm"] = ["a", "b"]
        config["New"] = 5
        config["Addresses"]?["API"] = nil
        #expect(config == ["Addresses": ["Swarm": ["a", "b"]], "New": 5])
        #expect(config["Addresses"]?["Swarm"]?[1] == "b" && config["New"]?.int == 5 && config["New"]?.double == 5 && config["No"] == nil)
        config["New"]?["Deep"] = true
        #expect(config["New"] == ["Deep": true])
        #expect(JSON(UInt64.max) == .integer(Int128(UInt64.max)) && JSON.null.isNull)
    }

    @Test(arguments: [
        (#""\ud83d\ude00""#, "😀"), (#""\u00e9""#, "é"), (#""a\nb""#, "a\nb"), (#""""#, ""), (#""é\"""#, "é\""), (#""\u0000""#, "\0"),
    ]) func strings(_ text: String, _ expected: String) throws { #expect(try JSON(parsing: text) == .string(expected)) }

    @Test(arguments: [
        ("", JSONError.truncated), (" ", .truncated), ("tru", .truncated), ("trUe", .unexpected(0x55, at: 2)), ("[1,]", .unexpected(0x5d, at: 3)), ("[,1]", .unexpected(0x2c, at: 1)),
        (#"{"a":1,}"#, .unexpected(0x7d, at: 7)), ("{a:1}", .unexpected(0x61, at: 1)), (#"{"a" 1}"#, .unexpected(0x31, at: 5)), ("01", .unexpected(0x31, at: 1)), ("1.", .truncated),
        (".5", .unexpected(0x2e, at: 0)), ("+1", .unexpected(0x2b, at: 0)), ("-", .truncated), ("-a", .unexpected(0x61, at: 1)), ("1e", .truncated), ("1e+", .truncated), ("1e999", .number(at: 0)),
        ("170141183460469231731687303715884105728", .number(at: 0)), ("NaN", .unexpected(0x4e, at: 0)), ("\"a", .truncated), ("\"a\nb\"", .string(at: 0)), (#""\x""#, .string(at: 0)),
        (#""\u12""#, .string(at: 0)), (#""\u12"#, .truncated), (#""\ud800""#, .string(at: 0)), (#""\ud800\u0041""#, .string(at: 0)), (#""\udc00""#, .string(at: 0)),
        ("1 2", .unexpected(0x32, at: 2)), ("\u{feff}1", .unexpected(0xef, at: 0)), (#"{"a":1,"\u0061":2}"#, .duplicate("a")), ("/**/1", .unexpected(0x2f, at: 0)),
    ]) func refused(_ text: String, _ error: JSONError) { #expect(throws: error) { try JSON(parsing: text) } }

    @Test func foreignBytes() {
        #expect(throws: JSONError.string(at: 0)) { try JSON(parsing: hex("22ff22")) }
        #expect(throws: JSONError.string(at: 0)) { try JSON(parsing: hex("22eda08022")) }
    }

    @Test func limits() throws {
        let nested = { (levels: Int) in String(repeating: "[", count: levels) + String(repeating: "]", count: levels) }
        #expect(throws: Never.self) { try JSON(parsing: nested(FormatsLimits.depth + 1)) }
        #expect(throws: JSONError.limit) { try JSON(parsing: nested(FormatsLimits.depth + 2)) }
        #expect(throws: JSONError.limit) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONError.limit) { try JSON(parsing: "[" + String(repeating: "1,", count: FormatsLimits.values) + "1]") }
        #expect(throws: JSONError.number(at: 0)) { try JSON(parsing: "0." + String(repeating: "0", count: FormatsLimits.numberCharacters)) }
    }
}
