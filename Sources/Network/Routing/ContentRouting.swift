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

    /// Tells others that this node has these blocks, which come in the order of their Kademlia hashes (SHA-256 of the multihash), so that
    /// one look at a region of the key space serves many. Returns when all have been tried. The default provides one after the other.
    func provide(many cids: [CID]) async throws -> ProvideOutcome
}

/// What came of announcing many blocks.
public struct ProvideOutcome: Sendable {
    /// Blocks that nobody could be told of.
    public var failed: [CID] = []
    /// Records stored: pairs of a block and a peer that was told.
    public var records = 0
    /// Different peers that were told.
    public var peers = 0
    /// Searches through the network that it took.
    public var lookups = 0

    public init() {}
}

extension ContentRouting {
    public func provide(many cids: [CID]) async throws -> ProvideOutcome {
        var outcome = ProvideOutcome()
        for cid in cids {
            try Task.checkCancellation()
            do {
                try await provide(cid)
                outcome.records += 1
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                outcome.failed.append(cid)
            }
            outcome.lookups += 1
        }
        return outcome
    }
}
