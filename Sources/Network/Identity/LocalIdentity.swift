import WaggleCryptography

/// This node's key and the PeerID that follows from it.
public struct LocalIdentity: Sendable {
    /// Signs for this node.
    public let key: IdentityKeyPair
    /// What others know this node by.
    public let peer: PeerID
    /// A post-quantum identity beside it, for peers that can verify one; nil for none.
    public let second: SecondIdentity?

    public init(_ key: IdentityKeyPair, second: SecondIdentity? = nil) {
        self.key = key
        self.second = second
        peer = PeerID(key.publicKey)
    }
}
