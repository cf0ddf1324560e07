import WaggleNetwork

/// What was exchanged with a peer since it connected.
public struct BitswapLedger: Hashable, Sendable {
    public var peer: PeerID
    /// Bytes of blocks.
    public var bytesSent = 0
    public var bytesReceived = 0
    public var blocksSent = 0
    public var blocksReceived = 0
    /// Messages with blocks, both ways.
    public var exchanges = 0
    /// Wants that the peer has with us now.
    public var wants = 0

    init(_ peer: PeerID) { self.peer = peer }

    /// How much more we gave than we got: bytes sent by bytes received plus one.
    public var debtRatio: Double { Double(bytesSent) / Double(bytesReceived + 1) }
}
