import COpenSSL
import Synchronization
import WaggleBase

/// Diffie-Hellman on Curve25519 (RFC 7748).
public enum X25519 {
    /// Size of a private key, a public key and a shared secret in bytes.
    public static let keyLength = 32

    /// A private key with its public key.
    public struct PrivateKey: Sendable {
        /// A key exchange with this key that has seen no other: the pattern for every exchange, since copying it is cheaper.
        private let exchange: Exchange
        /// The 32 bytes that go to the other side.
        public let publicKey: Bytes

        /// A key from 32 random bytes, which libcrypto clamps; nil for any other length.
        ///
        /// Costs one multiplication, about 23 µs.
        public init?(_ secret: RawSpan) {
            guard secret.byteCount == X25519.keyLength else { return nil }
            let made = secret.withUnsafeBytes { EVP_PKEY_new_raw_private_key_ex(nil, "X25519", nil, $0.octets, $0.count) }
            guard let handle = KeyHandle(made) else { return nil }
            exchange = Exchange(handle)
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
            let context = available(EVP_PKEY_CTX_dup(exchange.context), "a key exchange context")
            defer { EVP_PKEY_CTX_free(context) }
            let peer = PeerKeys.take()
            defer { PeerKeys.give(peer) }
            var derived = publicKey.withUnsafeBytes {
                EVP_PKEY_set1_encoded_public_key(peer.pointer, $0.octets, X25519.keyLength) == 1
            }
            let secret = SecureBytes(count: X25519.keyLength) {
                var length = $0.count
                // The zero check on the result replaces the separate validation of the peer's key.
                derived =
                    derived && EVP_PKEY_derive_set_peer_ex(context, peer.pointer, 0) == 1
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

    /// A prepared key exchange. Never changed once made, only copied, so threads may share it.
    private final class Exchange: @unchecked Sendable {
        let context: OpaquePointer

        init(_ key: KeyHandle) {
            context = available(EVP_PKEY_CTX_new_from_pkey(nil, key.pointer, nil), "a key exchange context")
            let prepared = EVP_PKEY_derive_init(context)
            precondition(prepared == 1)
        }

        deinit { EVP_PKEY_CTX_free(context) }
    }

    /// Key objects to put a peer's public key into: making one costs 2 µs, writing into one next to nothing.
    private enum PeerKeys {
        private static let spare = Mutex<[KeyHandle]>([])
        /// More than this many threads never exchange keys at once.
        private static let limit = 32

        static func take() -> KeyHandle {
            if let key = spare.withLock({ $0.popLast() }) { return key }
            // The base point, until a peer's key takes its place.
            let point = [9] + [UInt8](repeating: 0, count: X25519.keyLength - 1)
            return available(KeyHandle(EVP_PKEY_new_raw_public_key_ex(nil, "X25519", nil, point, point.count)), "a public key")
        }

        static func give(_ key: KeyHandle) {
            spare.withLock { if $0.count < limit { $0.append(key) } }
        }
    }
}
