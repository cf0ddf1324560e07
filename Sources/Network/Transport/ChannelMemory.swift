import Synchronization

/// Which peers were seen to speak a channel, for example this node's first one when they were met last.
///
/// A dial to one of them proposes that channel alone and begins the handshake in the same write, which saves a round trip. If the memory is wrong
/// the dial fails, the peer is forgotten, and a second dial negotiates as usual; what a peer was once is never a reason to accept less.
final class ChannelMemory: Sendable {
    private struct Generations {
        var young: Set<PeerID> = []
        var old: Set<PeerID> = []
    }

    private let peers = Mutex(Generations())

    func contains(_ peer: PeerID) -> Bool {
        peers.withLock { $0.young.contains(peer) || $0.old.contains(peer) }
    }

    /// Of two generations the older one is dropped when the younger one is full.
    func insert(_ peer: PeerID) {
        peers.withLock {
            if $0.young.count >= UpgradeLimits.rememberedPeers {
                $0.old = $0.young
                $0.young = []
            }
            $0.young.insert(peer)
        }
    }

    func remove(_ peer: PeerID) {
        peers.withLock {
            $0.young.remove(peer)
            $0.old.remove(peer)
        }
    }

    var count: Int { peers.withLock { $0.young.count + $0.old.count } }
}
