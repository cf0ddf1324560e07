import WaggleBase

/// A peer's identity key in the form libp2p sends and hashes.
///
/// Wire: protobuf `PublicKey { required KeyType Type = 1; required bytes Data = 2; }`, both fields in this order and nothing else.
/// `Data` is SubjectPublicKeyInfo in DER for RSA and ECDSA, 32 raw bytes for Ed25519, a compressed point of 33 bytes for
/// secp256k1. Spec: libp2p peer-ids, section "Keys".
public struct PublicKey: Sendable {
    /// The `KeyType` of the protobuf.
    public enum Kind: UInt64, Sendable, CaseIterable {
        case rsa = 0
        case ed25519 = 1
        case secp256k1 = 2
        case ecdsa = 3
    }

    private enum Verifier: Sendable {
        case rsa(RSA.PublicKey)
        case ed25519(Ed25519.PublicKey)
        case ecdsa(ECDSA.PublicKey)
    }

    /// The longest protobuf that is looked at, in bytes: an RSA key of 8192 bits.
    public static let maximumLength = RSALimits.maximumPublicKeyLength + KeyEnvelope.overhead

    public let kind: Kind
    /// The protobuf `Data` field.
    public let raw: Bytes
    /// The whole protobuf, the only encoding of this key: what a PeerID is made from.
    public let encoded: Bytes
    private let verifier: Verifier

    /// Reads the protobuf form; throws for anything but the canonical encoding of a valid key.
    public init(decoding bytes: RawSpan) throws(KeyError) {
        guard bytes.byteCount <= PublicKey.maximumLength else { throw .sizeRefused(bytes: bytes.byteCount) }
        guard let envelope = KeyEnvelope(bytes) else { throw .malformed }
        guard let kind = Kind(rawValue: envelope.type) else { throw .unsupportedType(envelope.type) }
        try self.init(kind, raw: envelope.data)
    }

    public init(decoding bytes: Bytes) throws(KeyError) { try self.init(decoding: bytes.span) }

    /// A key from the `Data` field; throws when it is not a valid key of this kind.
    public init(_ kind: Kind, raw: RawSpan) throws(KeyError) {
        switch kind {
        case .rsa:
            verifier = .rsa(try RSA.PublicKey(subjectPublicKeyInfo: raw))
        case .ed25519:
            guard let key = Ed25519.PublicKey(raw) else { throw .malformed }
            verifier = .ed25519(key)
        case .secp256k1:
            guard let key = ECDSA.PublicKey(.secp256k1, point: raw) else { throw .malformed }
            verifier = .ecdsa(key)
        case .ecdsa:
            guard let key = ECDSA.PublicKey(.p256, subjectPublicKeyInfo: raw) else { throw .malformed }
            verifier = .ecdsa(key)
        }
        self.kind = kind
        let encoded = KeyEnvelope.encode(type: kind.rawValue, raw)
        self.encoded = encoded
        self.raw = encoded.dropFirst(encoded.count - raw.byteCount)
    }

    /// Whether `signature` is this key's signature of `message`.
    ///
    /// Signatures are 64 raw bytes for Ed25519, DER over SHA-256 for ECDSA and secp256k1, PKCS#1 v1.5 over SHA-256 for RSA.
    public func verify(_ signature: RawSpan, of message: RawSpan) -> Bool {
        switch verifier {
        case .rsa(let key): key.verify(signature, of: message)
        case .ed25519(let key): key.verify(signature, of: message)
        case .ecdsa(let key): key.verify(signature, of: message)
        }
    }

    public func verify(_ signature: Bytes, of message: Bytes) -> Bool { verify(signature.span, of: message.span) }
}

extension PublicKey: Hashable, CustomStringConvertible {
    public static func == (left: PublicKey, right: PublicKey) -> Bool { left.encoded == right.encoded }
    public func hash(into hasher: inout Hasher) { hasher.combine(encoded) }

    /// The kind and the protobuf in hexadecimal.
    public var description: String { "\(kind) \(encoded)" }
}
