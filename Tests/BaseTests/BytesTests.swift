import Testing
import WaggleBase

@Suite struct BytesTests {
    @Test func slicesShareMemory() {
        let bytes = Bytes((0..<100).map { UInt8($0) })
        let slice = bytes[10..<20]
        #expect(slice.count == 10 && slice.startIndex == 0 && slice[0] == 10 && slice.last == 19)
        #expect(slice[5..<7].array == [15, 16])
        #expect(slice.retained == bytes.retained)
        #expect(slice.compacted().retained < bytes.retained)
        #expect(slice.compacted() == slice && slice.compacted().hashValue == slice.hashValue)
        #expect(bytes.dropFirst(98).array == [98, 99] && bytes.dropFirst(1000).isEmpty)
        #expect(bytes.prefix(2).array == [0, 1] && bytes.prefix(1000) == bytes)
    }

    @Test func equality() {
        #expect(Bytes() == Bytes([]))
        #expect("abc" == Bytes(utf8: "abc"))
        #expect(Bytes([1, 2]) != Bytes([1, 3]) && Bytes([1, 2]) != Bytes([1]))
        #expect(Bytes([0xff, 0x00, 0xab]).description == "ff00ab")
        #expect(Bytes([0xff]).utf8 == nil && Bytes(utf8: "ä").utf8 == "ä")
    }

    @Test func filling() {
        let bytes = Bytes(count: 10) { buffer in
            buffer[0] = 7
            return 1
        }
        #expect(bytes.array == [7])
    }

    @Test func readingNeverTraps() {
        let bytes: Bytes = [1, 2, 3, 0x80]
        var reader = ByteReader(bytes.span)
        #expect(reader.integer(UInt16.self) == 0x0102)
        #expect(reader.integer(UInt32.self) == nil && reader.remaining == 2)
        #expect(reader.take(3) == nil && reader.take(-1) == nil)
        #expect(reader.byte() == 3)
        #expect(reader.varint() == nil)
        #expect(reader.byte() == 0x80 && reader.isAtEnd && reader.byte() == nil)
    }

    @Test func writingGrows() {
        var writer = ByteWriter(capacity: 1)
        writer.write(UInt8(1))
        writer.write(integer: UInt32(0x0203_0405))
        writer.write(varint: 300)
        writer.write(utf8: "hi")
        writer.write(Bytes([9, 9]))
        writer.write([8])
        #expect(writer.finish().array == [1, 2, 3, 4, 5, 0xac, 0x02, 0x68, 0x69, 9, 9, 8])
    }
}

@Suite struct VarintTests {
    static func encoded(_ value: UInt64) -> Bytes {
        var writer = ByteWriter()
        writer.write(varint: value)
        return writer.finish()
    }

    @Test(arguments: [0, 1, 127, 128, 255, 300, 16_383, 16_384, UInt64(Int64.max), 1 << 56, 1 << 62])
    func roundTrip(_ value: UInt64) {
        let bytes = Self.encoded(value)
        #expect(bytes.count == Varint.length(of: value))
        #expect(Varint.decode(bytes.span) == .value(value, length: bytes.count))
        for length in 0..<bytes.count { #expect(Varint.decode(bytes.prefix(length).span) == .incomplete) }
    }

    @Test func badForms() {
        #expect(Varint.decode(Bytes([0x80, 0x00]).span) == .malformed)
        #expect(Varint.decode(Bytes([0x81, 0x80, 0x00]).span) == .malformed)
        #expect(Varint.decode(Self.encoded(1 << 63).span) == .malformed)
        #expect(Varint.decode(Bytes([UInt8](repeating: 0xff, count: 9)).span) == .malformed)
        #expect(Varint.decode(Bytes([UInt8](repeating: 0x80, count: 8)).span) == .incomplete)
        #expect(Varint.length(of: .max) == 10 && Self.encoded(.max).count == 10)
    }
}
