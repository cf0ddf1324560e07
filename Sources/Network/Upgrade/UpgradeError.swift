import WaggleCryptography

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
    /// The peer ended it when it saw this node's identity, which is of a kind that many do not know.
    case turnedAway(KeyKind)
}

extension UpgradeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .negotiation(let error): "the peer does not negotiate as it should (\(error))"
        case .handshake(let error): "\(error)"
        case .record(let error): "a record could not be opened (\(error))"
        case .noCommonChannel: "no channel in common"
        case .classicalPeer: "the peer has no post-quantum channel, and the policy 'require' allows no other"
        case .noCommonMuxer: "no muxer in common"
        case .timedOut: "timed out"
        case .truncated: "the peer ended the connection"
        case .turnedAway(let kind):
            "the peer ended the connection when it saw this node's \(kind) identity; programs that do not know this kind of key do that"
        }
    }
}
