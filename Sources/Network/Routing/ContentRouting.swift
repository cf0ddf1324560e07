import WaggleFormats

/// A peer that says it has some content.
public struct ContentProvider: Hashable, Sendable {
    public var peer: PeerID
    /// Where it may be reached; empty when only the peer is known.
    public var addresses: [Multiaddr]

    public init(peer: PeerID, addresses: [Multiaddr]) {
        self.peer = peer
        self.addresses = addresses
    }
}

/// Who has what: a distributed hash table, a delegated router. Exchanges of content use it through this protocol.
public protocol ContentRouting: Sendable {
    /// Looks for peers that have the block. `found` hears of each as soon as it is known and says whether to go on looking; returns when
    /// the search is over. Cancelling the task ends it early.
    func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws

    /// Tells others that this node has the block; returns when they have been told.
    func provide(_ cid: CID) async throws
}
