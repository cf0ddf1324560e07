import COpenSSL
import WaggleBase

/// Diffie-Hellman on Curve25519 (RFC 7748).
public enum X25519 {
    /// Size of a private key, a public key and a shared secret in bytes.
    public static let keyLength = 32

    /// A private key with its public key.
    public struct PrivateKey: Sendable {
        private let handle: KeyHandle
        /// The 32 bytes that go to the other side.
        public let publicKey: Bytes

        /// A key from 32 random bytes, which libcrypto clamps; nil for any other length.
        ///
        /// Costs one multiplication, about 23 µs.
        public init?(_ secret: RawSpan) {
            guard secret.byteCount == X25519.keyLength else { return nil }
            let made = secret.withUnsafeBytes { EVP_PKEY_new_raw_private_key_ex(nil, "X25519", nil, $0.octets, $0.count) }
            guard let handle = KeyHandle(made) else { return nil }
            self.handle = handle
            publicKey = Bytes(count: X25519.keyLength) {
                var length = $0.count
                return EVP_PKEY_get_raw_public_key(handle.pointer, $0.octets, &length) == 1 ? length : 0
            }
        }

        public init?(_ secret: SecureBytes) { self.init(secret.span) }

        /// The secret shared with the owner of `publicKey`; nil when that is not 32 bytes or the result is all zeros, which
        /// means that the other side sent a point of small order (RFC 7748, section 6.1).
        public func sharedSecret(with publicKey: RawSpan) -> SecureBytes? {
            guard publicKey.byteCount == X25519.keyLength else { return nil }
            let made = publicKey.withUnsafeBytes { EVP_PKEY_new_raw_public_key_ex(nil, "X25519", nil, $0.octets, $0.count) }
            guard let peer = KeyHandle(made) else { return nil }
            let context = available(EVP_PKEY_CTX_new_from_pkey(nil, handle.pointer, nil), "a key exchange context")
            defer { EVP_PKEY_CTX_free(context) }
            var derived = false
            let secret = SecureBytes(count: X25519.keyLength) {
                var length = $0.count
                // The zero check on the result replaces the separate validation of the peer's key.
                derived =
                    EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer_ex(context, peer.pointer, 0) == 1
                    && EVP_PKEY_derive(context, $0.octets, &length) == 1 && length == $0.count
            }
            guard derived, secret != SecureBytes(count: X25519.keyLength, filling: { _ in }) else {
                ERR_clear_error()
                return nil
            }
            return secret
        }

        public func sharedSecret(with publicKey: Bytes) -> SecureBytes? { sharedSecret(with: publicKey.span) }
    }
}
