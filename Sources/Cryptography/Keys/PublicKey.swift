import WaggleBase

/// A peer's identity key in the form libp2p sends and hashes.
///
/// Wire: protobuf `PublicKey { required KeyType Type = 1; required bytes Data = 2; }`, both fields in this order and nothing else.
/// `Data` is SubjectPublicKeyInfo in DER for RSA and ECDSA, 32 raw bytes for Ed25519, a compressed point of 33 bytes for
/// secp256k1. Spec: libp2p peer-ids, section "Keys".
///
/// ML-DSA has two drafts, and both are read: libp2p RFC 0004 (`KeyType` 4, one byte 1, 2 or 3 for ML-DSA-44, -65 or -87, then the key), which is
/// what this node writes for itself, and PKIX (`KeyType` 0x40, SubjectPublicKeyInfo of RFC 9881). For SLH-DSA libp2p has no draft of its own;
/// it goes by the PKIX one, as SubjectPublicKeyInfo of RFC 9909. A PeerID is a hash of the bytes that its peer presents, so one key in two
/// forms is two peers, and a key keeps the form it came in. Kinds with a `KeyType` of their own are refused under 0x40, as that draft
/// demands.
public struct PublicKey: Sendable {
    public typealias Kind = KeyKind

    /// Which of the two ways to write a key.
    public enum Form: Sendable, Hashable {
        /// The `KeyType` that libp2p has for this kind.
        case libp2p
        /// `KeyType` 0x40 with SubjectPublicKeyInfo.
        case pkix
    }

    private enum Verifier: Sendable {
        case rsa(RSA.PublicKey)
        case ed25519(Ed25519.PublicKey)
        case ecdsa(ECDSA.PublicKey)
        case mlDSA(MLDSA.PublicKey)
        case slhDSA(SLHDSA.PublicKey)
    }

    /// The longest protobuf that is looked at, in bytes.
    public static let maximumLength = KeyLimits.publicKeyLength + KeyEnvelope.overhead

    public let kind: Kind
    /// How the key was written.
    public let form: Form
    /// The protobuf `Data` field.
    public let raw: Bytes
    /// The whole protobuf, the only encoding of this key in its form: what a PeerID is made from.
    public let encoded: Bytes
    private let verifier: Verifier

    /// Reads the protobuf form; throws for anything but the canonical encoding of a valid key.
    public init(decoding bytes: RawSpan) throws(KeyError) {
        guard bytes.byteCount <= PublicKey.maximumLength else { throw .sizeRefused(bytes: bytes.byteCount) }
        guard let envelope = KeyEnvelope(bytes) else { throw .malformed }
        switch KeyType(rawValue: envelope.type) {
        case .rsa: try self.init(.rsa, raw: envelope.data)
        case .ed25519: try self.init(.ed25519, raw: envelope.data)
        case .secp256k1: try self.init(.secp256k1, raw: envelope.data)
        case .ecdsa: try self.init(.ecdsa, raw: envelope.data)
        case .mlDSA:
            var reader = ByteReader(envelope.data)
            guard let variant = reader.byte(), let kind = KeyKind(variant: variant) else { throw .malformed }
            try self.init(kind, raw: envelope.data)
        case .pkix:
            guard let info = SubjectPublicKeyInfo.decode(envelope.data) else { throw .malformed }
            guard let kind = info.kind else { throw .unsupportedAlgorithm }
            try self.init(kind, raw: envelope.data, .pkix)
        case .pkcs8, nil: throw .unsupportedType(envelope.type)
        }
    }

    public init(decoding bytes: Bytes) throws(KeyError) { try self.init(decoding: bytes.span) }

    /// A key from the `Data` field in the form that is usual for its kind; throws when it is not a valid key of this kind.
    public init(_ kind: Kind, raw: RawSpan) throws(KeyError) { try self.init(kind, raw: raw, kind.usualForm) }

    /// An ML-DSA key.
    public init(_ key: MLDSA.PublicKey, _ form: Form = .libp2p) throws(KeyError) {
        guard let kind = KeyKind(key.parameters), let variant = kind.variant else { throw .unsupportedAlgorithm }
        let raw = form == .pkix ? SubjectPublicKeyInfo.encode(kind, key.encoded) : Bytes([variant] + key.encoded.array)
        self.init(kind, form, raw: raw.span, .mlDSA(key))
    }

    /// An SLH-DSA key; throws for other parameters than SHAKE-128s.
    public init(_ key: SLHDSA.PublicKey) throws(KeyError) {
        guard let kind = KeyKind(key.parameters) else { throw .unsupportedAlgorithm }
        self.init(kind, .pkix, raw: SubjectPublicKeyInfo.encode(kind, key.encoded).span, .slhDSA(key))
    }

    private init(_ kind: Kind, raw: RawSpan, _ form: Form) throws(KeyError) {
        let encoded = KeyEnvelope.encode(type: kind.type(form).rawValue, raw)
        let data = encoded.dropFirst(encoded.count - raw.byteCount)
        switch kind {
        case .rsa where form == .libp2p:
            verifier = .rsa(try RSA.PublicKey(subjectPublicKeyInfo: raw))
        case .ed25519 where form == .libp2p:
            guard let key = Ed25519.PublicKey(raw) else { throw .malformed }
            verifier = .ed25519(key)
        case .secp256k1 where form == .libp2p:
            guard let key = ECDSA.PublicKey(.secp256k1, point: raw) else { throw .malformed }
            verifier = .ecdsa(key)
        case .ecdsa where form == .libp2p:
            guard let key = ECDSA.PublicKey(.p256, subjectPublicKeyInfo: raw) else { throw .malformed }
            verifier = .ecdsa(key)
        case .mlDSA44, .mlDSA65, .mlDSA87:
            guard let parameters = kind.moduleLattice, let bytes = PublicKey.standardKey(kind, data, form),
                let key = MLDSA.PublicKey(bytes, parameters)
            else { throw .malformed }
            verifier = .mlDSA(key)
        case .slhDSAShake128s where form == .pkix:
            guard let bytes = PublicKey.standardKey(kind, data, form), let key = SLHDSA.PublicKey(bytes, .shake128s) else { throw .malformed }
            verifier = .slhDSA(key)
        case .rsa, .ed25519, .secp256k1, .ecdsa, .slhDSAShake128s:
            throw .unsupportedAlgorithm
        }
        self.kind = kind
        self.form = form
        self.encoded = encoded
        self.raw = data
    }

    private init(_ kind: Kind, _ form: Form, raw: RawSpan, _ verifier: Verifier) {
        self.kind = kind
        self.form = form
        self.verifier = verifier
        let encoded = KeyEnvelope.encode(type: kind.type(form).rawValue, raw)
        self.encoded = encoded
        self.raw = encoded.dropFirst(encoded.count - raw.byteCount)
    }

    /// The key as its own standard writes it: the end of the `Data` field, whose memory it shares.
    private static func standardKey(_ kind: Kind, _ data: Bytes, _ form: Form) -> Bytes? {
        switch form {
        case .pkix:
            guard let info = SubjectPublicKeyInfo.decode(data.span), info.kind == kind else { return nil }
            return data.dropFirst(data.count - info.key.count)
        case .libp2p:
            guard let variant = data.first, variant == kind.variant else { return nil }
            return data.dropFirst()
        }
    }

    /// Whether `signature` is this key's signature of `message`.
    ///
    /// Signatures are 64 raw bytes for Ed25519, DER over SHA-256 for ECDSA and secp256k1, PKCS#1 v1.5 over SHA-256 for RSA; for ML-DSA and SLH-DSA
    /// those of the standards, of the message itself and in an empty context (RFC 0004, section 4).
    public func verify(_ signature: RawSpan, of message: RawSpan) -> Bool {
        switch verifier {
        case .rsa(let key): key.verify(signature, of: message)
        case .ed25519(let key): key.verify(signature, of: message)
        case .ecdsa(let key): key.verify(signature, of: message)
        case .mlDSA(let key): signature.byteCount == key.parameters.signatureLength && key.verify(signature, of: message)
        case .slhDSA(let key): signature.byteCount == key.parameters.signatureLength && key.verify(signature, of: message)
        }
    }

    public func verify(_ signature: Bytes, of message: Bytes) -> Bool { verify(signature.span, of: message.span) }

    /// The ML-DSA key; nil for other kinds.
    public var mlDSA: MLDSA.PublicKey? {
        if case .mlDSA(let key) = verifier { key } else { nil }
    }

    /// The SLH-DSA key; nil for other kinds.
    public var slhDSA: SLHDSA.PublicKey? {
        if case .slhDSA(let key) = verifier { key } else { nil }
    }
}

extension PublicKey: Hashable, CustomStringConvertible {
    public static func == (left: PublicKey, right: PublicKey) -> Bool { left.encoded == right.encoded }
    public func hash(into hasher: inout Hasher) { hasher.combine(encoded) }

    /// The kind and the protobuf in hexadecimal.
    public var description: String { "\(kind) \(encoded)" }
}

extension KeyKind {
    /// The form in which this node writes keys of this kind.
    var usualForm: PublicKey.Form { self == .slhDSAShake128s ? .pkix : .libp2p }

    /// The `KeyType` of a public key in this form.
    func type(_ form: PublicKey.Form) -> KeyType {
        guard form == .libp2p else { return .pkix }
        return switch self {
        case .rsa: .rsa
        case .ed25519: .ed25519
        case .secp256k1: .secp256k1
        case .ecdsa: .ecdsa
        case .mlDSA44, .mlDSA65, .mlDSA87: .mlDSA
        case .slhDSAShake128s: .pkix
        }
    }
}
