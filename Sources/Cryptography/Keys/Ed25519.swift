import COpenSSL
import WaggleBase

/// Signatures on edwards25519 (RFC 8032, PureEdDSA).
public enum Ed25519 {
    /// Size of a seed and of a public key in bytes.
    public static let keyLength = 32
    /// Size of a signature in bytes.
    public static let signatureLength = 64

    /// A signing key.
    public struct PrivateKey: Sendable {
        private let handle: KeyHandle
        /// The 32-byte public key.
        public let publicKey: Bytes

        /// The key of a 32-byte seed; nil for any other length.
        public init?(seed: RawSpan) {
            guard seed.byteCount == Ed25519.keyLength else { return nil }
            let made = seed.withUnsafeBytes { EVP_PKEY_new_raw_private_key_ex(nil, "ED25519", nil, $0.octets, $0.count) }
            guard let handle = KeyHandle(made) else { return nil }
            self.handle = handle
            publicKey = Bytes(count: Ed25519.keyLength) {
                var length = $0.count
                return EVP_PKEY_get_raw_public_key(handle.pointer, $0.octets, &length) == 1 ? length : 0
            }
        }

        public init?(seed: SecureBytes) { self.init(seed: seed.span) }

        /// The 64-byte signature of `message`.
        public func sign(_ message: RawSpan) -> Bytes {
            message.withUnsafeBytes { available(handle.sign($0, digest: nil), "an Ed25519 signature") }
        }
    }

    /// A verification key.
    public struct PublicKey: Sendable {
        private let handle: KeyHandle

        /// A key of exactly 32 bytes; nil for any other length.
        public init?(_ raw: RawSpan) {
            guard raw.byteCount == Ed25519.keyLength else { return nil }
            let made = raw.withUnsafeBytes { EVP_PKEY_new_raw_public_key_ex(nil, "ED25519", nil, $0.octets, $0.count) }
            guard let handle = KeyHandle(made) else { return nil }
            self.handle = handle
        }

        /// Whether `signature` is this key's signature of `message`.
        public func verify(_ signature: RawSpan, of message: RawSpan) -> Bool {
            guard signature.byteCount == Ed25519.signatureLength else { return false }
            return signature.withUnsafeBytes { signature in
                message.withUnsafeBytes { handle.verify(signature, $0, digest: nil) }
            }
        }
    }
}
