/// What kind of key an identity is: its signature scheme with its parameters.
public enum KeyKind: Sendable, Hashable, CaseIterable {
    case rsa, ed25519, secp256k1, ecdsa
    case mlDSA44, mlDSA65, mlDSA87
    case slhDSAShake128s

    /// The name in the standard: `Ed25519`, `ML-DSA-65`, `SLH-DSA-SHAKE-128s`.
    public var name: String {
        switch self {
        case .rsa: "RSA"
        case .ed25519: "Ed25519"
        case .secp256k1: "secp256k1"
        case .ecdsa: "ECDSA"
        case .mlDSA44: "ML-DSA-44"
        case .mlDSA65: "ML-DSA-65"
        case .mlDSA87: "ML-DSA-87"
        case .slhDSAShake128s: "SLH-DSA-SHAKE-128s"
        }
    }

    /// The name in options and configurations: the standard's in small letters.
    public var option: String { name.lowercased() }

    /// The kind of this option name; nil for any other text.
    public init?(option: String) {
        guard let kind = KeyKind.allCases.first(where: { $0.option == option }) else { return nil }
        self = kind
    }

    /// Whether signatures of this kind stand against quantum computers.
    public var isPostQuantum: Bool { moduleLattice != nil || hashBased != nil }

    /// How many secret random bytes a key of this kind is made of; zero for RSA, which libcrypto's generator makes.
    public var randomLength: Int {
        switch self {
        case .rsa: 0
        case .ed25519: Ed25519.keyLength
        case .secp256k1, .ecdsa: ECDSA.scalarLength
        case .mlDSA44, .mlDSA65, .mlDSA87: MLDSA.seedLength
        case .slhDSAShake128s: SLHDSA.Parameters.shake128s.seedLength
        }
    }

    /// The most bytes that a signature of this kind has.
    public var maximumSignatureLength: Int {
        switch self {
        case .rsa: (RSALimits.bits.upperBound + 7) / 8
        case .ed25519: Ed25519.signatureLength
        case .secp256k1, .ecdsa: ECDSA.maximumSignatureLength
        case .mlDSA44, .mlDSA65, .mlDSA87, .slhDSAShake128s: moduleLattice?.signatureLength ?? hashBased?.signatureLength ?? 0
        }
    }
}

extension KeyKind: CustomStringConvertible {
    public var description: String { name }
}

extension KeyKind {
    /// The parameters of an ML-DSA kind.
    var moduleLattice: MLDSA.Parameters? {
        switch self {
        case .mlDSA44: .mldsa44
        case .mlDSA65: .mldsa65
        case .mlDSA87: .mldsa87
        default: nil
        }
    }

    /// The parameters of an SLH-DSA kind.
    var hashBased: SLHDSA.Parameters? { self == .slhDSAShake128s ? .shake128s : nil }

    init?(_ parameters: MLDSA.Parameters) {
        guard let kind = KeyKind.allCases.first(where: { $0.moduleLattice == parameters }) else { return nil }
        self = kind
    }

    init?(_ parameters: SLHDSA.Parameters) {
        guard let kind = KeyKind.allCases.first(where: { $0.hashBased == parameters }) else { return nil }
        self = kind
    }
}
