/// A growing block of bytes that becomes a `Bytes` without a copy.
public struct ByteWriter: ~Copyable {
    @usableFromInline var storage: ByteStorage
    /// Bytes written so far.
    public private(set) var count = 0

    /// Starts with room for `capacity` bytes; more is allocated by doubling.
    public init(capacity: Int = 256) { storage = ByteStorage(capacity: capacity) }

    private mutating func reserve(_ extra: Int) {
        guard count + extra > storage.capacity else { return }
        let larger = ByteStorage(capacity: max(storage.capacity * 2, count + extra))
        larger.base.copyMemory(from: storage.base, byteCount: count)
        storage = larger
    }

    /// Appends one byte.
    public mutating func write(_ byte: UInt8) {
        reserve(1)
        storage.base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    /// Appends an integer in network byte order.
    public mutating func write<T: FixedWidthInteger & BitwiseCopyable>(integer value: T) {
        reserve(MemoryLayout<T>.size)
        storage.base.storeBytes(of: value.bigEndian, toByteOffset: count, as: T.self)
        count += MemoryLayout<T>.size
    }

    /// Appends an unsigned varint (up to ten bytes, as protobuf needs).
    public mutating func write(varint value: UInt64) {
        var value = value
        while value >= 0x80 {
            write(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        write(UInt8(value))
    }

    /// Puts an unsigned varint in front of the bytes written since `offset`, moving those up: for a length that is known last.
    public mutating func insert(varint value: UInt64, at offset: Int) {
        precondition(offset >= 0 && offset <= count)
        let end = count
        write(varint: value)
        let length = count - end
        guard offset < end else { return }
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { varint in
            varint.baseAddress?.copyMemory(from: storage.base + end, byteCount: length)
            (storage.base + offset + length).copyMemory(from: storage.base + offset, byteCount: end - offset)
            varint.baseAddress.map { (storage.base + offset).copyMemory(from: $0, byteCount: length) }
        }
    }

    /// Appends raw memory.
    public mutating func write(_ source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress, !source.isEmpty else { return }
        reserve(source.count)
        (storage.base + count).copyMemory(from: start, byteCount: source.count)
        count += source.count
    }

    public mutating func write(_ bytes: Bytes) { bytes.withUnsafeBytes { write($0) } }
    public mutating func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }
    public mutating func write(_ span: RawSpan) { span.withUnsafeBytes { write($0) } }
    public mutating func write(utf8 string: String) {
        var string = string
        string.withUTF8 { write(UnsafeRawBufferPointer($0)) }
    }

    /// Ends the writing and gives the bytes.
    public consuming func finish() -> Bytes { Bytes(storage: storage, range: 0..<count) }
}
