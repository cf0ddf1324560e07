import WaggleCryptography

/// This node's key and the PeerID that follows from it.
public struct LocalIdentity: Sendable {
    /// Signs for this node.
    public let key: IdentityKeyPair
    /// What others know this node by.
    public let peer: PeerID

    public init(_ key: IdentityKeyPair) {
        self.key = key
        peer = PeerID(key.publicKey)
    }
}
