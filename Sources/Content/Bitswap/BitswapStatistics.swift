import WaggleFormats
import WaggleNetwork

/// Totals of a node's bitswap since its start.
public struct BitswapStatistics: Hashable, Sendable {
    /// Blocks that are being fetched.
    public var wantlist: [CID] = []
    /// Connected peers, sorted.
    public var peers: [PeerID] = []
    public var blocksReceived = 0
    public var bytesReceived = 0
    /// Blocks that had come from elsewhere already, or were cancelled.
    public var duplicateBlocks = 0
    /// Blocks that nobody asked for.
    public var unrequestedBlocks = 0
    public var blocksSent = 0
    public var bytesSent = 0
    public var messagesReceived = 0
    public var messagesSent = 0
}
