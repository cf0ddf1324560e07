/// The name of a protocol as peers negotiate it, for example `/noise` or `/ipfs/bitswap/1.2.0`.
///
/// Wire: the UTF-8 text on a line of its own; see `MultistreamMachine`.
public struct ProtocolID: Hashable, Sendable {
    /// The name as it travels.
    public let text: String

    @inlinable public init(_ text: String) { self.text = text }
}

extension ProtocolID: ExpressibleByStringLiteral, CustomStringConvertible {
    @inlinable public init(stringLiteral value: String) { text = value }
    @inlinable public var description: String { text }
}
