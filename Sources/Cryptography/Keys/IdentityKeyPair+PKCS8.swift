import COpenSSL
import WaggleBase

/// Private keys as other programs keep them.
///
/// Wire: `SEQUENCE { INTEGER 0 or 1, AlgorithmIdentifier, OCTET STRING key, [0] attributes, [1] public key }` (RFC 5958). The key is RSAPrivateKey
/// (RFC 8017), ECPrivateKey (RFC 5915), an octet string with the seed for Ed25519 (RFC 8410), the four values of SLH-DSA as they are (RFC 9909,
/// section 6), and for ML-DSA one of `[0] seed`, `OCTET STRING expanded` and `SEQUENCE { seed, expanded }` (RFC 9881, section 6).
extension IdentityKeyPair {
    /// Reads PKCS#8. `form` is how an ML-DSA key's public key is written, nil for what the file says of it, or else libp2p's; the other kinds have
    /// one form only.
    ///
    /// Throws `inconsistent` when the parts contradict each other: seed and expanded key, private and public key.
    public init(pkcs8 der: RawSpan, form: PublicKey.Form? = nil) throws(KeyError) {
        guard der.byteCount <= KeyLimits.pkcs8Length else { throw .sizeRefused(bytes: der.byteCount) }
        var outer = DERReader(der)
        guard let info = outer.next(DER.sequence), outer.isAtEnd else { throw .malformed }
        var inner = DERReader(info)
        guard let version = inner.next(DER.integer, length: 1), let algorithm = inner.next(DER.sequence),
            let key = inner.next(DER.octetString)
        else { throw .malformed }
        let number = version.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        var isNamedPKIX = false
        if let attributes = inner.next(DER.constructed(0)) { isNamedPKIX = FormAttribute.isIn(attributes) }
        let stated = try IdentityKeyPair.statedPublicKey(&inner, version: number)
        guard inner.isAtEnd, number <= 1 else { throw .malformed }
        guard let kind = KeyAlgorithm.kind(algorithm) else { throw .unsupportedAlgorithm }
        switch kind {
        case .rsa: try self.init(RSA.PrivateKey(der: key))
        case .ecdsa: try self.init(ECDSA.PrivateKey(.p256, pkcs8: der))
        case .secp256k1: try self.init(ECDSA.PrivateKey(.secp256k1, pkcs8: der))
        case .ed25519:
            var reader = DERReader(key)
            guard let seed = reader.next(DER.octetString, length: Ed25519.keyLength), reader.isAtEnd else { throw .malformed }
            try self.init(ed25519Seed: SecureBytes(seed))
        case .mlDSA44, .mlDSA65, .mlDSA87:
            guard let parameters = kind.moduleLattice else { throw .malformed }
            try self.init(MLDSA.PrivateKey(choice: key, parameters), form ?? (isNamedPKIX ? .pkix : .libp2p))
        case .slhDSAShake128s:
            guard let read = SLHDSA.PrivateKey(SecureBytes(key), .shake128s) else { throw .malformed }
            let seed = SecureBytes(key.extracting(first: SLHDSA.Parameters.shake128s.seedLength))
            guard let made = SLHDSA.PrivateKey(seed: seed, .shake128s), made.encoded == read.encoded else { throw .inconsistent }
            try self.init(read)
        }
        guard stated == nil || stated == bareKey else { throw .inconsistent }
    }

    public init(pkcs8 der: SecureBytes, form: PublicKey.Form? = nil) throws(KeyError) { try self.init(pkcs8: der.span, form: form) }

    /// The public key behind a private key of version 2; nil when there is none.
    private static func statedPublicKey(_ reader: inout DERReader, version: UInt8) throws(KeyError) -> Bytes? {
        guard let bits = reader.next(DER.primitive(1)) else { return nil }
        guard version == 1, bits.byteCount > 1, bits.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == 0 else { throw .malformed }
        return Bytes(bits.extracting(droppingFirst: 1))
    }

    /// The public key as version 2 states it; nil for kinds that nobody writes so.
    private var bareKey: Bytes? {
        switch signer {
        case .ed25519(let key, _): key.publicKey
        case .mlDSA(let key): key.publicKey.encoded
        case .slhDSA(let key): key.publicKey.encoded
        case .rsa, .ecdsa: nil
        }
    }

    /// The key as PKCS#8: version 1, ML-DSA by its seed where that is known.
    public var pkcs8: SecureBytes { privateKeyInfo(attributes: SecureBytes([])) }

    private func privateKeyInfo(attributes: SecureBytes) -> SecureBytes {
        let key: SecureBytes
        switch signer {
        case .ecdsa(let ecdsa): key = ecdsa.privateKeyInfo
        case .rsa(let rsa): key = rsa.der
        case .ed25519(_, let seed): key = DER.element(DER.octetString, seed)
        case .slhDSA(let slhDSA): key = slhDSA.encoded
        case .mlDSA(let mlDSA):
            key = mlDSA.seed.map { DER.element(DER.primitive(0), $0) } ?? DER.element(DER.octetString, mlDSA.expanded)
        }
        let algorithm = DER.element(DER.sequence, SecureBytes(KeyAlgorithm.contents(publicKey.kind)))
        return DER.element(DER.sequence, DER.element(DER.integer, SecureBytes([0])), algorithm, DER.element(DER.octetString, key), attributes)
    }

    /// The key in a PEM file (RFC 7468, section 10). An attribute says so where an ML-DSA key's public key is PKIX, so that it comes back as it was.
    public var pem: SecureBytes {
        let isUsual = publicKey.form == publicKey.kind.usualForm
        return PEM.encode(PEM.privateKey, isUsual ? pkcs8 : privateKeyInfo(attributes: FormAttribute.encoded))
    }
}

/// What keeps the form of a public key beside a private one: the attribute friendlyName (PKCS#9, RFC 2985, section 5.5.1), which other programs
/// pass over, with the value `libp2p-pkix`.
private enum FormAttribute {
    private static let friendlyName: [UInt8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14]
    private static let value: [UInt8] = "libp2p-pkix".utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }

    private static var attribute: SecureBytes {
        let name = DER.element(DER.objectIdentifier, SecureBytes(friendlyName))
        return DER.element(DER.sequence, name, DER.element(DER.set, DER.element(DER.bmpString, SecureBytes(value))))
    }

    /// The whole field `[0] attributes`.
    static var encoded: SecureBytes { DER.element(DER.constructed(0), attribute) }

    /// Whether it is among these attributes.
    static func isIn(_ attributes: RawSpan) -> Bool {
        var reader = DERReader(attributes)
        while let contents = reader.next(DER.sequence) {
            if DER.element(DER.sequence, SecureBytes(contents)) == attribute { return true }
        }
        return false
    }
}

extension MLDSA.PrivateKey {
    /// Reads RFC 9881's choice of forms.
    fileprivate init(choice: RawSpan, _ parameters: MLDSA.Parameters) throws(KeyError) {
        var reader = DERReader(choice)
        if let seed = reader.next(DER.primitive(0), length: MLDSA.seedLength), reader.isAtEnd {
            guard let key = MLDSA.PrivateKey(seed: SecureBytes(seed), parameters) else { throw .malformed }
            self = key
        } else if let expanded = reader.next(DER.octetString, length: parameters.expandedKeyLength), reader.isAtEnd {
            guard let key = MLDSA.PrivateKey(expanded: SecureBytes(expanded), parameters) else { throw .inconsistent }
            self = key
        } else if let both = reader.next(DER.sequence), reader.isAtEnd {
            var parts = DERReader(both)
            guard let seed = parts.next(DER.octetString, length: MLDSA.seedLength),
                let expanded = parts.next(DER.octetString, length: parameters.expandedKeyLength), parts.isAtEnd,
                let key = MLDSA.PrivateKey(seed: SecureBytes(seed), parameters)
            else { throw .malformed }
            guard key.expanded == SecureBytes(expanded) else { throw .inconsistent }
            self = key
        } else {
            throw .malformed
        }
    }
}

extension ECDSA.PrivateKey {
    /// Reads PKCS#8 of a key on this curve.
    fileprivate init(_ curve: ECDSA.Curve, pkcs8 der: RawSpan) throws(KeyError) {
        guard let handle = der.withUnsafeBytes({ KeyHandle(pkcs8: $0) }), ECDSA.isSound(handle, curve) else {
            ERR_clear_error()
            throw .malformed
        }
        // Made anew from its scalar: the form of a point that came along would stay with the key otherwise.
        guard let key = ECDSA.PrivateKey(curve, scalar: ECDSA.scalar(handle).span) else { throw .malformed }
        self = key
    }

    /// ECPrivateKey without the curve, which is in the algorithm, and with the public key as a point of 65 bytes: as OpenSSL writes it.
    fileprivate var privateKeyInfo: SecureBytes {
        let point = SecureBytes(count: 2 + 2 * ECDSA.scalarLength) { output in
            output[1] = 4
            handle.copyNumber(OSSL_PKEY_PARAM_EC_PUB_X, into: UnsafeMutableRawBufferPointer(rebasing: output[2..<34]))
            handle.copyNumber(OSSL_PKEY_PARAM_EC_PUB_Y, into: UnsafeMutableRawBufferPointer(rebasing: output[34...]))
        }
        return DER.element(
            DER.sequence, DER.element(DER.integer, SecureBytes([1])), DER.element(DER.octetString, scalar),
            DER.element(DER.constructed(1), DER.element(DER.bitString, point)))
    }
}

extension KeyHandle {
    /// A private key from PKCS#8 with nothing behind it.
    fileprivate convenience init?(pkcs8 der: UnsafeRawBufferPointer) {
        var cursor = der.octets
        guard let info = d2i_PKCS8_PRIV_KEY_INFO(nil, &cursor, der.count) else { return nil }
        defer { PKCS8_PRIV_KEY_INFO_free(info) }
        self.init(EVP_PKCS82PKEY(info))
        guard cursor == der.octets.map({ $0 + der.count }) else { return nil }
    }

    /// A number of this key, big endian and padded.
    fileprivate func copyNumber(_ name: String, into output: UnsafeMutableRawBufferPointer) {
        var number: OpaquePointer?
        EVP_PKEY_get_bn_param(pointer, name, &number)
        defer { BN_free(number) }
        _ = BN_bn2binpad(number, output.octets, Int32(output.count))
    }
}
