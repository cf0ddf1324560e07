import WaggleBase
import WaggleFormats
import WaggleNetwork

/// How a node takes part in publish-subscribe.
public struct PubSubConfiguration: Sendable {
    public var parameters = GossipParameters()
    public var policy = SignaturePolicy.strictSign
    /// What makes messages the same; nil for what goes with the policy: author and sequence number, or a hash of the data without authors.
    public var messageID: MessageIDRule?
    /// Which topics are noticed at all when peers subscribe to them; nil for any.
    public var allowsTopic: (@Sendable (TopicID) -> Bool)?
    /// Peers that messages are always exchanged with, and where they are; they must agree. Spec: gossipsub 1.1, "Explicit Peering Agreements".
    public var directPeers: [PeerID: [Multiaddr]] = [:]
    /// The standard for all topics' validators; nil for none.
    public var validator: Validator?
    /// Whether an author's messages must have rising sequence numbers, which keeps old ones from going round in large networks.
    public var checksSequence = false

    public init() {}
}

/// Looks at messages before they are delivered and forwarded.
public struct Validator: Sendable {
    enum Kind: Sendable {
        case sync(@Sendable (PubSubMessage) -> Validation)
        case async(@Sendable (PubSubMessage) async -> Validation, limit: Int)
    }

    let kind: Kind

    /// Decides at once. It runs on the connection's loop: a few microseconds at most.
    public static func sync(_ body: @escaping @Sendable (PubSubMessage) -> Validation) -> Validator { Validator(kind: .sync(body)) }

    /// Decides in its own time, 30 s at most. When more than `limit` messages wait for it, further ones are dropped.
    public static func async(limit: Int = 256, _ body: @escaping @Sendable (PubSubMessage) async -> Validation) -> Validator {
        Validator(kind: .async(body, limit: max(1, limit)))
    }
}

/// Why publish-subscribe does not do what was asked.
public enum PubSubError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The service is not registered, or the node is closed.
    case stopped
    /// The message does not fit an RPC, or the topic's limit.
    case tooLarge(limit: Int)
    /// Empty, or longer than `PubSubLimits.topicName`.
    case badTopicName
    /// Our own validator refused the message.
    case refused
    /// The identity could not sign.
    case notSigned

    public var description: String {
        switch self {
        case .stopped: "publish-subscribe does not run"
        case .tooLarge(let limit): "the message is too large: at most \(limit) bytes fit"
        case .badTopicName: "a topic has a name of 1 to \(PubSubLimits.topicName) bytes"
        case .refused: "the topic's validator refused the message"
        case .notSigned: "the message could not be signed"
        }
    }
}
