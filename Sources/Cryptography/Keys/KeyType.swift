/// The `KeyType` of libp2p's key protobufs.
///
/// 0 to 3: libp2p peer-ids, section "Keys". 4: libp2p RFC 0004 (draft). 0x40 and 0x41: "Add support for PKIX and PKCS#8 keys", libp2p specs
/// 711 (draft). The drafts are alternatives, so both are read.
enum KeyType: UInt64 {
    case rsa = 0
    case ed25519 = 1
    case secp256k1 = 2
    case ecdsa = 3
    /// One byte for the parameters, then the key as FIPS 204 has it.
    case mlDSA = 4
    /// A public key as SubjectPublicKeyInfo.
    case pkix = 0x40
    /// A private key as PKCS#8; its public key is `pkix`.
    case pkcs8 = 0x41
}

extension KeyKind {
    /// RFC 0004's byte for the parameters of ML-DSA; nil for other kinds.
    var variant: UInt8? {
        switch self {
        case .mlDSA44: 1
        case .mlDSA65: 2
        case .mlDSA87: 3
        default: nil
        }
    }

    init?(variant: UInt8) {
        guard let kind = KeyKind.allCases.first(where: { $0.variant == variant }) else { return nil }
        self = kind
    }
}
