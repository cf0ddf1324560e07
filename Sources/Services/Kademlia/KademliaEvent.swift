import WaggleBase
import WaggleNetwork

/// What happens in a search, for those who want to watch it.
public enum KademliaEvent: Sendable {
    /// A peer is asked; it may have to be dialed first.
    case asking(PeerID)
    /// It answered and told of these.
    case answered(PeerID, closer: [KademliaContact])
    case failed(PeerID, reason: String)
    /// It has this record.
    case value(PeerID, Bytes)
    /// It knows a provider.
    case provider(PeerID, KademliaContact)
    /// The search ended with these peers, the closest first.
    case closest([KademliaContact])
}

/// Watches the searches of a task and of those that it starts:
/// ```swift
/// try await KademliaTrace.$observer.withValue({ print($0) }) { try await routing.findPeer(peer) }
/// ```
public enum KademliaTrace {
    /// Hears of every event, on the home loop; must not block.
    @TaskLocal public static var observer: (@Sendable (KademliaEvent) -> Void)?
}
