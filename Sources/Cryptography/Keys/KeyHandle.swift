import COpenSSL
import WaggleBase

/// An asymmetric key inside libcrypto. It is immutable once made, so threads may share it.
final class KeyHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Takes over one reference to `pointer`; nil gives nil.
    init?(_ pointer: OpaquePointer?) {
        guard let pointer else {
            ERR_clear_error()
            return nil
        }
        self.pointer = pointer
    }

    deinit { EVP_PKEY_free(pointer) }

    /// A public key from SubjectPublicKeyInfo (RFC 5280, section 4.1) with nothing behind it.
    convenience init?(subjectPublicKeyInfo der: UnsafeRawBufferPointer) {
        var cursor = der.octets
        self.init(d2i_PUBKEY(nil, &cursor, der.count))
        guard cursor == der.octets.map({ $0 + der.count }) else { return nil }
    }

    /// A private key in the form that belongs to its type: PKCS#1 for RSA, SEC 1 for elliptic curves; nothing behind it.
    convenience init?(type: Int32, privateKey der: UnsafeRawBufferPointer) {
        var cursor = der.octets
        self.init(d2i_PrivateKey(type, nil, &cursor, der.count))
        guard cursor == der.octets.map({ $0 + der.count }) else { return nil }
    }

    /// The public key as SubjectPublicKeyInfo.
    var subjectPublicKeyInfo: Bytes? {
        let length = i2d_PUBKEY(pointer, nil)
        guard length > 0 else { return nil }
        return Bytes(count: Int(length)) {
            var cursor = $0.octets
            return Int(i2d_PUBKEY(pointer, &cursor))
        }
    }

    /// The private key in the form that belongs to its type.
    var privateKey: SecureBytes? {
        let length = i2d_PrivateKey(pointer, nil)
        guard length > 0 else { return nil }
        return SecureBytes(count: Int(length)) {
            var cursor = $0.octets
            i2d_PrivateKey(pointer, &cursor)
        }
    }

    /// Key size in bits.
    var bits: Int { Int(EVP_PKEY_get_bits(pointer)) }

    /// Signs `message`, hashed with `digest` first (nil for Ed25519, which hashes itself); nil when libcrypto refuses.
    func sign(_ message: UnsafeRawBufferPointer, digest: OpaquePointer?) -> Bytes? {
        let context = available(EVP_MD_CTX_new(), "a signing context")
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestSignInit(context, nil, digest, nil, pointer) == 1 else {
            ERR_clear_error()
            return nil
        }
        var length = Int(EVP_PKEY_get_size(pointer))
        var worked = false
        let signature = Bytes(count: length) {
            worked = EVP_DigestSign(context, $0.octets, &length, message.octets, message.count) == 1
            return worked ? length : 0
        }
        guard worked else {
            ERR_clear_error()
            return nil
        }
        return signature
    }

    /// Whether `signature` is this key's signature of `message`.
    func verify(_ signature: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer, digest: OpaquePointer?) -> Bool {
        let context = available(EVP_MD_CTX_new(), "a verification context")
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestVerifyInit(context, nil, digest, nil, pointer) == 1,
            EVP_DigestVerify(context, signature.octets, signature.count, message.octets, message.count) == 1
        else {
            ERR_clear_error()
            return false
        }
        return true
    }
}

/// The digest of ECDSA and RSA signatures in libp2p, fetched once.
enum SignatureDigest {
    nonisolated(unsafe) static let sha256 = available(EVP_MD_fetch(nil, "SHA256", nil), "SHA-256")
}
