import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// A message of a topic, as it was received or published. The bytes are windows onto what arrived; nothing is decoded before it is asked for.
public struct PubSubMessage: Sendable {
    let message: GossipMessage
    /// Where it was published.
    public let topic: TopicID
    /// Who sent it to us, which need not be its author; ourselves for what we publish.
    public let receivedFrom: PeerID

    /// What was published.
    public var data: Bytes { message.data }

    /// Who published it; nil in networks without authors, or when the field is not a PeerID.
    public var author: PeerID? {
        guard message.fromPart.count > 0 else { return nil }
        do { return try PeerID(bytes: message.from) } catch { return nil }
    }

    /// The author's number of the message, as it travels: 8 bytes in network byte order; empty in networks without authors.
    public var sequence: Bytes { message.sequence }

    /// The sequence number; nil when it is not 8 bytes.
    public var sequenceNumber: UInt64? {
        let bytes = message.sequence
        return bytes.count == 8 ? bytes.reduce(0) { $0 << 8 | UInt64($1) } : nil
    }

    /// The author's signature and, where its PeerID does not carry it, its key; empty when absent.
    public var signature: Bytes { message.signature }
    public var key: Bytes { message.key }
}

/// What makes two messages one and the same. All of a network must agree on it.
public struct MessageIDRule: Sendable {
    enum Kind: Sendable {
        case authorAndSequence
        case contentHash
        case custom(@Sendable (PubSubMessage) -> Bytes)
    }

    let kind: Kind

    /// The author's PeerID and the sequence number put together: what all implementations do by default.
    public static let authorAndSequence = MessageIDRule(kind: .authorAndSequence)

    /// SHA2-256 of the data: for networks without authors.
    public static let contentHash = MessageIDRule(kind: .contentHash)

    /// What `id` says; at most 256 bytes of it are used. It must be quick, it runs for every copy that arrives.
    public static func custom(_ id: @escaping @Sendable (PubSubMessage) -> Bytes) -> MessageIDRule { MessageIDRule(kind: .custom(id)) }
}

/// Whether messages are signed, and whether others have to be.
public enum SignaturePolicy: String, Sendable, CaseIterable {
    /// Every message has an author, a sequence number and a valid signature. The default everywhere.
    case strictSign
    /// No message has any of these: authors stay unknown.
    case strictNoSign
    /// Author and sequence number, but no signature: what Kubo does with `Pubsub.DisableSigning`.
    case authorOnly
}

/// What a validator says of a message.
public enum Validation: Sendable {
    /// Deliver and forward it.
    case accept
    /// It breaks the topic's rules: drop it, and blame who sent it.
    case reject
    /// Drop it without blame.
    case ignore
}
