import Testing
import WaggleBase

@testable import WaggleCryptography

@Suite struct SignatureVectorTests {
    struct Group: Decodable {
        struct Key: Decodable {
            let pk: Hex?
            let uncompressed: Hex?
        }
        struct Case: Decodable {
            let tcId: Int
            let msg, sig: Hex
            let result: Verdict
        }
        let publicKey: Key?
        let publicKeyDer: Hex
        let tests: [Case]
    }

    private func check(_ name: String, _ makeKey: (Group) throws -> (Bytes, Bytes) -> Bool) throws {
        let file = try Wycheproof<Group>.load(name)
        var checked = 0
        for group in file.testGroups {
            let verify = try makeKey(group)
            for test in group.tests {
                let accepted = verify(test.sig.bytes, test.msg.bytes)
                // "Acceptable" are RSA signatures whose DigestInfo lacks its NULL; libcrypto refuses them.
                #expect(accepted == (test.result == .valid), "\(name) test \(test.tcId)")
                checked += 1
            }
        }
        #expect(checked == file.numberOfTests)
    }

    @Test func wycheproofEd25519() throws {
        try check("ed25519") { group in
            let raw = try #require(group.publicKey?.pk?.bytes)
            let key = try #require(Ed25519.PublicKey(raw))
            return { key.verify($0.span, of: $1.span) }
        }
    }

    @Test func wycheproofP256() throws {
        try check("ecdsa_secp256r1_sha256") { group in
            let key = try #require(ECDSA.PublicKey(.p256, subjectPublicKeyInfo: group.publicKeyDer.bytes))
            #expect(key.subjectPublicKeyInfo == group.publicKeyDer.bytes)
            return { key.verify($0.span, of: $1.span) }
        }
    }

    @Test func wycheproofSecp256k1() throws {
        try check("ecdsa_secp256k1_sha256") { group in
            let whole = try #require(group.publicKey?.uncompressed?.bytes)
            let point = Bytes([2 | whole[64] & 1] + whole[1..<33])
            let key = try #require(ECDSA.PublicKey(.secp256k1, point: point))
            #expect(key.point == point)
            return { key.verify($0.span, of: $1.span) }
        }
    }

    @Test func wycheproofRSA() throws {
        try check("rsa_signature_2048_sha256") { group in
            let key = try RSA.PublicKey(group.publicKeyDer.bytes)
            #expect(key.bits == 2048)
            return { key.verify($0.span, of: $1.span) }
        }
    }
}

@Suite struct X25519Tests {
    struct Group: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let `public`, `private`, shared: Hex
            let result: Verdict
            let flags: [String]
        }
        let tests: [Case]
    }

    @Test func wycheproof() throws {
        let file = try Wycheproof<Group>.load("x25519")
        var checked = 0
        var zeros = 0
        for test in file.testGroups.flatMap(\.tests) {
            let key = try #require(X25519.PrivateKey(test.private.bytes))
            let secret = key.sharedSecret(with: test.public.bytes)
            if test.flags.contains("ZeroSharedSecret") {
                #expect(secret == nil, "test \(test.tcId)")
                zeros += 1
            } else {
                #expect(secret?.revealed == test.shared.bytes, "test \(test.tcId)")
            }
            checked += 1
        }
        #expect(checked == file.numberOfTests && zeros > 0)
    }

    @Test func bothSidesAgree() throws {
        let one = try #require(X25519.PrivateKey(Bytes(pseudorandom: 32, seed: 1)))
        let two = try #require(X25519.PrivateKey(Bytes(pseudorandom: 32, seed: 2)))
        #expect(one.sharedSecret(with: two.publicKey) == two.sharedSecret(with: one.publicKey))
        #expect(X25519.PrivateKey(Bytes([1])) == nil)
        #expect(one.sharedSecret(with: Bytes([1])) == nil)
    }
}

@Suite struct IdentityTests {
    @Test(arguments: ["rsa", "ed25519", "secp256k1", "ecdsa"])
    func specificationVectors(name: String) throws {
        let vectors = try Vectors.json("libp2p-keys/peer_id_keys.json", as: [String: Hex].self)
        let privateKey = try #require(vectors["\(name) private key"]).bytes
        let publicKey = try #require(vectors["\(name) public key"]).bytes
        let pair = try IdentityKeyPair(decoding: privateKey)
        #expect(pair.publicKey.encoded == publicKey)
        #expect(pair.encoded.revealed == privateKey)
        let decoded = try PublicKey(decoding: publicKey)
        #expect(decoded == pair.publicKey && decoded.encoded == publicKey)
        let message = Bytes(utf8: "round and round")
        let signature = try #require(pair.sign(message))
        #expect(decoded.verify(signature, of: message))
        #expect(!decoded.verify(signature, of: "other"))
        #expect(!decoded.verify(signature.dropFirst(), of: message))
    }

    @Test(arguments: [0, 2, 3])
    func goVectors(type: Int) throws {
        let pair = try IdentityKeyPair(decoding: Vectors.bytes("libp2p-keys/\(type).priv"))
        let key = try PublicKey(decoding: Vectors.bytes("libp2p-keys/\(type).pub"))
        #expect(pair.publicKey == key)
        #expect(try pair.encoded.revealed == Vectors.bytes("libp2p-keys/\(type).priv"))
        #expect(try key.verify(Vectors.bytes("libp2p-keys/\(type).sig"), of: "Libp2p is the _best_!"))
    }

    @Test func ed25519WithRepeatedPublicKey() throws {
        let pair = try IdentityKeyPair(ed25519Seed: SecureBytes(Bytes(pseudorandom: 32, seed: 9)))
        let short = pair.encoded.revealed
        #expect(short.count == 68)
        let long = Bytes([8, 1, 18, 96] + short.dropFirst(4).array + pair.publicKey.raw.array)
        #expect(try IdentityKeyPair(decoding: long).publicKey == pair.publicKey)
        for index in [36, 99] {
            var wrong = long.array
            wrong[index] ^= 1
            #expect(throws: KeyError.inconsistent) { try IdentityKeyPair(decoding: Bytes(wrong)) }
        }
    }

    @Test func generatedKeysRoundTrip() throws {
        for pair in [
            try IdentityKeyPair(try #require(ECDSA.PrivateKey.generate(.p256))), try IdentityKeyPair(try #require(ECDSA.PrivateKey.generate(.secp256k1))),
            try IdentityKeyPair(try #require(RSA.PrivateKey.generate(bits: 2048))),
        ] {
            let again = try IdentityKeyPair(decoding: pair.encoded)
            #expect(again.publicKey == pair.publicKey)
            #expect(again.publicKey.verify(try #require(pair.sign("x")), of: "x"))
        }
        #expect(RSA.PrivateKey.generate(bits: 1024) == nil)
        #expect(RSA.PrivateKey.generate(bits: 8193) == nil)
    }

    /// Implementations made for blockchains, js-libp2p's and rust-libp2p's among them, accept the smaller of two values of s only.
    @Test func secp256k1SignaturesAreNormal() throws {
        let key = try #require(ECDSA.PrivateKey(.secp256k1, scalar: Bytes(pseudorandom: 32, seed: 4)))
        let half = try #require(Bytes(hex: "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")).array
        for number in 0..<64 {
            let message = Bytes(utf8: "message \(number)")
            let signed = key.sign(message.span)
            let signature = try #require(signed)
            let isValid = key.publicKey.verify(signature.span, of: message.span)
            #expect(isValid)
            let s = Array(signature.array.dropFirst(6 + Int(signature[3])))
            #expect(s.count < 32 || (s.count == 32 && !half.lexicographicallyPrecedes(s)))
            #expect(ECDSA.withSmallS(signature) == signature)
        }
        // Large s is a valid signature for us, as for go-libp2p, and becomes small: one from Wycheproof, and its sibling.
        let large = try #require(Bytes(hex: "30450220" + String(repeating: "0", count: 63) + "1022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140"))
        #expect(ECDSA.withSmallS(large) == nil)
        let three = try #require(Bytes(hex: "3026020101022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140"))
        #expect(ECDSA.withSmallS(three) == [0x30, 6, 2, 1, 1, 2, 1, 1])
        #expect(ECDSA.withSmallS([0x30, 1, 2]) == nil)
    }

    @Test func secp256k1ScalarRange() throws {
        let order = try #require(Bytes(hex: "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"))
        #expect(ECDSA.PrivateKey(.secp256k1, scalar: order) == nil)
        #expect(ECDSA.PrivateKey(.secp256k1, scalar: Bytes([UInt8](repeating: 0, count: 32))) == nil)
        #expect(ECDSA.PrivateKey(.secp256k1, scalar: Bytes([UInt8](repeating: 0xff, count: 32))) == nil)
        #expect(ECDSA.PrivateKey(.secp256k1, scalar: Bytes([UInt8](repeating: 0, count: 31) + [1])) != nil)
    }

    /// Anything but the one encoding is refused: else one key could have many PeerIDs.
    @Test func onlyTheCanonicalEncoding() throws {
        let vectors = try Vectors.json("libp2p-keys/peer_id_keys.json", as: [String: Hex].self)
        for (name, key) in vectors where name.hasSuffix("public key") {
            let bytes = key.bytes.array
            var variants: [[UInt8]] = [[], bytes + [0], bytes + [0x1a, 0]]
            variants.append(Array(bytes.dropLast()))
            variants.append([0x12] + bytes.dropFirst())
            variants.append([bytes[0], bytes[1] | 0x80, 0] + bytes[2...])
            variants.append(Array(bytes[2...]) + bytes[0..<2])
            for variant in variants {
                #expect(throws: KeyError.self) { try PublicKey(decoding: Bytes(variant)) }
            }
        }
        #expect(throws: KeyError.unsupportedType(77)) { try PublicKey(decoding: Bytes([8, 77, 18, 1, 0])) }
        // A point that is not on the curve.
        #expect(throws: KeyError.malformed) { try PublicKey(.secp256k1, raw: Bytes([2] + [UInt8](repeating: 0xff, count: 32))) }
        #expect(throws: KeyError.malformed) { try PublicKey(.ed25519, raw: Bytes([UInt8](repeating: 1, count: 31))) }
    }

    /// Sizes are refused before the numbers are read.
    @Test func rsaLimits() throws {
        func key(bits: Int, exponent: [UInt8] = [1, 0, 1]) -> Bytes {
            func tagged(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
                let length = content.count
                let head: [UInt8] =
                    length < 128 ? [UInt8(length)] : length < 256 ? [0x81, UInt8(length)] : [0x82, UInt8(length >> 8), UInt8(length & 255)]
                return [tag] + head + content
            }
            let modulus = [0, 0x80] + [UInt8](repeating: 0x55, count: bits / 8 - 1)
            let numbers = tagged(0x30, tagged(2, modulus) + tagged(2, exponent))
            let algorithm: [UInt8] = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0]
            return Bytes(tagged(0x30, algorithm + tagged(3, [0] + numbers)))
        }
        #expect(try RSA.PublicKey(key(bits: 2048)).bits == 2048)
        #expect(try RSA.PublicKey(key(bits: 8192)).bits == 8192)
        #expect(throws: KeyError.sizeRefused(bytes: 255)) { try RSA.PublicKey(key(bits: 2040)) }
        #expect(throws: KeyError.sizeRefused(bytes: 1025)) { try RSA.PublicKey(key(bits: 8200)) }
        #expect(throws: KeyError.self) { try RSA.PublicKey(key(bits: 16384)) }
        for exponent: [UInt8] in [[0], [1], [2], [1, 0, 0], [1, 0, 0, 0, 1]] {
            #expect(throws: KeyError.malformed) { try RSA.PublicKey(key(bits: 2048, exponent: exponent)) }
        }
    }
}
