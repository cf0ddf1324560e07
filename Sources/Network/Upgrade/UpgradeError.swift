/// Why a raw connection did not become a secured and multiplexed one.
public enum UpgradeError: Error, Hashable, Sendable {
    /// The other side does not negotiate as it should.
    case negotiation(NegotiationError)
    /// The handshake of the channel failed.
    case handshake(HandshakeError)
    /// A record of the muxer negotiation could not be opened.
    case record(RecordError)
    /// The two sides have no channel in common.
    case noCommonChannel
    /// This side insists on post-quantum channels and the peer speaks none of them.
    case classicalPeer
    /// The two sides have no muxer in common.
    case noCommonMuxer
    /// It took longer than `UpgradeLimits.duration`.
    case timedOut
    /// The other side ended the connection midway.
    case truncated
}
