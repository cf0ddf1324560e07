import WaggleBase
import WaggleNetwork

/// Why the hash table could not do what was asked.
public enum KademliaError: Error, Hashable, Sendable {
    /// The table is empty: this node knows no server of the network.
    case noPeers
    /// The key has no namespace, one without a validator, or is too long.
    case invalidKey
    /// The value may not stand under its key.
    case invalidValue
    /// A better value stands under the key already.
    case outdated
    /// Nobody took the record.
    case notStored
    case notFound
    /// The peer's answer is not one to what was asked.
    case badAnswer(PeerID)
    /// The service does not run.
    case closed
}

extension KademliaError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noPeers: "failed to find any peer in table"
        case .invalidKey: "invalid record keytype"
        case .invalidValue: "the value may not stand under this key"
        case .outdated: "can't replace a newer value with an older value"
        case .notStored: "no peer took the record"
        case .notFound: "routing: not found"
        case .badAnswer(let peer): "\(peer.short) gave an answer that does not fit the question"
        case .closed: "the routing service is closed"
        }
    }
}
