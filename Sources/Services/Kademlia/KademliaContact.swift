import WaggleFormats
import WaggleNetwork

/// A peer of the hash table and where it may be reached.
public struct KademliaContact: Hashable, Sendable {
    public var peer: PeerID
    /// Without `/p2p/…` at their ends.
    public var addresses: [Multiaddr]

    public init(peer: PeerID, addresses: [Multiaddr]) {
        self.peer = peer
        self.addresses = addresses
    }
}
