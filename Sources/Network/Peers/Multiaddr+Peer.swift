import WaggleBase
import WaggleFormats

extension Multiaddr {
    /// The peer that the address ends with; nil when it names none.
    public var peer: PeerID? {
        guard let hash = peerID else { return nil }
        do { return try PeerID(hash) } catch { return nil }
    }

    /// This address with `/p2p/peer` at its end.
    public func with(peer: PeerID) -> Multiaddr {
        do { return try with(peerID: peer.multihash) } catch { return self }  // Only when it gets too long.
    }

    /// This address without `/p2p/peer` at its end; nil when it names another peer, or nothing is left.
    func withoutPeer(_ peer: PeerID) -> Multiaddr? {
        guard let hash = peerID else { return self }
        return hash == peer.multihash ? withoutPeerID : nil
    }

    /// Whether the address leads through a relay.
    var isRelayed: Bool { contains(.p2pCircuit) }

    /// The address in `bytes`; nil when it is not valid or of a kind that this build does not know.
    static func lenient(_ bytes: Bytes) -> Multiaddr? {
        do { return try Multiaddr(bytes: bytes) } catch { return nil }
    }
}
