/// An immutable window into shared memory: the type in which bytes travel through Waggle without being copied.
///
/// Slicing, passing and storing a `Bytes` costs a reference count. Bytes that must outlive a large block they are a small
/// part of should be `compacted()`.
public struct Bytes: Sendable {
    @usableFromInline let storage: ByteStorage
    @usableFromInline let lower: Int
    @usableFromInline let upper: Int

    @usableFromInline static let nothing = ByteStorage(capacity: 0)

    /// No bytes.
    @inlinable public init() { self.init(storage: Bytes.nothing, range: 0..<0) }

    /// A window onto `range` of `storage`, whose bytes there must not be written any more.
    @inlinable public init(storage: ByteStorage, range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= storage.capacity)
        self.storage = storage
        lower = range.lowerBound
        upper = range.upperBound
    }

    /// A copy of `source`.
    public init(copying source: UnsafeRawBufferPointer) {
        let storage = ByteStorage(capacity: source.count)
        storage.buffer.copyMemory(from: source)
        self.init(storage: storage, range: 0..<source.count)
    }

    /// A copy of `array`.
    public init(_ array: [UInt8]) { self = array.withUnsafeBytes { Bytes(copying: $0) } }

    /// A copy of the bytes in `span`.
    public init(_ span: RawSpan) { self = span.withUnsafeBytes { Bytes(copying: $0) } }

    /// The UTF-8 bytes of `string`.
    public init(utf8 string: String) {
        var string = string
        self = string.withUTF8 { Bytes(copying: UnsafeRawBufferPointer($0)) }
    }

    /// `count` bytes written by `body`, which returns how many of them it initialised.
    public init(count: Int, filling body: (UnsafeMutableRawBufferPointer) throws -> Int) rethrows {
        let storage = ByteStorage(capacity: count)
        let filled = try body(storage.buffer)
        self.init(storage: storage, range: 0..<filled)
    }

    /// The bytes, for bounds-checked parsing without a copy.
    @inlinable public var span: RawSpan {
        @_lifetime(borrow self) get {
            let span = RawSpan(_unsafeStart: storage.base + lower, byteCount: upper - lower)
            return _overrideLifetime(span, borrowing: self)
        }
    }

    /// Calls `body` with the bytes; the pointer must not escape.
    @inlinable public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: storage.base + lower, count: upper - lower))
    }

    /// How many bytes of memory the window keeps alive.
    @inlinable public var retained: Int { storage.capacity }

    /// The same bytes in memory of their own when the window uses less than half of what it keeps alive, else `self`.
    public func compacted() -> Bytes { count * 2 < storage.capacity ? Bytes(span) : self }

    /// The bytes as an array (a copy).
    public var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

    /// The bytes read as UTF-8, or nil when they are not valid UTF-8.
    public var utf8: String? { withUnsafeBytes { String(validating: $0, as: UTF8.self) } }
}

extension Bytes: RandomAccessCollection {
    @inlinable public var startIndex: Int { 0 }
    @inlinable public var endIndex: Int { upper - lower }
    @inlinable public var count: Int { upper - lower }

    @inlinable public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count)
        return storage.base.load(fromByteOffset: lower + index, as: UInt8.self)
    }

    /// A window onto a part of this one; its first index is 0, unlike an `ArraySlice`'s.
    @inlinable public subscript(range: Range<Int>) -> Bytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return Bytes(storage: storage, range: lower + range.lowerBound..<lower + range.upperBound)
    }

    @inlinable public func prefix(_ length: Int) -> Bytes { self[0..<Swift.min(length, count)] }
    @inlinable public func dropFirst(_ length: Int = 1) -> Bytes { self[Swift.min(length, count)..<count] }

    @inlinable public func withContiguousStorageIfAvailable<R>(_ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R? {
        try withUnsafeBytes { try body($0.assumingMemoryBound(to: UInt8.self)) }
    }
}

extension Bytes: Hashable {
    public static func == (left: Bytes, right: Bytes) -> Bool {
        guard left.count == right.count else { return false }
        return left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                var index = 0
                while index + 8 <= left.count {
                    let (leftWord, rightWord) = (
                        left.loadUnaligned(fromByteOffset: index, as: UInt64.self), right.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                    guard leftWord == rightWord else { return false }
                    index += 8
                }
                while index < left.count {
                    guard left[index] == right[index] else { return false }
                    index += 1
                }
                return true
            }
        }
    }

    public func hash(into hasher: inout Hasher) { withUnsafeBytes { hasher.combine(bytes: $0) } }
}

extension Bytes: ExpressibleByArrayLiteral, ExpressibleByStringLiteral, CustomStringConvertible {
    public init(arrayLiteral elements: UInt8...) { self.init(elements) }
    public init(stringLiteral value: String) { self.init(utf8: value) }

    /// Lower-case hexadecimal, cut after 64 bytes.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text = ""
        for byte in prefix(64) {
            text.unicodeScalars.append(Unicode.Scalar(digits[Int(byte >> 4)]))
            text.unicodeScalars.append(Unicode.Scalar(digits[Int(byte & 15)]))
        }
        return count > 64 ? "\(text)… (\(count) bytes)" : text
    }
}
