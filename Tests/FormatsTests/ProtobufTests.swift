import Testing
import WaggleBase
import WaggleFormats

@Suite struct ProtobufTests {
    /// Everything `bytes` says, as text.
    static func dump(_ bytes: Bytes) throws -> [String] {
        var lines: [String] = []
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.type {
            case .varint: lines.append("\(field.number)=\(try field.uint64())")
            case .fixed32: lines.append("\(field.number)=\(try field.fixed32())f")
            case .fixed64: lines.append("\(field.number)=\(try field.fixed64())d")
            case .bytes: lines.append("\(field.number)=\(bytes[try field.range()])")
            }
        }
        return lines
    }

    @Test func everyType() throws {
        var writer = ProtobufWriter(capacity: 1)
        writer.write(1, varint: .max)
        writer.write(2, int64: -1)
        writer.write(3, sint64: -3)
        writer.write(4, bool: true)
        writer.write(5, fixed32: 0x0102_0304)
        writer.write(6, fixed64: 0x0102_0304_0506_0708)
        writer.write(7, double: -0.5)
        writer.write(8, "grüße")
        writer.write(9, [1, 2, 3] as [UInt8])
        writer.message(1000) { inner in
            inner.write(1, varint: 7)
            inner.message(2) { $0.write(3, Bytes([UInt8](repeating: 9, count: 300))) }
        }
        writer.write(11, packed: [1, 300, .max])
        writer.write(12, packed: [])
        writer.begin((1 << 29) - 1, count: 2)
        writer.raw([8, 1])
        let bytes = writer.finish()

        var seen: [Int] = []
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            seen.append(field.number)
            switch field.number {
            case 1: #expect(try field.uint64() == .max)
            case 2: #expect(try field.int64() == -1 && field.int32() == -1)
            case 3: #expect(try field.sint64() == -3)
            case 4: #expect(try field.bool())
            case 5: #expect(try field.fixed32() == 0x0102_0304)
            case 6: #expect(try field.fixed64() == 0x0102_0304_0506_0708)
            case 7: #expect(try field.double() == -0.5)
            case 8: #expect(try field.string() == "grüße")
            case 9: #expect(try field.copiedBytes() == [1, 2, 3])
            case 1000:
                var inner = try field.message()
                guard let first = try inner.next() else { throw ProtobufError.truncated }
                #expect(try first.uint32() == 7)
                guard let second = try inner.next() else { throw ProtobufError.truncated }
                var innermost = try second.message()
                guard let third = try innermost.next() else { throw ProtobufError.truncated }
                // Ranges count from the outermost message, so the owner can slice.
                #expect(bytes[try third.range()] == Bytes([UInt8](repeating: 9, count: 300)))
            case 11:
                var values: [UInt64] = [5]
                try field.append(to: &values, limit: 4)
                #expect(values == [5, 1, 300, .max])
                var few: [UInt64] = []
                #expect(throws: ProtobufError.limit(field: 11)) { try ProtobufTests.appendPacked(bytes, to: &few, limit: 2) }
            default: #expect(field.number == (1 << 29) - 1)
            }
        }
        #expect(seen == [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000, 11, (1 << 29) - 1])
        verifyNoTrap(bytes) { _ = try ProtobufTests.dump($0) }
    }

    static func appendPacked(_ bytes: Bytes, to values: inout [UInt64], limit: Int) throws {
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            if field.number == 11 { try field.append(to: &values, limit: limit) }
        }
    }

    @Test func sizes() {
        for value: UInt64 in [0, 127, 128, 1 << 35, .max] {
            for field in [1, 15, 16, 2047, 2048] {
                var writer = ProtobufWriter()
                writer.write(field, varint: value)
                #expect(writer.count == ProtobufWriter.size(field, varint: value))
                var other = ProtobufWriter()
                other.write(field, Bytes([UInt8](repeating: 0, count: Int(value % 1000))))
                #expect(other.count == ProtobufWriter.size(field, count: Int(value % 1000)))
            }
        }
    }

    @Test(arguments: [
        ("08", ProtobufError.truncated), ("0880", .truncated), ("088081", .truncated), ("0a05", .truncated), ("0a0501", .truncated),
        ("0d010203", .truncated), ("0901020304050607", .truncated), ("88808080808080808001", .fieldNumber(1152921504606846977)),
        ("0a ffffffffffffffffff01", .truncated), ("0a feffffffffffffff7f", .truncated),
        ("0800", nil), ("08ffffffffffffffffff01", nil), ("08ffffffffffffffffff02", .malformedVarint),
        ("08ffffffffffffffffff8101", .malformedVarint), ("088000", .malformedVarint), ("888000 01", .malformedVarint), ("0a8000", .malformedVarint),
        ("0000", .fieldNumber(0)), ("808080801000", .fieldNumber(1 << 29)), ("f8ffffff0f00", nil),
        ("0b0c", .wireType(3, field: 1)), ("0c", .wireType(4, field: 1)), ("0e", .wireType(6, field: 1)), ("0f", .wireType(7, field: 1)),
    ] as [(String, ProtobufError?)]) func strictness(_ text: String, _ error: ProtobufError?) throws {
        if let error {
            #expect(throws: error) { try ProtobufTests.dump(hex(text)) }
        } else {
            #expect(try ProtobufTests.dump(hex(text)).count == 1)
        }
    }

    /// The first field of `text`, given to `body`.
    static func first<R>(_ text: String, _ body: (borrowing ProtobufField) throws -> R) throws -> R {
        let bytes = hex(text)
        var reader = ProtobufReader(bytes.span)
        guard let field = try reader.next() else { throw ProtobufError.truncated }
        return try body(field)
    }

    @Test func typesAreChecked() throws {
        #expect(throws: ProtobufError.wireType(0, field: 1)) { try ProtobufTests.first("0801") { try $0.string() } }
        #expect(throws: ProtobufError.wireType(2, field: 1)) { try ProtobufTests.first("0a00") { try $0.uint64() } }
        #expect(throws: ProtobufError.wireType(5, field: 1)) { try ProtobufTests.first("0d00000000") { try $0.fixed64() } }
        #expect(throws: ProtobufError.value(field: 1)) { try ProtobufTests.first("088080808010") { try $0.uint32() } }
        #expect(throws: ProtobufError.value(field: 1)) { try ProtobufTests.first("088080808010") { try $0.int32() } }
        #expect(throws: ProtobufError.value(field: 1)) { try ProtobufTests.first("0802") { try $0.bool() } }
        #expect(throws: ProtobufError.value(field: 1)) { try ProtobufTests.first("0a02c328") { try $0.string() } }
        #expect(try ProtobufTests.first("0a00") { try $0.string() } == "")
    }

    @Test func lengthsInFront() {
        for length in [0, 1, 126, 127, 128, 129, 16_383, 16_384, 70_000] {
            let body = Bytes((0..<length).map { UInt8(truncatingIfNeeded: $0) })
            var writer = ProtobufWriter(capacity: 1)
            writer.write(1, varint: 5)
            writer.message(2) { $0.raw(body) }
            var expected = ProtobufWriter()
            expected.write(1, varint: 5)
            expected.write(2, body)
            let (message, plain) = (writer.finish(), expected.finish())
            #expect(message == plain)
        }
    }
}
