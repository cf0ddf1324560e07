import WaggleBase
import WaggleCryptography

/// A handshake as a machine over bytes: it reads no clock and no socket.
///
/// The law: after the start and after every `receive` that consumed something, send what `next` gives until it says nil, then ask
/// `finish`. A handshake that threw is at its end: send what `next` still has (a refusal, nearly always nothing, so that nothing is revealed)
/// and close the connection. A handshake that has `work` goes on when that is done.
public protocol Handshake {
    /// Looks at the start of `input`, takes at most one whole message and says how many bytes that was; 0 when the message is not
    /// complete yet. What it does not take must be presented again, with more behind it.
    mutating func receive(_ input: RawSpan) throws(HandshakeError) -> Int

    /// The next bytes to send, or nil when there are none now.
    mutating func next() -> Bytes?

    /// The outcome, once: non-nil at the first call after the last message was sent and received.
    mutating func finish() -> Secured?

    /// Work that takes too long for a loop, once: do it elsewhere, then call `complete`. Until then nothing is received.
    mutating func takeWork() -> HandshakeWork?

    /// What the work gave; nil when it could not be done.
    mutating func complete(_ result: Bytes?) throws(HandshakeError)
}

/// A signature that takes tens of milliseconds (SLH-DSA): a function without side effects that may run on any thread.
public typealias HandshakeWork = @Sendable () -> Bytes?

extension Handshake {
    public mutating func takeWork() -> HandshakeWork? { nil }
    public mutating func complete(_ result: Bytes?) throws(HandshakeError) {}
}

/// A finished handshake.
public struct Secured {
    /// Who is at the other end, proven.
    public let peer: PeerID
    /// The other name of the same node, proven too: the PeerID of its second identity.
    public let alias: PeerID?
    public let key: PublicKey
    /// The muxer agreed on inside the handshake; nil when it is still to be negotiated.
    public let muxer: ProtocolID?
    /// Seals and opens what follows.
    public let records: any RecordLayer
    public let security: SecurityInfo

    public init(
        peer: PeerID, alias: PeerID? = nil, key: PublicKey, muxer: ProtocolID?, records: any RecordLayer, security: SecurityInfo
    ) {
        self.peer = peer
        self.alias = alias
        self.key = key
        self.muxer = muxer
        self.records = records
        self.security = security
    }
}

/// How a connection is secured, for people and for policies.
public struct SecurityInfo: Sendable, Hashable {
    /// The channel that was negotiated.
    public let channel: ProtocolID
    /// `X25519`, `X25519+ML-KEM-768`, `ML-KEM-768 mutual` …
    public let keyExchange: String
    /// The kind of the peer's identity key: `Ed25519`, `RSA` …; of a peer with two, both: `Ed25519+ML-DSA-65`.
    public let signature: String
    /// Whether recorded traffic stays secret from someone who can break X25519.
    public let isPostQuantum: Bool
    /// Whether both sides signed what they offered and it led to this very channel. False with peers that do not know the extension.
    public let transcriptVerified: Bool
    /// How long the session's keys may be used; the swarm closes the connection then. Nil for ever.
    public let lifetime: Duration?

    public init(
        channel: ProtocolID, keyExchange: String, signature: String, isPostQuantum: Bool, transcriptVerified: Bool, lifetime: Duration? = nil
    ) {
        self.lifetime = lifetime
        self.channel = channel
        self.keyExchange = keyExchange
        self.signature = signature
        self.isPostQuantum = isPostQuantum
        self.transcriptVerified = transcriptVerified
    }
}

/// Why a handshake failed.
public enum HandshakeError: Error, Hashable, Sendable {
    /// A frame or payload that does not follow the format.
    case malformed
    /// A message of this many bytes, more than a handshake ever needs.
    case tooLong(bytes: Int)
    /// A ciphertext, key share or signature that does not verify.
    case notAuthentic
    /// An identity key of a kind or size that is not accepted.
    case keyRefused(KeyError)
    /// The peer proved a name and is not believed it: it is known to have a second one, which it did not prove.
    case identityRefused(IdentityRefusal)
    /// Somebody else answered.
    case wrongPeer(expected: PeerID, actual: PeerID)
    /// Both sides named their muxers and have none in common.
    case noCommonMuxer
    /// Both sides signed their offers, and these lead to `expected` (nil: to nothing) and not to the channel that was negotiated: someone
    /// between them tampered with the negotiation.
    case downgraded(expected: ProtocolID?, negotiated: ProtocolID)
    /// The two nodes do not fit together, which one of them saw before any cryptography.
    case refused(HandshakeRefusal)
}

extension HandshakeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed: "a message of the handshake does not follow the format"
        case .tooLong(let bytes): "a message of \(bytes) bytes is longer than any handshake needs"
        case .notAuthentic: "the peer could not prove who it is"
        case .keyRefused(let error): "the peer's identity was refused: \(error)"
        case .identityRefused(let refusal):
            switch refusal.cause {
            case .partnerMissing(let partner): "\(refusal.peer) is one node with \(partner), which it did not prove this time"
            case .contested: "\(refusal.peer) named a second identity that belongs to another node"
            case .certificate(let error): "the certificate of \(refusal.peer) was refused (\(error))"
            }
        case .wrongPeer(let expected, let actual): "another peer answered: \(actual) in place of \(expected)"
        case .noCommonMuxer: "no muxer in common"
        case .downgraded(let expected, let negotiated):
            "someone between tampered with the negotiation: \(negotiated) came of it in place of \(expected?.text ?? "nothing")"
        case .refused(let refusal): "\(refusal)"
        }
    }
}
