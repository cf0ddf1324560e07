import WaggleBase

/// Up to 40 bytes inside the value itself, more in memory of their own: what hashes and CIDs are kept in.
///
/// Nearly all of them fit (a CID with a 32-byte digest has 34 to 39 bytes), so that a link, a want or a visited block costs 48 bytes and no
/// allocation or reference count.
struct CompactBytes: Sendable {
    private enum Storage: Sendable {
        /// The bytes, followed by zeros, and how many they are.
        case inline(Words, UInt8)
        case heap(Bytes)
    }

    private struct Words: Hashable, Sendable {
        var first: UInt64 = 0
        var second: UInt64 = 0
        var third: UInt64 = 0
        var fourth: UInt64 = 0
        var fifth: UInt64 = 0
    }

    private let storage: Storage

    private static let inlineCount = 40

    /// A copy of `bytes`.
    init(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= CompactBytes.inlineCount else {
            storage = .heap(Bytes(copying: bytes))
            return
        }
        var words = Words()
        Swift.withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
        storage = .inline(words, UInt8(truncatingIfNeeded: bytes.count))
    }

    /// A copy of the parts one behind the other.
    init(_ header: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer) {
        let count = header.count + rest.count
        guard count <= CompactBytes.inlineCount else {
            var writer = ByteWriter(capacity: count)
            writer.write(header)
            writer.write(rest)
            storage = .heap(writer.finish())
            return
        }
        var words = Words()
        Swift.withUnsafeMutableBytes(of: &words) { target in
            target.copyMemory(from: header)
            UnsafeMutableRawBufferPointer(rebasing: target[header.count...]).copyMemory(from: rest)
        }
        storage = .inline(words, UInt8(truncatingIfNeeded: count))
    }

    var count: Int {
        switch storage {
        case .inline(_, let count): Int(count)
        case .heap(let bytes): bytes.count
        }
    }

    /// Calls `body` with the bytes; the pointer must not escape.
    func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        switch storage {
        case .inline(let words, let count):
            try Swift.withUnsafeBytes(of: words) { bytes throws(E) in try body(UnsafeRawBufferPointer(rebasing: bytes[..<Int(count)])) }
        case .heap(let bytes): try bytes.withUnsafeBytes(body)
        }
    }

    /// Calls `body` with the bytes from `offset` on.
    func withUnsafeBytes<R, E: Error>(from offset: Int, _ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try withUnsafeBytes { bytes throws(E) in try body(UnsafeRawBufferPointer(rebasing: bytes[offset...])) }
    }

    /// The bytes from `offset` on: a copy, or a window where they are not inside the value.
    func bytes(from offset: Int = 0) -> Bytes {
        switch storage {
        case .inline: withUnsafeBytes(from: offset) { Bytes(copying: $0) }
        case .heap(let bytes): offset == 0 ? bytes : bytes[offset..<bytes.count]
        }
    }

    /// The canonical varint at `offset`, which was checked when the bytes came in.
    func varint(at offset: Int) -> UInt64 {
        withUnsafeBytes(from: offset) { bytes in
            guard let first = bytes.first, first >= 0x80 else { return UInt64(bytes.first ?? 0) }
            guard case .value(let value, _) = Varint.decode(bytes.bytes) else { return 0 }
            return value
        }
    }
}

extension CompactBytes: Hashable {
    static func == (left: CompactBytes, right: CompactBytes) -> Bool {
        switch (left.storage, right.storage) {
        case (.inline(let left, let leftCount), .inline(let right, let rightCount)): left == right && leftCount == rightCount
        case (.heap(let left), .heap(let right)): left == right
        default: false
        }
    }

    func hash(into hasher: inout Hasher) { withUnsafeBytes { hasher.combine(bytes: $0) } }
}

extension Varint {
    /// Calls `body` with the encodings of `values` one behind the other: a header that is too short to be worth memory of its own.
    static func withBytes<R, E: Error>(
        _ values: (UInt64, UInt64, UInt64?, UInt64?), _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        // Four varints of at most ten bytes.
        var words: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
        var count = 0
        Swift.withUnsafeMutableBytes(of: &words) { target in
            for value in [values.0, values.1, values.2, values.3] {
                guard var value else { continue }
                while value >= 0x80 {
                    target[count] = UInt8(truncatingIfNeeded: value) | 0x80
                    value >>= 7
                    count += 1
                }
                target[count] = UInt8(value)
                count += 1
            }
        }
        return try Swift.withUnsafeBytes(of: words) { bytes throws(E) in try body(UnsafeRawBufferPointer(rebasing: bytes[..<count])) }
    }
}
