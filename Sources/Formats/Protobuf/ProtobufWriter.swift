import WaggleBase

/// Writes the fields of a protobuf message in the order of the calls.
///
/// Writes what it is told, zero values and empty strings too: the caller decides which fields are present.
public struct ProtobufWriter: ~Copyable {
    private var writer: ByteWriter

    /// Starts with room for `capacity` bytes; more is allocated by doubling.
    public init(capacity: Int = 256) { writer = ByteWriter(capacity: capacity) }

    /// Bytes written so far.
    public var count: Int { writer.count }

    private mutating func tag(_ field: Int, _ type: ProtobufReader.WireType) {
        precondition(field > 0 && field < 1 << 29)
        writer.write(varint: UInt64(field) << 3 | UInt64(type.rawValue))
    }

    /// `uint64`, `uint32`, an enumeration.
    public mutating func write(_ field: Int, varint value: UInt64) {
        tag(field, .varint)
        writer.write(varint: value)
    }

    /// `int64` and `int32`: negative values take ten bytes.
    public mutating func write(_ field: Int, int64 value: Int64) { write(field, varint: UInt64(bitPattern: value)) }

    /// `sint64`: zigzag.
    public mutating func write(_ field: Int, sint64 value: Int64) { write(field, varint: UInt64(bitPattern: value << 1 ^ value >> 63)) }

    /// `bool`.
    public mutating func write(_ field: Int, bool value: Bool) { write(field, varint: value ? 1 : 0) }

    /// `fixed32`, little-endian.
    public mutating func write(_ field: Int, fixed32 value: UInt32) {
        tag(field, .fixed32)
        writer.write(integer: value.byteSwapped)
    }

    /// `fixed64`, little-endian.
    public mutating func write(_ field: Int, fixed64 value: UInt64) {
        tag(field, .fixed64)
        writer.write(integer: value.byteSwapped)
    }

    /// `double`.
    public mutating func write(_ field: Int, double value: Double) { write(field, fixed64: value.bitPattern) }

    /// `bytes` or an encoded message.
    public mutating func write(_ field: Int, _ bytes: Bytes) { bytes.withUnsafeBytes { write(field, $0) } }

    /// `bytes` or an encoded message.
    public mutating func write(_ field: Int, _ bytes: [UInt8]) { bytes.withUnsafeBytes { write(field, $0) } }

    /// `bytes` or an encoded message.
    public mutating func write(_ field: Int, _ bytes: UnsafeRawBufferPointer) {
        tag(field, .bytes)
        writer.write(varint: UInt64(bytes.count))
        writer.write(bytes)
    }

    /// `string`.
    public mutating func write(_ field: Int, _ text: String) {
        var text = text
        text.withUTF8 { write(field, UnsafeRawBufferPointer($0)) }
    }

    /// The tag and length of a `bytes` field whose `count` bytes the caller writes next with `raw(_:)` or as fields.
    public mutating func begin(_ field: Int, count: Int) {
        tag(field, .bytes)
        writer.write(varint: UInt64(count))
    }

    /// Bytes without a tag, after `begin`.
    public mutating func raw(_ bytes: Bytes) { writer.write(bytes) }

    /// An embedded message, whose fields `body` writes. Its length is put in front afterwards, which moves the message up by the bytes of
    /// that varint; `begin(_:count:)` avoids it where the size is known.
    public mutating func message<E: Error>(_ field: Int, _ body: (inout ProtobufWriter) throws(E) -> Void) throws(E) {
        tag(field, .bytes)
        let start = writer.count
        try body(&self)
        writer.insert(varint: UInt64(writer.count - start), at: start)
    }

    /// A packed `repeated uint64`; nothing when `values` is empty.
    public mutating func write(_ field: Int, packed values: [UInt64]) {
        guard !values.isEmpty else { return }
        begin(field, count: values.reduce(0) { $0 + Varint.length(of: $1) })
        for value in values { writer.write(varint: value) }
    }

    /// Ends the writing and gives the message.
    public consuming func finish() -> Bytes { writer.finish() }

    /// Size in bytes of a varint field.
    public static func size(_ field: Int, varint value: UInt64) -> Int {
        Varint.length(of: UInt64(field) << 3) + Varint.length(of: value)
    }

    /// Size in bytes of a `bytes`, `string` or message field with `count` bytes.
    public static func size(_ field: Int, count: Int) -> Int {
        Varint.length(of: UInt64(field) << 3) + Varint.length(of: UInt64(count)) + count
    }
}
