import WaggleBase
import WaggleCryptography

/// A way to secure a byte stream: names itself in the negotiation and makes a handshake for each connection.
///
/// To add one: a folder in `Stack/Channels` and a line in the catalog.
public protocol SecureChannel: Sendable {
    /// What the two sides negotiate.
    var protocolID: ProtocolID { get }
    /// Whether recorded traffic stays secret from someone who can break X25519.
    var isPostQuantum: Bool { get }
    /// A handshake that has sent and received nothing.
    func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake
}

/// Which side of a connection this is.
public enum Role: Sendable, Hashable {
    /// The side that dialled.
    case initiator
    /// The side that listened.
    case responder
}

/// What a handshake needs to know of the connection it is for.
public struct HandshakeParameters: Sendable {
    public var role: Role
    /// The only peer that is accepted; nil accepts any.
    public var expectedPeer: PeerID?
    /// The muxers to choose from inside the handshake, best first; empty leaves the choice to a negotiation afterwards.
    public var muxers: [ProtocolID]
    /// All channels that this side offers (initiator) or accepts (responder) on this connection, best first, so that the two sides can
    /// find out whether someone tampered with the negotiation. Empty when the channel was not negotiated.
    public var configuredChannels: [ProtocolID]
    /// `randomLength` bytes fit for keys, used for this handshake only.
    public var random: SecureBytes

    /// An X25519 key (32), the seed of an ML-KEM key (64) and the message of an encapsulation (32), in bytes.
    public static let randomLength = 128

    public init(
        role: Role, expectedPeer: PeerID? = nil, muxers: [ProtocolID] = [], configuredChannels: [ProtocolID] = [], random: SecureBytes
    ) {
        self.role = role
        self.expectedPeer = expectedPeer
        self.muxers = muxers
        self.configuredChannels = configuredChannels
        self.random = random
    }
}
