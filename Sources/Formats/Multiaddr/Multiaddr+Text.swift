import WaggleBase

extension Multiaddr: CustomStringConvertible, LosslessStringConvertible {
    /// The address written in `text`. Slashes at its end are ignored.
    public init(parsing text: String) throws(MultiaddrError) {
        guard text.utf8.count <= FormatsLimits.multiaddrTextBytes else { throw .tooLong }
        let slash = UInt8(ascii: "/")
        var text = Array(text.utf8)[...]
        guard text.first == slash else { throw .empty }
        while text.last == slash { text.removeLast() }
        guard !text.isEmpty else { throw .empty }
        var parts = text.split(separator: slash, omittingEmptySubsequences: false).dropFirst().map { String(decoding: $0, as: UTF8.self) }[...]
        var writer = ByteWriter(capacity: text.count)
        while let name = parts.popFirst() {
            guard let kind = MultiaddrProtocol(name: name) else { throw .unknownName(name) }
            if kind == .unix {
                try Component(kind, text: parts.joined(separator: "/")).encode(to: &writer)
                parts = []
            } else if kind.hasValue {
                guard let value = parts.popFirst() else { throw .invalidValue(kind) }
                try Component(kind, text: value).encode(to: &writer)
            } else {
                Component(checked: kind, Bytes()).encode(to: &writer)
            }
        }
        try self.init(bytes: writer.finish())
    }

    /// The address written in `text`; nil when it is none. `init(parsing:)` says why.
    public init?(_ text: String) {
        do { try self.init(parsing: text) } catch { return nil }
    }

    /// The canonical text.
    public var description: String { components.map(\.description).joined() }
}

/// Why bytes or text are not a multiaddr.
public enum MultiaddrError: Error, Equatable, Sendable {
    /// No component, or text that does not begin with a slash.
    case empty
    /// More than `FormatsLimits.multiaddrBytes`, or text of more than `FormatsLimits.multiaddrTextBytes`.
    case tooLong
    /// The bytes end inside a component, or a varint is malformed.
    case truncated
    /// No protocol has this code.
    case unknownProtocol(UInt64)
    /// No protocol has this name.
    case unknownName(String)
    /// A value is missing or does not suit its protocol.
    case invalidValue(MultiaddrProtocol)
    /// A component behind a path, which text cannot express.
    case afterPath
}
