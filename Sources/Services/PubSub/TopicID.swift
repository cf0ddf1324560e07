import WaggleBase

/// The name of a topic: bytes, nearly always UTF-8 text.
public struct TopicID: Hashable, Sendable {
    /// The name as it travels.
    public let bytes: Bytes

    public init(_ text: String) { bytes = Bytes(utf8: text) }

    public init(bytes: Bytes) { self.bytes = bytes.compacted() }
}

extension TopicID: ExpressibleByStringLiteral, CustomStringConvertible, Comparable {
    public init(stringLiteral value: String) { self.init(value) }

    /// The name as text; bytes that are not UTF-8 are shown as replacement characters.
    public var description: String { bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

    /// Bytewise order.
    public static func < (left: TopicID, right: TopicID) -> Bool {
        left.bytes.withUnsafeBytes { left in right.bytes.withUnsafeBytes { right in left.lexicographicallyPrecedes(right) } }
    }
}
