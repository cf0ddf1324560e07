import WaggleBase
import WaggleCryptography
import WaggleFormats

/// What a peer told about itself through identify.
public struct PeerInformation: Hashable, Sendable {
    public var peer: PeerID
    /// Family of protocols, for example "ipfs/0.1.0".
    public var protocolVersion: String
    /// Program and version, for example "kubo/0.42.0/".
    public var agentVersion: String
    /// What the peer serves.
    public var protocols: [ProtocolID]
    /// Where the peer listens.
    public var listenAddresses: [Multiaddr]
    /// Where the peer sees us come from.
    public var observedAddress: Multiaddr?
    /// The envelope in which the peer certified its addresses, for passing on.
    public var signedRecord: Bytes?

    public init(
        peer: PeerID, protocolVersion: String = "", agentVersion: String = "", protocols: [ProtocolID] = [],
        listenAddresses: [Multiaddr] = [], observedAddress: Multiaddr? = nil, signedRecord: Bytes? = nil
    ) {
        self.peer = peer
        self.protocolVersion = protocolVersion
        self.agentVersion = agentVersion
        self.protocols = protocols
        self.listenAddresses = listenAddresses
        self.observedAddress = observedAddress
        self.signedRecord = signedRecord
    }
}
