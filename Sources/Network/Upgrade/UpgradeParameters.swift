import WaggleBase
import WaggleCryptography

/// What a connection is upgraded with.
public struct UpgradeParameters: Sendable {
    public var role: Role
    /// The channels to offer or accept, best first: what the security policy left of the catalog.
    public var channels: [any SecureChannel]
    /// The muxers to offer or accept, best first.
    public var muxers: [ProtocolID]
    /// The only peer that is accepted; nil accepts any.
    public var expectedPeer: PeerID?
    /// `HandshakeParameters.randomLength` bytes fit for keys, used for this connection only.
    public var random: SecureBytes
    /// Dialer only: the peer is known to speak the first channel, so that nothing but it is proposed and the handshake begins in the same
    /// write, which saves a round trip. A peer that refuses it after all ends the upgrade with `noCommonChannel`; dial again
    /// without the assumption then.
    public var assumesFirstChannel: Bool

    public init(
        role: Role, channels: [any SecureChannel], muxers: [ProtocolID], expectedPeer: PeerID? = nil, random: SecureBytes,
        assumesFirstChannel: Bool = false
    ) {
        self.role = role
        self.channels = channels
        self.muxers = muxers
        self.expectedPeer = expectedPeer
        self.random = random
        self.assumesFirstChannel = assumesFirstChannel
    }
}

/// An upgraded connection.
public struct Upgraded {
    public let secured: Secured
    /// The muxer both sides agreed on.
    public let muxer: ProtocolID
    /// Plaintext that came behind the muxer negotiation in the same record: the first input of the muxer. Mostly empty.
    public let leftover: Bytes

    public init(secured: Secured, muxer: ProtocolID, leftover: Bytes) {
        self.secured = secured
        self.muxer = muxer
        self.leftover = leftover
    }
}
