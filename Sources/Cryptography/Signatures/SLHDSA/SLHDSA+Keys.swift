import CKernels
import WaggleBase

extension SLHDSA {
    /// A public key: its seed, then the root of the hypertree, n bytes each.
    public struct PublicKey: Sendable, Hashable {
        public let parameters: Parameters
        /// The bytes that are sent.
        public let encoded: Bytes

        /// Reads a key; nil when it has the wrong length. Every string of the right length is a key.
        public init?(_ bytes: Bytes, _ parameters: Parameters) {
            guard bytes.count == parameters.publicKeyLength else { return nil }
            encoded = bytes.compacted()
            self.parameters = parameters
        }

        public init?(_ bytes: RawSpan, _ parameters: Parameters) { self.init(Bytes(bytes), parameters) }
    }

    /// A private key: secret seed, secret for randomness, public seed, root, n bytes each.
    public struct PrivateKey: Sendable {
        public let publicKey: PublicKey
        /// The whole key, as the standard stores it.
        public let encoded: SecureBytes

        public var parameters: Parameters { publicKey.parameters }

        /// The key of three random values of n bytes each, one behind the other: the secret seed, the secret for randomness and the public
        /// seed (algorithm 18). Nil for any other length. Costs as much as one layer of a signature.
        public init?(seed: SecureBytes, _ parameters: Parameters) {
            guard seed.count == parameters.seedLength else { return nil }
            self.init(wipingStack { PrivateKey.expand(seed, parameters) }, parameters)
        }

        private static func expand(_ seed: SecureBytes, _ parameters: Parameters) -> SecureBytes {
            let n = parameters.hashLength
            return SecureBytes(count: parameters.privateKeyLength) { output in
                seed.withUnsafeBytes { output.copyMemory(from: $0) }
                let start = output.octets.unsafelyUnwrapped
                let workspace = Workspace(parameters, publicSeed: start + 2 * n, secret: start)
                ck_slh_tree_sign(workspace.context, start + 3 * n, nil, UInt32(parameters.layers - 1), 0, 0, nil, workspace.nodes)
            }
        }

        /// Reads a key; nil when it has the wrong length. Whether the root belongs to the seeds is not checked: a signature of a
        /// damaged key is not accepted by anybody.
        public init?(_ bytes: SecureBytes, _ parameters: Parameters) {
            guard bytes.count == parameters.privateKeyLength else { return nil }
            let half = parameters.publicKeyLength
            guard let publicKey = PublicKey(Bytes(bytes.span.extracting(half..<2 * half)), parameters) else { return nil }
            encoded = bytes
            self.publicKey = publicKey
        }
    }
}
