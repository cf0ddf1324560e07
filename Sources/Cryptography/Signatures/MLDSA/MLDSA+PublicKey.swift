import CKernels
import WaggleBase

extension MLDSA {
    /// A public key: 32 bytes of seed for the matrix, then 320 bytes for each row of `t` (algorithm 22).
    ///
    /// The matrix is expanded at each verification, so that a key costs no more memory than its bytes.
    public struct PublicKey: Sendable, Hashable {
        public let parameters: Parameters
        /// The bytes that are sent.
        public let encoded: Bytes
        /// The standard's tr, 64 bytes of SHAKE256 of the encoding.
        let digest: Representative

        init(encoded: Bytes, _ parameters: Parameters) {
            self.parameters = parameters
            self.encoded = encoded
            var sponge = KeccakSponge(rate: 136, domain: .shake)
            encoded.withUnsafeBytes { sponge.absorb($0) }
            var digest = Representative.zero
            withUnsafeMutableBytes(of: &digest) { sponge.squeeze(into: $0) }
            self.digest = digest
        }

        /// Reads a key; nil when it has the wrong length. Every string of the right length is a key.
        public init?(_ bytes: Bytes, _ parameters: Parameters) {
            guard bytes.count == parameters.publicKeyLength else { return nil }
            self.init(encoded: bytes.compacted(), parameters)
        }

        public init?(_ bytes: RawSpan, _ parameters: Parameters) { self.init(Bytes(bytes), parameters) }

        /// Whether `signature` is this key's for the message in this context (algorithm 3). No input makes it fail otherwise than with
        /// false: wrong lengths, a context over 255 bytes, a malformed hint.
        public func verify(_ signature: Bytes, of message: Bytes, context: Bytes = Bytes()) -> Bool {
            guard let context = SignatureContext(context, isPreHashed: false) else { return false }
            return verify(signature, MLDSA.representative(digest, context.prefix, message))
        }

        public func verify(_ signature: RawSpan, of message: RawSpan, context: Bytes = Bytes()) -> Bool {
            verify(Bytes(signature), of: Bytes(message), context: context)
        }

        /// The same for a message that was hashed before (algorithm 5).
        public func verify(_ signature: Bytes, ofHashed message: Bytes, _ hash: PreHash, context: Bytes = Bytes()) -> Bool {
            guard let context = SignatureContext(context, isPreHashed: true) else { return false }
            return verify(signature, MLDSA.representative(digest, context.prefix, hash.encode(message.span)))
        }

        /// The same for a representative that was computed elsewhere (external µ); false unless it has 64 bytes.
        public func verify(_ signature: Bytes, ofRepresentative representative: Bytes) -> Bool {
            guard let representative = MLDSA.representative(representative) else { return false }
            return verify(signature, representative)
        }

        /// The same without context and prefix (algorithm 8), for tests of the standard.
        package func verify(_ signature: Bytes, ofBare message: Bytes) -> Bool {
            verify(signature, MLDSA.representative(digest, message))
        }

        /// The 64 bytes that stand for a message under this key; nil when the context has over 255 bytes.
        public func representative(of message: Bytes, context: Bytes = Bytes()) -> Bytes? {
            guard let context = SignatureContext(context, isPreHashed: false) else { return nil }
            return MLDSA.bytes(MLDSA.representative(digest, context.prefix, message))
        }

        public static func == (left: PublicKey, right: PublicKey) -> Bool {
            left.parameters == right.parameters && left.encoded == right.encoded
        }

        public func hash(into hasher: inout Hasher) { hasher.combine(encoded) }
    }
}
