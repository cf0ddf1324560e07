/// A number of bytes, so that limits carry their unit.
public struct ByteCount: Comparable, Hashable, Sendable {
    public let bytes: Int

    @inlinable public init(bytes: Int) { self.bytes = bytes }
    @inlinable public static func bytes(_ count: Int) -> ByteCount { ByteCount(bytes: count) }
    @inlinable public static func kibibytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 10) }
    @inlinable public static func mebibytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 20) }
    @inlinable public static func gibibytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 30) }
    @inlinable public static func < (left: ByteCount, right: ByteCount) -> Bool { left.bytes < right.bytes }
}
