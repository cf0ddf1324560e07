import WaggleFormats

/// Why a bitswap message cannot be used, or a block cannot be fetched.
public enum BitswapError: Error, Hashable, Sendable {
    /// Not the protobuf message, a CID or a prefix that is none.
    case malformed
    /// More items than `BitswapLimits` allow in one message.
    case tooManyItems
    /// The node's bitswap has ended.
    case stopped
    /// The peer misbehaved and is ignored for a while.
    case ignored
}
