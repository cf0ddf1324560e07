import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// `/animica/1`: the pure post-quantum channel of chain networks.
///
/// Both sides prove who they are with ML-DSA-65 or SLH-DSA-SHAKE-128s and agree on keys with ML-KEM-768 in both directions; no classical
/// algorithm is involved. Byte by byte, with its security argument, in `docs/specs/animica-channel.md`.
///
/// The folder: `AnimicaMachine` is the handshake over `AnimicaFrame`, `AnimicaHello` and `AnimicaSchedule` (transcript and keys);
/// `AnimicaPairProof` what nodes with two identities add; `AnimicaRecords` the records; `AlgorithmPolicy` what a network allows.
public struct AnimicaChannel: SecureChannel {
    public static let id: ProtocolID = "/animica/1"

    /// The network that a node belongs to.
    public struct Network: Hashable, Sendable {
        /// The chain's number. Nodes of different chains refuse each other.
        public var chain: UInt64
        /// What the network allows. Nodes with different policies refuse each other.
        public var policy: AlgorithmPolicy

        public init(chain: UInt64, policy: AlgorithmPolicy = .standard) {
            self.chain = chain
            self.policy = policy
        }
    }

    /// The identity that signs: the node's own, or the second one of a node with two.
    let key: IdentityKeyPair
    /// What a node with two identities shows besides.
    let pair: AnimicaPairProof?
    let network: Network
    /// What this node is reached over, told to peers: "tcp".
    let transports: [String]
    /// Which peers have two identities; nil for a node that does not ask.
    let bindings: IdentityBindings?
    /// The algorithm of our identity.
    let signature: AlgorithmPolicy.Algorithm
    /// When keys change; other values than the standard ones are for tests.
    var schedule = AnimicaDirection.Schedule()

    /// Nil when the policy allows the algorithm of neither the identity nor its second one.
    ///
    /// A node with two identities, of which the first is of Ed25519, signs with the second and shows the first beside it.
    public init?(identity: LocalIdentity, network: Network, transports: [String], bindings: IdentityBindings? = nil) {
        pair = AnimicaPairProof(identity)
        key = pair?.second.key ?? identity.key
        guard let signature = AnimicaChannel.algorithm(of: key.publicKey.kind), network.policy.allows(.signature, signature.id) else {
            return nil
        }
        self.network = network
        self.transports = transports
        self.bindings = bindings
        self.signature = signature
    }

    public var protocolID: ProtocolID { AnimicaChannel.id }
    public var isPostQuantum: Bool { true }

    public func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake { AnimicaMachine(self, parameters) }

    /// What this node's hello says, with all ciphers on offer.
    var hello: AnimicaHello {
        AnimicaHello(
            chain: network.chain, policyRoot: network.policy.root, kem: AlgorithmPolicy.Algorithm.mlKEM768.id, signature: signature.id,
            ciphers: network.policy.ids(.cipher))
    }

    /// The algorithm that keys of this kind sign with; nil when the channel does not know it.
    static func algorithm(of kind: PublicKey.Kind) -> AlgorithmPolicy.Algorithm? {
        switch kind {
        case .mlDSA65: .mlDSA65
        case .slhDSAShake128s: .slhDSAShake128s
        case .rsa, .ed25519, .secp256k1, .ecdsa, .mlDSA44, .mlDSA87: nil
        }
    }

    /// The record cipher of this id.
    static func cipher(_ id: UInt16) -> RecordCipher.Algorithm? {
        switch id {
        case AlgorithmPolicy.Algorithm.chaCha20Poly1305.id: .chaCha20Poly1305
        case AlgorithmPolicy.Algorithm.aes256GCM.id: .aes256GCM
        default: nil
        }
    }
}
