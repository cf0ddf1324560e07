/// A cursor over bytes from outside: every read is bounds-checked and says nil, never traps, when the bytes end early.
public struct ByteReader: ~Escapable {
    @usableFromInline var rest: RawSpan

    @_lifetime(copy span)
    @inlinable public init(_ span: RawSpan) { rest = span }

    /// Bytes not yet read.
    @inlinable public var remaining: Int { rest.byteCount }
    @inlinable public var isAtEnd: Bool { rest.byteCount == 0 }

    /// One byte.
    @_lifetime(self: copy self)
    @inlinable public mutating func byte() -> UInt8? {
        guard rest.byteCount > 0 else { return nil }
        let value = rest.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        rest = rest.extracting(droppingFirst: 1)
        return value
    }

    /// An integer in network byte order.
    @_lifetime(self: copy self)
    @inlinable public mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) -> T? {
        guard rest.byteCount >= MemoryLayout<T>.size else { return nil }
        let value = rest.unsafeLoadUnaligned(fromByteOffset: 0, as: T.self)
        rest = rest.extracting(droppingFirst: MemoryLayout<T>.size)
        return T(bigEndian: value)
    }

    /// The next `length` bytes, still inside the original memory.
    @_lifetime(self: copy self)
    @_lifetime(copy self)
    @inlinable public mutating func take(_ length: Int) -> RawSpan? {
        guard length >= 0, length <= rest.byteCount else { return nil }
        let part = rest.extracting(first: length)
        rest = rest.extracting(droppingFirst: length)
        return part
    }

    /// An unsigned varint (multiformats unsigned-varint: canonical, at most 9 bytes); nil when short, long or not minimal.
    @_lifetime(self: copy self)
    @inlinable public mutating func varint() -> UInt64? {
        guard case .value(let value, let length) = Varint.decode(rest) else { return nil }
        rest = rest.extracting(droppingFirst: length)
        return value
    }
}
