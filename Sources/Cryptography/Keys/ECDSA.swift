import COpenSSL
import WaggleBase

/// ECDSA with SHA-256 and DER signatures on the two curves that libp2p identities use.
public enum ECDSA {
    /// A curve.
    public enum Curve: Sendable, CaseIterable {
        case p256, secp256k1

        /// SubjectPublicKeyInfo up to the point: the algorithm with the named curve, and the bit string's head. P-256 points are
        /// uncompressed (65 bytes), secp256k1 points compressed (33 bytes), as libp2p encodes them.
        fileprivate var publicKeyPrefix: [UInt8] {
            switch self {
            case .p256:
                [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00]
            case .secp256k1:
                [0x30, 0x36, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a, 0x03, 0x22, 0x00]
            }
        }

        fileprivate var pointLength: Int { self == .p256 ? 65 : 33 }

        fileprivate var name: String { self == .p256 ? "P-256" : "secp256k1" }
    }

    /// Size of a private scalar in bytes.
    public static let scalarLength = 32
    /// The longest DER signature on these curves in bytes: two integers of 33 bytes with their heads.
    public static let maximumSignatureLength = 72

    /// A verification key.
    public struct PublicKey: Sendable {
        let handle: KeyHandle
        public let curve: Curve

        init(_ handle: KeyHandle, _ curve: Curve) {
            self.handle = handle
            self.curve = curve
        }

        /// A key from its point: 65 bytes uncompressed on P-256, 33 compressed on secp256k1; nil when it is not on the curve.
        public init?(_ curve: Curve, point: RawSpan) {
            guard point.byteCount == curve.pointLength, ECDSA.hasForm(point, curve) else { return nil }
            var der = ByteWriter(capacity: 96)
            der.write(curve.publicKeyPrefix)
            der.write(point)
            let encoded = der.finish()
            guard let handle = encoded.withUnsafeBytes({ KeyHandle(subjectPublicKeyInfo: $0) }) else { return nil }
            self.init(handle, curve)
        }

        /// A key from SubjectPublicKeyInfo in the one DER form that names the curve and has the point as above.
        public init?(_ curve: Curve, subjectPublicKeyInfo der: RawSpan) {
            let prefix = curve.publicKeyPrefix
            guard der.byteCount == prefix.count + curve.pointLength else { return nil }
            guard der.withUnsafeBytes({ $0.starts(with: prefix) }) else { return nil }
            self.init(curve, point: der.extracting(droppingFirst: prefix.count))
        }

        /// The key as SubjectPublicKeyInfo, its point in the form above.
        public var subjectPublicKeyInfo: Bytes {
            var der = ByteWriter(capacity: 96)
            der.write(curve.publicKeyPrefix)
            der.write(point)
            return der.finish()
        }

        /// The point in the form above.
        public var point: Bytes {
            Bytes(count: 65) {
                var length = 0
                guard EVP_PKEY_get_octet_string_param(handle.pointer, OSSL_PKEY_PARAM_PUB_KEY, $0.octets, $0.count, &length) == 1 else { return 0 }
                // libcrypto may hand out either form; compressing keeps x and the parity of y.
                guard curve == .secp256k1, length == 65 else { return length }
                $0[0] = 2 | ($0[64] & 1)
                return curve.pointLength
            }
        }

        /// Whether `signature` (DER, SEC 1 section C.8) is this key's signature of `message`.
        public func verify(_ signature: RawSpan, of message: RawSpan) -> Bool {
            guard signature.byteCount <= ECDSA.maximumSignatureLength else { return false }
            return signature.withUnsafeBytes { signature in
                message.withUnsafeBytes { handle.verify(signature, $0, digest: SignatureDigest.sha256) }
            }
        }
    }

    /// A signing key.
    public struct PrivateKey: Sendable {
        let handle: KeyHandle
        public let publicKey: PublicKey

        private init?(_ handle: KeyHandle?, _ curve: Curve) {
            guard let handle else { return nil }
            self.handle = handle
            publicKey = PublicKey(handle, curve)
        }

        /// A new key from libcrypto's random generator.
        public static func generate(_ curve: Curve) -> PrivateKey? {
            guard let context = EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { return nil }
            defer { EVP_PKEY_CTX_free(context) }
            var key: OpaquePointer?
            guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_group_name(context, curve.name) == 1,
                EVP_PKEY_generate(context, &key) == 1
            else { return nil }
            return PrivateKey(KeyHandle(key), curve)
        }

        /// A key from its scalar of 32 bytes, big endian; nil when it is zero or not below the order.
        public init?(_ curve: Curve, scalar: RawSpan) {
            guard scalar.byteCount == ECDSA.scalarLength else { return nil }
            let curveName: [UInt8] = curve == .p256
                ? [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]
                : [0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]
            // ECPrivateKey (SEC 1, section C.4) without the public key, which libcrypto computes.
            let der = SecureBytes(count: 39 + curveName.count) { der in
                der.copyBytes(from: [0x30, UInt8(37 + curveName.count), 0x02, 0x01, 0x01, 0x04, 0x20])
                scalar.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: der[7..<39]).copyMemory(from: $0) }
                UnsafeMutableRawBufferPointer(rebasing: der[39...]).copyBytes(from: curveName)
            }
            self.init(curve, der: der.span)
        }

        /// A key from ECPrivateKey (SEC 1, section C.4) on this curve; nil when malformed or when its parts disagree.
        public init?(_ curve: Curve, der: RawSpan) {
            guard let handle = der.withUnsafeBytes({ KeyHandle(type: EVP_PKEY_EC, privateKey: $0) }), ECDSA.isSound(handle, curve) else {
                ERR_clear_error()
                return nil
            }
            self.init(handle, curve)
        }

        /// The key as ECPrivateKey (SEC 1, section C.4).
        public var der: SecureBytes { available(handle.privateKey, "an elliptic curve key") }

        /// The scalar, 32 bytes, big endian.
        public var scalar: SecureBytes { ECDSA.scalar(handle) }

        /// A DER signature of `message`, with libcrypto's randomness; on secp256k1 with the smaller of the two values that s may have.
        public func sign(_ message: RawSpan) -> Bytes? {
            let signature = message.withUnsafeBytes { handle.sign($0, digest: SignatureDigest.sha256) }
            return publicKey.curve == .secp256k1 ? signature.flatMap(ECDSA.withSmallS) : signature
        }
    }

    /// The order of secp256k1.
    nonisolated(unsafe) private static let order: OpaquePointer = {
        let group = available(EC_GROUP_new_by_curve_name(NID_secp256k1), "secp256k1")
        defer { EC_GROUP_free(group) }
        return available(BN_dup(EC_GROUP_get0_order(group)), "a number")
    }()

    /// The same signature with s or its negative, whichever is smaller: js-libp2p and rust-libp2p accept no other.
    static func withSmallS(_ signature: Bytes) -> Bytes? {
        signature.withUnsafeBytes { der in
            var cursor = der.octets
            guard let pair = d2i_ECDSA_SIG(nil, &cursor, der.count) else { return nil }
            defer { ECDSA_SIG_free(pair) }
            let s = available(BN_new(), "a number")
            guard BN_sub(s, order, ECDSA_SIG_get0_s(pair)) == 1, BN_cmp(s, ECDSA_SIG_get0_s(pair)) < 0 else {
                BN_free(s)
                return signature
            }
            // Takes both numbers over.
            guard ECDSA_SIG_set0(pair, BN_dup(ECDSA_SIG_get0_r(pair)), s) == 1 else {
                BN_free(s)
                return nil
            }
            return Bytes(count: maximumSignatureLength) {
                var cursor = $0.octets
                return Int(max(0, i2d_ECDSA_SIG(pair, &cursor)))
            }
        }
    }

    static func scalar(_ handle: KeyHandle) -> SecureBytes {
        var number: OpaquePointer?
        EVP_PKEY_get_bn_param(handle.pointer, OSSL_PKEY_PARAM_PRIV_KEY, &number)
        defer { BN_clear_free(number) }
        return SecureBytes(count: ECDSA.scalarLength) { _ = BN_bn2binpad(number, $0.octets, Int32($0.count)) }
    }

    private static func hasForm(_ point: RawSpan, _ curve: Curve) -> Bool {
        let form = point.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        return curve == .p256 ? form == 4 : form == 2 || form == 3
    }

    /// Whether a parsed private key is on `curve`, in range, and has the public key it says.
    static func isSound(_ handle: KeyHandle, _ curve: Curve) -> Bool {
        let expected = curve == .p256 ? ["prime256v1", "P-256"] : ["secp256k1"]
        let name = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer -> String? in
            var length = 0
            guard EVP_PKEY_get_group_name(handle.pointer, buffer.baseAddress, buffer.count, &length) == 1 else { return nil }
            return String(decoding: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: buffer[0..<length])), as: UTF8.self)
        }
        guard let name, expected.contains(name), let context = EVP_PKEY_CTX_new_from_pkey(nil, handle.pointer, nil) else { return false }
        defer { EVP_PKEY_CTX_free(context) }
        return EVP_PKEY_pairwise_check(context) == 1 && EVP_PKEY_private_check(context) == 1
    }
}
