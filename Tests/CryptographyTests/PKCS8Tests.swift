import COpenSSL
import Testing
import WaggleBase

@testable import WaggleCryptography

/// PEM and PKCS#8, against files that OpenSSL wrote and against the OpenSSL that is linked.
@Suite struct PKCS8Tests {
    static let kinds = KeyKind.allCases.map(\.option)
    static let lattice = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]

    private func block(_ name: String) throws -> PEM.Block {
        let text = try Vectors.bytes("openssl-keys/\(name).pem")
        return try #require(PEM.decode(text))
    }

    private func pair(_ name: String, _ form: PublicKey.Form = .libp2p) throws -> IdentityKeyPair {
        try IdentityKeyPair(pkcs8: try block(name).contents, form: form)
    }

    /// The bit string of a SubjectPublicKeyInfo.
    private func subject(_ name: String) throws -> Bytes {
        let block = try #require(PEM.decode(Vectors.bytes("openssl-keys/\(name).pub.pem")))
        #expect(block.label == "PUBLIC KEY")
        var outer = DERReader(block.contents.span)
        let content = outer.bytes(DER.sequence)
        let info = try #require(content)
        var inner = DERReader(info.span)
        _ = inner.next(DER.sequence)
        let bits = inner.bytes(DER.bitString)
        return try #require(bits).dropFirst()
    }

    @Test(arguments: kinds)
    func openSSLWritesWhatWeWrite(kind: String) throws {
        let pair = try pair(kind)
        #expect(pair.publicKey.kind.option == kind)
        let file = try Vectors.bytes("openssl-keys/\(kind).pem")
        #expect(Bytes(pair.pem.span) == file)
        #expect(try block(kind).label == PEM.privateKey)
        #expect(try block(kind).contents == pair.pkcs8)
    }

    @Test(arguments: kinds)
    func publicKeysAgree(kind: String) throws {
        let pair = try pair(kind), theirs = try subject(kind)
        switch pair.publicKey.kind {
        case .ed25519: #expect(pair.publicKey.raw == theirs)
        case .secp256k1: #expect(pair.publicKey.raw.dropFirst() == theirs[1..<33])
        case .mlDSA44, .mlDSA65, .mlDSA87: #expect(pair.publicKey.mlDSA?.encoded == theirs)
        case .slhDSAShake128s: #expect(pair.publicKey.slhDSA?.encoded == theirs)
        case .rsa, .ecdsa: #expect(pair.publicKey.raw.dropFirst(pair.publicKey.raw.count - theirs.count) == theirs)
        }
    }

    @Test(arguments: lattice)
    func allFormsOfMLDSA(kind: String) throws {
        let seed = try pair(kind)
        let both = try pair("\(kind)-seed-priv"), expanded = try pair("\(kind)-priv-only")
        #expect(both.publicKey == seed.publicKey && expanded.publicKey == seed.publicKey)
        // The seed is kept where it is known; it cannot be had from the expanded key, which then stays as it is.
        #expect(both.pkcs8 == seed.pkcs8)
        #expect(expanded.pkcs8 == (try block("\(kind)-priv-only").contents))
        #expect(expanded.sign("x") == seed.sign("x"))
        let again = try IdentityKeyPair(decoding: expanded.encoded)
        #expect(again.publicKey == seed.publicKey && again.mlDSA?.seed == nil)
    }

    /// Every byte of both parts counts.
    @Test(arguments: lattice)
    func contradictionsAreRefused(kind: String) throws {
        let der = try block("\(kind)-seed-priv").contents.revealed.array
        // The seed, the digest of the public key, a secret, the last byte of t0.
        let start = der.count - (try #require(KeyKind(option: kind)?.moduleLattice).expandedKeyLength)
        for index in [start - 5, start, start + 64, start + 130, der.count - 1] {
            var wrong = der
            wrong[index] ^= 1
            #expect(throws: KeyError.self) { try IdentityKeyPair(pkcs8: SecureBytes(wrong)) }
        }
        var short = try block("\(kind)-priv-only").contents.revealed.array
        short[short.count - 1] ^= 1
        #expect(throws: KeyError.inconsistent) { try IdentityKeyPair(pkcs8: SecureBytes(short)) }
    }

    @Test func slhDSARootIsChecked() throws {
        var der = try block("slh-dsa-shake-128s").contents.revealed.array
        der[der.count - 1] ^= 1
        #expect(throws: KeyError.inconsistent) { try IdentityKeyPair(pkcs8: SecureBytes(der)) }
    }

    @Test(arguments: ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "slh-dsa-shake-128s"])
    func signaturesOfOpenSSL(kind: String) throws {
        let key = try pair(kind).publicKey
        let signature = try Vectors.bytes("openssl-keys/\(kind).sig")
        #expect(key.verify(signature, of: "Libp2p is the _best_!"))
        #expect(!key.verify(signature, of: "Libp2p is the _worst_!"))
        #expect(signature.count == key.kind.maximumSignatureLength)
    }

    /// The OpenSSL that is linked reads what we write, where it knows the algorithm.
    @Test(arguments: [KeyKind.ed25519, .rsa, .ecdsa, .secp256k1])
    func linkedOpenSSLReadsOurs(kind: KeyKind) throws {
        let pair = try IdentityKeyPair(generating: kind, random: SecureBytes(Bytes(pseudorandom: kind.randomLength, seed: 77)))
        let der = pair.pkcs8
        let key = der.withUnsafeBytes { bytes in
            var cursor = bytes.bindMemory(to: UInt8.self).baseAddress
            return d2i_AutoPrivateKey(nil, &cursor, bytes.count)
        }
        defer { EVP_PKEY_free(key) }
        try #require(key != nil)
        let context = EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
        defer { EVP_PKEY_CTX_free(context) }
        #expect(EVP_PKEY_pairwise_check(context) == 1)
        #expect(try IdentityKeyPair(pkcs8: der).publicKey == pair.publicKey)
    }

    /// Version 2 says the public key too (RFC 5958), as some programs do for Ed25519.
    @Test func versionTwo() throws {
        let pair = try pair("ed25519")
        func made(_ version: UInt8, _ key: Bytes) -> SecureBytes {
            let bits = DER.element(DER.primitive(1), SecureBytes([0]), SecureBytes(key))
            let algorithm = DER.element(DER.sequence, SecureBytes(KeyAlgorithm.contents(.ed25519)))
            var reader = DERReader(pair.pkcs8.span)
            let secret = SecureBytes((reader.bytes(DER.sequence) ?? Bytes()).dropFirst(3 + algorithm.count))
            return DER.element(DER.sequence, DER.element(DER.integer, SecureBytes([version])), algorithm, secret, bits)
        }
        #expect(try IdentityKeyPair(pkcs8: made(1, pair.publicKey.raw)).publicKey == pair.publicKey)
        #expect(throws: KeyError.inconsistent) { try IdentityKeyPair(pkcs8: made(1, Bytes(pseudorandom: 32, seed: 3))) }
        #expect(throws: KeyError.malformed) { try IdentityKeyPair(pkcs8: made(0, pair.publicKey.raw)) }
        #expect(throws: KeyError.malformed) { try IdentityKeyPair(pkcs8: made(2, pair.publicKey.raw)) }
    }

    @Test func sizesAndAlgorithms() throws {
        #expect(throws: KeyError.sizeRefused(bytes: KeyLimits.pkcs8Length + 1)) {
            try IdentityKeyPair(pkcs8: SecureBytes([UInt8](repeating: 0x30, count: KeyLimits.pkcs8Length + 1)))
        }
        // X25519 instead of Ed25519.
        var der = try block("ed25519").contents.revealed.array
        der[11] = 0x6e
        #expect(throws: KeyError.unsupportedAlgorithm) { try IdentityKeyPair(pkcs8: SecureBytes(der)) }
        #expect(throws: KeyError.malformed) { try IdentityKeyPair(pkcs8: SecureBytes(der + [0])) }
    }

    @Test func pemIsStrictAboutBase64() throws {
        let text = String(decoding: try Vectors.bytes("openssl-keys/ml-dsa-65.pem"), as: UTF8.self)
        func decodes(_ text: String) -> Bool { PEM.decode(Bytes(utf8: text)) != nil }
        #expect(decodes(text))
        #expect(decodes("a remark\n\n" + text + "more\n"))
        #expect(decodes(text.replacing("\n", with: "\r\n")))
        #expect(decodes(String(text.dropLast())))
        #expect(!decodes(text.replacing("END PRIVATE", with: "END PUBLIC")))
        #expect(!decodes(text.replacing("MDQC", with: "MD=C")))
        #expect(!decodes(text.replacing("MDQC", with: "MDQ")))
        #expect(!decodes(text.replacing("MDQC", with: "MD-C")))
        #expect(!decodes(text.replacing("-----END", with: "=---\n-----END")))
        #expect(!decodes("-----BEGIN X-----\n-----END X-----\n"))
        #expect(!decodes(text + String(repeating: " ", count: KeyLimits.pemLength)))
        for length in 1..<200 {
            let contents = SecureBytes(Bytes(pseudorandom: length, seed: UInt64(length)))
            #expect(PEM.decode(PEM.encode("X Y", contents).revealed)?.contents == contents)
        }
    }
}

extension PEM {
    fileprivate static func decode(_ text: Bytes) -> Block? { decode(text.span) }
}

extension DERReader {
    fileprivate mutating func bytes(_ tag: UInt8) -> Bytes? {
        guard let contents = next(tag) else { return nil }
        return Bytes(contents)
    }
}
