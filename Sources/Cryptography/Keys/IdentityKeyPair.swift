import WaggleBase

/// This node's identity: a signing key and the public key that its PeerID is made from.
///
/// Wire: protobuf `PrivateKey { required KeyType Type = 1; required bytes Data = 2; }`. `Data` is seed ‖ public key for Ed25519
/// (64 bytes; the older 96 bytes with the public key twice are read too), RSAPrivateKey for RSA, ECPrivateKey for ECDSA, and a
/// scalar of 32 bytes for secp256k1. Spec: libp2p peer-ids, section "Keys".
///
/// ML-DSA (`KeyType` 4, libp2p RFC 0004) is one byte for the parameters, then the 32-byte seed, or the expanded key where the key was imported
/// without its seed; the draft leaves open which, and lengths tell them apart. Keys whose public key is PKIX, SLH-DSA among them, are
/// PKCS#8 (`KeyType` 0x41).
public struct IdentityKeyPair: Sendable {
    enum Signer: Sendable {
        case ed25519(Ed25519.PrivateKey, seed: SecureBytes)
        case ecdsa(ECDSA.PrivateKey)
        case rsa(RSA.PrivateKey)
        case mlDSA(MLDSA.PrivateKey)
        case slhDSA(SLHDSA.PrivateKey)
    }

    /// The longest protobuf that is looked at, in bytes.
    public static let maximumLength = KeyLimits.pkcs8Length + KeyEnvelope.overhead

    public let publicKey: PublicKey
    let signer: Signer
    /// Where hedged signatures take their randomness; nil for deterministic ones.
    private var randomness: (@Sendable (UnsafeMutableRawBufferPointer) -> Void)?

    /// A new key of `kind` from `kind.randomLength` secret random bytes; throws for another number of them.
    ///
    /// RSA keys have 2048 bits and come from libcrypto's own generator. Costs 40 µs for Ed25519, 100 µs for ML-DSA, 10 ms for SLH-DSA, 50 ms to
    /// seconds for RSA.
    public init(generating kind: KeyKind, random: SecureBytes) throws(KeyError) {
        guard random.count == kind.randomLength else { throw .sizeRefused(bytes: random.count) }
        switch kind {
        case .rsa: try self.init(generatingRSA: RSALimits.bits.lowerBound)
        case .ed25519: try self.init(ed25519Seed: random)
        case .secp256k1, .ecdsa:
            // Fails for one in 2^32 random values, which are not below the order.
            guard let key = ECDSA.PrivateKey(kind == .ecdsa ? .p256 : .secp256k1, scalar: random.span) else { throw .malformed }
            try self.init(key)
        case .mlDSA44, .mlDSA65, .mlDSA87:
            guard let parameters = kind.moduleLattice, let key = MLDSA.PrivateKey(seed: random, parameters) else { throw .malformed }
            try self.init(key)
        case .slhDSAShake128s:
            guard let key = SLHDSA.PrivateKey(seed: random, .shake128s) else { throw .malformed }
            try self.init(key)
        }
    }

    /// A new RSA key from libcrypto's generator; throws for a size outside the limits.
    public init(generatingRSA bits: Int) throws(KeyError) {
        guard let key = RSA.PrivateKey.generate(bits: bits) else { throw .sizeRefused(bytes: bits / 8) }
        try self.init(key)
    }

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

    /// An ML-DSA identity, its public key written in `form`.
    public init(_ key: MLDSA.PrivateKey, _ form: PublicKey.Form = .libp2p) throws(KeyError) {
        signer = .mlDSA(key)
        publicKey = try PublicKey(key.publicKey, form)
    }

    /// An SLH-DSA identity; throws for other parameters than SHAKE-128s.
    public init(_ key: SLHDSA.PrivateKey) throws(KeyError) {
        signer = .slhDSA(key)
        publicKey = try PublicKey(key.publicKey)
    }

    /// Reads the protobuf form.
    public init(decoding bytes: RawSpan) throws(KeyError) {
        guard bytes.byteCount <= IdentityKeyPair.maximumLength else { throw .sizeRefused(bytes: bytes.byteCount) }
        guard let envelope = KeyEnvelope(bytes) else { throw .malformed }
        switch KeyType(rawValue: envelope.type) {
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
        case .mlDSA:
            try self.init(mlDSAData: envelope.data)
        case .pkcs8:
            try self.init(pkcs8: envelope.data, form: .pkix)
            // What has a type of its own is written with that: else one key had two PeerIDs.
            guard publicKey.form == .pkix else { throw .unsupportedAlgorithm }
        case .pkix, nil:
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

    private init(mlDSAData data: RawSpan) throws(KeyError) {
        var reader = ByteReader(data)
        guard let variant = reader.byte(), let parameters = KeyKind(variant: variant)?.moduleLattice,
            let rest = reader.take(reader.remaining)
        else { throw .malformed }
        let secret = SecureBytes(rest)
        switch secret.count {
        case MLDSA.seedLength:
            guard let key = MLDSA.PrivateKey(seed: secret, parameters) else { throw .malformed }
            try self.init(key)
        case parameters.expandedKeyLength:
            guard let key = MLDSA.PrivateKey(expanded: secret, parameters) else { throw .inconsistent }
            try self.init(key)
        default: throw .malformed
        }
    }

    /// The protobuf form, to be kept in a file that only its owner can read.
    public var encoded: SecureBytes {
        let kind = publicKey.kind
        guard publicKey.form == .libp2p else { return KeyEnvelope.encodeSecret(type: KeyType.pkcs8.rawValue, pkcs8) }
        let data =
            switch signer {
            case .ed25519(_, let seed):
                SecureBytes(count: 2 * Ed25519.keyLength) { data in
                    seed.withUnsafeBytes { data.copyMemory(from: $0) }
                    data[Ed25519.keyLength...].copyBytes(from: publicKey.raw)
                }
            case .ecdsa(let key): kind == .secp256k1 ? key.scalar : key.der
            case .rsa(let key): key.der
            case .mlDSA(let key):
                SecureBytes(count: 1 + (key.seed ?? key.expanded).count) { data in
                    data[0] = kind.variant ?? 0
                    (key.seed ?? key.expanded).withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: data[1...]).copyMemory(from: $0) }
                }
            case .slhDSA(let key): key.encoded
            }
        return KeyEnvelope.encodeSecret(type: kind.type(.libp2p).rawValue, data)
    }

    /// The signature of `message`; nil only when libcrypto has no randomness for ECDSA.
    ///
    /// ML-DSA and SLH-DSA sign in an empty context, hedged if `hedged` gave the key randomness, else deterministically. Costs about 25 µs with Ed25519, 600 µs with RSA-2048, 200 µs with ML-DSA-65 and
    /// 60 ms with SLH-DSA-SHAKE-128s: what is signed by an identity again and again should be kept.
    public func sign(_ message: RawSpan) -> Bytes? {
        switch signer {
        case .ed25519(let key, _): key.sign(message)
        case .ecdsa(let key): key.sign(message)
        case .rsa(let key): key.sign(message)
        case .mlDSA(let key): key.sign(message, randomness: fresh(MLDSA.seedLength))
        case .slhDSA(let key): key.sign(message, randomness: fresh(key.parameters.randomnessLength))
        }
    }

    private func fresh(_ count: Int) -> SecureBytes? { randomness.map { fill in SecureBytes(count: count) { fill($0) } } }

    /// The same key, which signs hedged: ML-DSA and SLH-DSA mix fresh randomness into each signature, which makes faults and side channels much
    /// harder to use (FIPS 204, section 3.4; FIPS 205, section 9.2). The other kinds sign as before.
    ///
    /// `fill` writes secret random bytes and may be called by any thread.
    public func hedged(_ fill: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Void) -> IdentityKeyPair {
        var key = self
        key.randomness = fill
        return key
    }

    public func sign(_ message: Bytes) -> Bytes? { sign(message.span) }

    /// Whether a signature takes too long for a loop that carries connections: 60 ms with SLH-DSA, 5 ms and more with RSA over 4096 bits.
    public var isSlow: Bool {
        switch signer {
        case .slhDSA: true
        case .rsa(let key): key.publicKey.bits > 4096
        case .ed25519, .ecdsa, .mlDSA: false
        }
    }

    /// The ML-DSA key; nil for other kinds.
    public var mlDSA: MLDSA.PrivateKey? {
        if case .mlDSA(let key) = signer { key } else { nil }
    }

    /// The SLH-DSA key; nil for other kinds.
    public var slhDSA: SLHDSA.PrivateKey? {
        if case .slhDSA(let key) = signer { key } else { nil }
    }
}
