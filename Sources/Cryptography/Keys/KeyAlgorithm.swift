import WaggleBase

/// The AlgorithmIdentifier in SubjectPublicKeyInfo and in PKCS#8, by its contents in DER.
///
/// ML-DSA: RFC 9881, section 2. SLH-DSA: RFC 9909, section 3. Ed25519: RFC 8410, section 3. RSA: RFC 3279, section 2.3.1, with NULL as its
/// parameters. Elliptic curves: RFC 5480, section 2.1.1, with the curve by name.
enum KeyAlgorithm {
    /// The contents of the sequence that stands for `kind`.
    static func contents(_ kind: KeyKind) -> [UInt8] {
        switch kind {
        case .rsa: [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00]
        case .ed25519: [0x06, 0x03, 0x2b, 0x65, 0x70]
        case .ecdsa: [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]
        case .secp256k1: [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]
        case .mlDSA44: signature(17)
        case .mlDSA65: signature(18)
        case .mlDSA87: signature(19)
        case .slhDSAShake128s: signature(26)
        }
    }

    /// NIST's signature algorithms, 2.16.840.1.101.3.4.3.x, which have no parameters.
    private static func signature(_ arc: UInt8) -> [UInt8] { [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, arc] }

    /// The kind that these contents stand for; nil for algorithms that no identity has.
    static func kind(_ contents: RawSpan) -> KeyKind? {
        contents.withUnsafeBytes { contents in
            KeyKind.allCases.first { contents.elementsEqual(KeyAlgorithm.contents($0)) }
        }
    }
}

/// SubjectPublicKeyInfo (RFC 5280, section 4.1): `SEQUENCE { AlgorithmIdentifier, BIT STRING }` for keys that are one string of bytes.
enum SubjectPublicKeyInfo {
    static func encode(_ kind: KeyKind, _ key: Bytes) -> Bytes {
        let algorithm = DER.element(DER.sequence, SecureBytes(KeyAlgorithm.contents(kind)))
        return Bytes(DER.element(DER.sequence, algorithm, DER.element(DER.bitString, SecureBytes([0]), SecureBytes(key))).span)
    }

    /// The parts of the one DER encoding; nil when it is malformed. The kind is nil for an unknown algorithm.
    static func decode(_ der: RawSpan) -> (kind: KeyKind?, key: Bytes)? {
        var outer = DERReader(der)
        guard let info = outer.next(DER.sequence), outer.isAtEnd else { return nil }
        var inner = DERReader(info)
        guard let algorithm = inner.next(DER.sequence), let bits = inner.next(DER.bitString), inner.isAtEnd else { return nil }
        // A bit string says first how many bits of its last byte are unused: none.
        guard bits.byteCount > 0, bits.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == 0 else { return nil }
        return (KeyAlgorithm.kind(algorithm), Bytes(bits.extracting(droppingFirst: 1)))
    }
}
