import WaggleBase
import WaggleFormats

/// Something that happened in the swarm.
public enum SwarmEvent: Sendable {
    case listening(Multiaddr)
    case stoppedListening(Multiaddr)
    case connected(Connection)
    case disconnected(Connection, CloseReason)
    /// The first connection with the peer stands.
    case peerConnected(PeerID)
    /// The last connection with the peer ended.
    case peerDisconnected(PeerID)
    /// The peer told who it is, or that something about it changed.
    case identified(PeerID, PeerInformation)
    /// A dial failed as a whole.
    case dialFailed(PeerID?, SwarmError)
    /// An inbound connection was turned away before any cryptography.
    case refused(IPAddress?, Refusal)
    /// A connection came to nothing between the first byte and the end of the muxer negotiation: the peer's address as far as it is known.
    /// `.handshake(.downgraded)` means that someone on the path tampered with the negotiation.
    case handshakeFailed(Direction, IPAddress?, UpgradeError)
    /// The addresses that this node tells others changed.
    case addressesChanged([Multiaddr])
    /// The protocols that this node serves changed.
    case protocolsChanged([ProtocolID])
    /// The reader was too slow: so many events before this one are lost to it.
    case missed(Int)
}
