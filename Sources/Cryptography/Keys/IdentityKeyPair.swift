import WaggleBase

/// This node's identity: a signing key and the public key that its PeerID is made from.
///
/// Wire: protobuf `PrivateKey { required KeyType Type = 1; required bytes Data = 2; }`. `Data` is seed ‖ public key for Ed25519
/// (64 bytes; the older 96 bytes with the public key twice are read too), RSAPrivateKey for RSA, ECPrivateKey for ECDSA, and a
/// scalar of 32 bytes for secp256k1. Spec: libp2p peer-ids, section "Keys".
public struct IdentityKeyPair: Sendable {
    private enum Signer: Sendable {
        case ed25519(Ed25519.PrivateKey, seed: SecureBytes)
        case ecdsa(ECDSA.PrivateKey)
        case rsa(RSA.PrivateKey)
    }

    /// The longest protobuf that is looked at, in bytes.
    public static let maximumLength = RSALimits.maximumPrivateKeyLength + KeyEnvelope.overhead

    public let publicKey: PublicKey
    private let signer: Signer

    /// The Ed25519 identity of a 32-byte random seed; throws for any other length.
    public init(ed25519Seed seed: SecureBytes) throws(KeyError) {
        guard let key = Ed25519.PrivateKey(seed: seed) else { throw .malformed }
        signer = .ed25519(key, seed: seed)
        publicKey = try PublicKey(.ed25519, raw: key.publicKey.span)
    }

    /// An identity on secp256k1 (`KeyType` 2) or P-256 (`KeyType` 3).
    public init(_ key: ECDSA.PrivateKey) throws(KeyError) {
        signer = .ecdsa(key)
        publicKey =
            switch key.publicKey.curve {
            case .secp256k1: try PublicKey(.secp256k1, raw: key.publicKey.point.span)
            case .p256: try PublicKey(.ecdsa, raw: key.publicKey.subjectPublicKeyInfo.span)
            }
    }

    /// An RSA identity.
    public init(_ key: RSA.PrivateKey) throws(KeyError) {
        signer = .rsa(key)
        publicKey = try PublicKey(.rsa, raw: key.publicKey.subjectPublicKeyInfo.span)
    }

    /// Reads the protobuf form.
    public init(decoding bytes: RawSpan) throws(KeyError) {
        guard bytes.byteCount <= IdentityKeyPair.maximumLength else { throw .sizeRefused(bytes: bytes.byteCount) }
        guard let envelope = KeyEnvelope(bytes) else { throw .malformed }
        switch PublicKey.Kind(rawValue: envelope.type) {
        case .rsa:
            try self.init(RSA.PrivateKey(der: envelope.data))
        case .ed25519:
            try self.init(ed25519Data: envelope.data)
        case .secp256k1:
            guard let key = ECDSA.PrivateKey(.secp256k1, scalar: envelope.data) else { throw .malformed }
            try self.init(key)
        case .ecdsa:
            guard let key = ECDSA.PrivateKey(.p256, der: envelope.data) else { throw .malformed }
            try self.init(key)
        case nil:
            throw .unsupportedType(envelope.type)
        }
    }

    public init(decoding bytes: SecureBytes) throws(KeyError) { try self.init(decoding: bytes.span) }

    private init(ed25519Data data: RawSpan) throws(KeyError) {
        let length = Ed25519.keyLength
        guard data.byteCount == 2 * length || data.byteCount == 3 * length else { throw .malformed }
        try self.init(ed25519Seed: SecureBytes(data.extracting(first: length)))
        for start in stride(from: length, to: data.byteCount, by: length) {
            guard Bytes(data.extracting(start..<start + length)) == publicKey.raw else { throw .inconsistent }
        }
    }

    /// The protobuf form, to be kept in a file that only its owner can read.
    public var encoded: SecureBytes {
        let data =
            switch signer {
            case .ed25519(_, let seed):
                SecureBytes(count: 2 * Ed25519.keyLength) { data in
                    seed.withUnsafeBytes { data.copyMemory(from: $0) }
                    data[Ed25519.keyLength...].copyBytes(from: publicKey.raw)
                }
            case .ecdsa(let key): publicKey.kind == .secp256k1 ? key.scalar : key.der
            case .rsa(let key): key.der
            }
        return KeyEnvelope.encodeSecret(type: publicKey.kind.rawValue, data)
    }

    /// The signature of `message`; nil only when libcrypto has no randomness for ECDSA.
    ///
    /// Costs about 25 µs with Ed25519, 600 µs with RSA-2048.
    public func sign(_ message: RawSpan) -> Bytes? {
        switch signer {
        case .ed25519(let key, _): key.sign(message)
        case .ecdsa(let key): key.sign(message)
        case .rsa(let key): key.sign(message)
        }
    }

    public func sign(_ message: Bytes) -> Bytes? { sign(message.span) }
}
