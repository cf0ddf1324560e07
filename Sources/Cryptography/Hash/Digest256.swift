import WaggleBase

/// A 32-byte digest held in place, without an allocation.
public struct Digest256: Sendable, Hashable {
    private var words: SIMD4<UInt64>

    /// Size in bytes.
    public static let count = 32

    /// 32 zero bytes.
    public init() { words = .zero }

    /// A copy of exactly 32 bytes; nil for any other length.
    public init?(_ span: RawSpan) {
        guard span.byteCount == Digest256.count else { return nil }
        words = .zero
        span.withUnsafeBytes { source in withUnsafeMutableBytes { $0.copyMemory(from: source) } }
    }

    /// Calls `body` with the 32 bytes.
    @inline(__always)
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try Swift.withUnsafeBytes(of: words, body)
    }

    @inline(__always)
    mutating func withUnsafeMutableBytes<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try Swift.withUnsafeMutableBytes(of: &words, body)
    }

    /// The digest in memory of its own.
    public var bytes: Bytes { withUnsafeBytes { Bytes(copying: $0) } }

    /// The digest as an array.
    public var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
}

extension Digest256: CustomStringConvertible {
    /// Lower-case hexadecimal.
    public var description: String { bytes.description }
}
