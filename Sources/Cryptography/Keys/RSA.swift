import COpenSSL
import WaggleBase

/// RSA signatures with PKCS#1 v1.5 and SHA-256 (RFC 8017, section 8.2).
public enum RSA {
    /// A verification key.
    public struct PublicKey: Sendable {
        let handle: KeyHandle

        /// A key from SubjectPublicKeyInfo in DER; throws when malformed, not RSA, or outside the limits.
        public init(subjectPublicKeyInfo der: RawSpan) throws(KeyError) {
            // The length is looked at before anything is parsed: reading a number of many megabytes is already an attack.
            guard der.byteCount <= RSALimits.maximumPublicKeyLength else { throw .sizeRefused(bytes: der.byteCount) }
            guard let handle = der.withUnsafeBytes({ KeyHandle(subjectPublicKeyInfo: $0) }),
                EVP_PKEY_get_base_id(handle.pointer) == EVP_PKEY_RSA
            else { throw .malformed }
            // Only the one DER encoding is a key: the PeerID is a hash of it.
            guard let canonical = handle.subjectPublicKeyInfo, Bytes(der) == canonical else { throw .malformed }
            try RSA.checkLimits(handle)
            self.handle = handle
        }

        fileprivate init(_ handle: KeyHandle) { self.handle = handle }

        /// The key as SubjectPublicKeyInfo.
        public var subjectPublicKeyInfo: Bytes { available(handle.subjectPublicKeyInfo, "an RSA key") }

        /// Size of the modulus in bits.
        public var bits: Int { handle.bits }

        /// Whether `signature` is this key's signature of `message`.
        public func verify(_ signature: RawSpan, of message: RawSpan) -> Bool {
            guard signature.byteCount == (bits + 7) / 8 else { return false }
            return signature.withUnsafeBytes { signature in
                message.withUnsafeBytes { handle.verify(signature, $0, digest: SignatureDigest.sha256) }
            }
        }
    }

    /// A signing key.
    public struct PrivateKey: Sendable {
        private let handle: KeyHandle
        public let publicKey: PublicKey

        private init(_ handle: KeyHandle) {
            self.handle = handle
            publicKey = PublicKey(handle)
        }

        /// A new key from libcrypto's random generator; nil for a size outside the limits. Takes from 50 ms to minutes.
        public static func generate(bits: Int) -> PrivateKey? {
            guard RSALimits.bits.contains(bits), let context = EVP_PKEY_CTX_new_from_name(nil, "RSA", nil) else { return nil }
            defer { EVP_PKEY_CTX_free(context) }
            var key: OpaquePointer?
            guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(bits)) == 1,
                EVP_PKEY_generate(context, &key) == 1, let handle = KeyHandle(key)
            else { return nil }
            return PrivateKey(handle)
        }

        /// A key from RSAPrivateKey (RFC 8017, section A.1.2) in DER; throws when malformed, inconsistent, or outside the limits.
        public init(der: RawSpan) throws(KeyError) {
            guard der.byteCount <= RSALimits.maximumPrivateKeyLength else { throw .sizeRefused(bytes: der.byteCount) }
            guard let handle = der.withUnsafeBytes({ KeyHandle(type: EVP_PKEY_RSA, privateKey: $0) }) else { throw .malformed }
            try RSA.checkLimits(handle)
            guard let context = EVP_PKEY_CTX_new_from_pkey(nil, handle.pointer, nil) else { throw .malformed }
            defer { EVP_PKEY_CTX_free(context) }
            guard EVP_PKEY_pairwise_check(context) == 1 else {
                ERR_clear_error()
                throw .inconsistent
            }
            self.init(handle)
        }

        /// The key as RSAPrivateKey.
        public var der: SecureBytes { available(handle.privateKey, "an RSA key") }

        /// The signature of `message`, as long as the modulus.
        public func sign(_ message: RawSpan) -> Bytes? {
            message.withUnsafeBytes { handle.sign($0, digest: SignatureDigest.sha256) }
        }
    }

    private static func checkLimits(_ handle: KeyHandle) throws(KeyError) {
        guard RSALimits.bits.contains(handle.bits) else { throw .sizeRefused(bytes: (handle.bits + 7) / 8) }
        var exponent: OpaquePointer?
        guard EVP_PKEY_get_bn_param(handle.pointer, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 else { throw .malformed }
        defer { BN_free(exponent) }
        guard BN_is_odd(exponent) == 1, BN_num_bits(exponent) >= 2, BN_num_bits(exponent) <= RSALimits.maximumExponentBits else {
            throw .malformed
        }
    }
}

/// What an RSA key may be at most.
public enum RSALimits {
    /// Modulus in bits. Below, factoring is feasible; above, one signature check costs a remote nothing and us milliseconds.
    public static let bits = 2048...8192
    /// Public exponent in bits: a check takes one multiplication a bit.
    public static let maximumExponentBits: Int32 = 31
    /// SubjectPublicKeyInfo in bytes: the longest modulus with its exponent and heads takes 1,062.
    public static let maximumPublicKeyLength = 1_100
    /// RSAPrivateKey in bytes: nine numbers of an 8192-bit key take about 4,670.
    public static let maximumPrivateKeyLength = 5_000
}
