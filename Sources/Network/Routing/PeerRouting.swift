import WaggleFormats

/// Where peers are: a distributed hash table, a delegated router. The swarm asks it about peers of which it knows no address.
public protocol PeerRouting: Sendable {
    /// Addresses of `peer`, without `/p2p/…` at their ends; empty when nobody knows any. Cancelling the task ends the search.
    func findPeer(_ peer: PeerID) async throws -> [Multiaddr]
}
