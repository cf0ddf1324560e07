import WaggleBase

/// One field of a protobuf message: its number and a value that each accessor checks against the type it is asked for.
public struct ProtobufField: ~Escapable {
    /// The field number.
    public let number: Int
    /// How the value is laid out.
    public let type: ProtobufReader.WireType
    @usableFromInline let integer: UInt64
    @usableFromInline let span: RawSpan
    @usableFromInline let offset: Int

    @_lifetime(copy span)
    @inlinable init(number: Int, type: ProtobufReader.WireType, integer: UInt64, span: RawSpan, offset: Int) {
        self.number = number
        self.type = type
        self.integer = integer
        self.span = span
        self.offset = offset
    }

    @inlinable func expect(_ expected: ProtobufReader.WireType) throws(ProtobufError) {
        guard type == expected else { throw .wireType(type.rawValue, field: number) }
    }

    /// `uint64`.
    @inlinable public func uint64() throws(ProtobufError) -> UInt64 {
        try expect(.varint)
        return integer
    }

    /// `uint32`; larger values are refused rather than cut.
    @inlinable public func uint32() throws(ProtobufError) -> UInt32 {
        try expect(.varint)
        guard let value = UInt32(exactly: integer) else { throw .value(field: number) }
        return value
    }

    /// `int64`: two's complement in a varint.
    @inlinable public func int64() throws(ProtobufError) -> Int64 {
        try expect(.varint)
        return Int64(bitPattern: integer)
    }

    /// `int32` or an enumeration; values outside 32 bits are refused rather than cut.
    @inlinable public func int32() throws(ProtobufError) -> Int32 {
        try expect(.varint)
        guard let value = Int32(exactly: Int64(bitPattern: integer)) else { throw .value(field: number) }
        return value
    }

    /// `sint64`: zigzag.
    @inlinable public func sint64() throws(ProtobufError) -> Int64 {
        try expect(.varint)
        return Int64(bitPattern: integer >> 1) ^ -Int64(bitPattern: integer & 1)
    }

    /// `bool`: 0 or 1.
    @inlinable public func bool() throws(ProtobufError) -> Bool {
        try expect(.varint)
        guard integer <= 1 else { throw .value(field: number) }
        return integer == 1
    }

    /// `fixed32`, little-endian.
    @inlinable public func fixed32() throws(ProtobufError) -> UInt32 {
        try expect(.fixed32)
        return UInt32(truncatingIfNeeded: integer)
    }

    /// `fixed64`, little-endian.
    @inlinable public func fixed64() throws(ProtobufError) -> UInt64 {
        try expect(.fixed64)
        return integer
    }

    /// `double`.
    @inlinable public func double() throws(ProtobufError) -> Double { Double(bitPattern: try fixed64()) }

    /// `bytes`, still in the message's memory.
    @_lifetime(copy self)
    @inlinable public func bytes() throws(ProtobufError) -> RawSpan {
        try expect(.bytes)
        return span
    }

    /// `bytes`, copied.
    @inlinable public func copiedBytes() throws(ProtobufError) -> Bytes {
        try expect(.bytes)
        return Bytes(span)
    }

    /// Where a `bytes`, `string` or message value lies, counted from the start of the outermost message: with it the owner of that memory
    /// takes a window onto the value without a copy.
    @inlinable public func range() throws(ProtobufError) -> Range<Int> {
        try expect(.bytes)
        return offset..<offset + span.byteCount
    }

    /// `string`, checked to be UTF-8.
    public func string() throws(ProtobufError) -> String {
        try expect(.bytes)
        guard let text = span.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else { throw .value(field: number) }
        return text
    }

    /// An embedded message.
    @_lifetime(copy self)
    @inlinable public func message() throws(ProtobufError) -> ProtobufReader {
        try expect(.bytes)
        return ProtobufReader(span, offset: offset)
    }

    /// Appends the element of a `repeated uint64` field, or all of them where the field is packed, to `values`, which may not grow beyond
    /// `limit` elements.
    public func append(to values: inout [UInt64], limit: Int) throws(ProtobufError) {
        if type == .varint {
            guard values.count < limit else { throw .limit(field: number) }
            values.append(integer)
            return
        }
        var packed = try message()
        while packed.rest.byteCount > 0 {
            guard values.count < limit else { throw .limit(field: number) }
            values.append(try packed.varint())
        }
    }
}
