import WaggleBase

/// A cursor over the fields of one protobuf message, in the order of the wire.
///
/// Wire shape: varint tag (field number << 3 | wire type), then the value. Spec: protobuf.dev, "Encoding".
/// Strict where a canonical encoder leaves no choice: varints are minimal and fit 64 bits, field numbers lie in 1 … 2^29 - 1, groups are
/// refused. Unknown fields are skipped by not looking at them. Reading allocates nothing.
///
/// ```swift
/// var reader = ProtobufReader(bytes.span)
/// while let field = try reader.next() {
///     switch field.number {
///     case 1: id = try field.uint64()
///     case 2: name = try field.string()
///     case 3: body = bytes[try field.range()]
///     default: break
///     }
/// }
/// ```
public struct ProtobufReader: ~Escapable {
    @usableFromInline var rest: RawSpan
    /// Where `rest` begins, counted from the start of the outermost message.
    @usableFromInline var offset: Int

    /// Reads the message that `span` holds.
    @_lifetime(copy span)
    @inlinable public init(_ span: RawSpan) { self.init(span, offset: 0) }

    @_lifetime(copy span)
    @inlinable init(_ span: RawSpan, offset: Int) {
        rest = span
        self.offset = offset
    }

    /// How a value is laid out.
    public enum WireType: UInt8, Sendable {
        case varint = 0
        case fixed64 = 1
        case bytes = 2
        case fixed32 = 5
    }

    /// The next field, or nil at the end of the message.
    @_lifetime(self: copy self)
    @_lifetime(copy self)
    @inlinable public mutating func next() throws(ProtobufError) -> ProtobufField? {
        guard rest.byteCount > 0 else { return nil }
        let tag = try varint()
        let number = tag >> 3
        guard number > 0, number < 1 << 29 else { throw .fieldNumber(number) }
        guard let type = WireType(rawValue: UInt8(tag & 7)) else { throw .wireType(UInt8(tag & 7), field: Int(number)) }
        switch type {
        case .varint:
            let value = try varint()
            return ProtobufField(number: Int(number), type: type, integer: value, span: rest.extracting(first: 0), offset: offset)
        case .fixed64:
            guard rest.byteCount >= 8 else { throw .truncated }
            let value = UInt64(littleEndian: rest.unsafeLoadUnaligned(as: UInt64.self))
            advance(8)
            return ProtobufField(number: Int(number), type: type, integer: value, span: rest.extracting(first: 0), offset: offset)
        case .fixed32:
            guard rest.byteCount >= 4 else { throw .truncated }
            let value = UInt64(UInt32(littleEndian: rest.unsafeLoadUnaligned(as: UInt32.self)))
            advance(4)
            return ProtobufField(number: Int(number), type: type, integer: value, span: rest.extracting(first: 0), offset: offset)
        case .bytes:
            let length = try varint()
            guard length <= UInt64(rest.byteCount) else { throw .truncated }
            let start = offset
            let span = rest.extracting(first: Int(length))
            advance(Int(length))
            return ProtobufField(number: Int(number), type: type, integer: length, span: span, offset: start)
        }
    }

    @_lifetime(self: copy self)
    @inlinable mutating func advance(_ count: Int) {
        rest = rest.extracting(droppingFirst: count)
        offset += count
    }

    /// A minimal varint of at most 64 bits.
    @_lifetime(self: copy self)
    @inlinable mutating func varint() throws(ProtobufError) -> UInt64 {
        // Most are tags and short lengths.
        if rest.byteCount > 0 {
            let byte = rest.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
            if byte < 0x80 {
                advance(1)
                return UInt64(byte)
            }
        }
        return try longVarint()
    }

    @_lifetime(self: copy self)
    @usableFromInline mutating func longVarint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        var index = 0
        while index < rest.byteCount {
            let byte = rest.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            guard index < 9 || byte <= 1 else { throw .malformedVarint }
            value |= UInt64(byte & 0x7f) << UInt64(7 * index)
            index += 1
            if byte & 0x80 == 0 {
                guard byte != 0 || index == 1 else { throw .malformedVarint }
                advance(index)
                return value
            }
        }
        throw .truncated
    }
}

/// Why bytes are not the expected protobuf message.
public enum ProtobufError: Error, Equatable, Sendable {
    /// The message ends inside a field.
    case truncated
    /// A varint of more than 64 bits or not in its shortest form.
    case malformedVarint
    /// A field number outside 1 … 2^29 - 1.
    case fieldNumber(UInt64)
    /// A wire type that does not exist, is a group, or does not fit the field.
    case wireType(UInt8, field: Int)
    /// A value outside the range of the field's type, or a string that is not UTF-8.
    case value(field: Int)
    /// A required field is absent.
    case missing(field: Int)
    /// A message that is longer, deeper or has more elements than allowed.
    case limit(field: Int)
}
