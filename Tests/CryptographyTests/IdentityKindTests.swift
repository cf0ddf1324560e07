import Synchronization
import Testing
import WaggleBase

@testable import WaggleCryptography

/// Identities of every kind, and the two ways to write those that libp2p has only drafts for.
@Suite struct IdentityKindTests {
    static let postQuantum: [KeyKind] = [.mlDSA44, .mlDSA65, .mlDSA87, .slhDSAShake128s]
    static let lattice: [KeyKind] = [.mlDSA44, .mlDSA65, .mlDSA87]

    private func pair(_ kind: KeyKind, seed: UInt64 = 5) throws -> IdentityKeyPair {
        try IdentityKeyPair(generating: kind, random: SecureBytes(Bytes(pseudorandom: kind.randomLength, seed: seed)))
    }

    @Test(arguments: KeyKind.allCases)
    func roundTrips(kind: KeyKind) throws {
        let pair = try pair(kind)
        #expect(pair.publicKey.kind == kind && KeyKind(option: kind.option) == kind)
        let again = try IdentityKeyPair(decoding: pair.encoded)
        #expect(again.publicKey == pair.publicKey && again.encoded == pair.encoded)
        let read = try PublicKey(decoding: pair.publicKey.encoded)
        #expect(read == pair.publicKey && read.form == pair.publicKey.form && read.raw == pair.publicKey.raw)
        let signature = try #require(again.sign("round and round"))
        #expect(read.verify(signature, of: "round and round"))
        #expect(!read.verify(signature, of: "round"))
        #expect(!read.verify(signature.dropFirst(), of: "round and round"))
        #expect(signature.count <= kind.maximumSignatureLength && signature.count <= KeyLimits.signatureLength)
        #expect(try IdentityKeyPair(pkcs8: pair.pkcs8).publicKey == pair.publicKey)
        #expect(kind.isPostQuantum == IdentityKindTests.postQuantum.contains(kind))
    }

    @Test(arguments: KeyKind.allCases.filter { $0 != .rsa })
    func keysAreMadeOfTheirSeed(kind: KeyKind) throws {
        #expect(try pair(kind).publicKey == pair(kind).publicKey)
        #expect(try pair(kind).publicKey != pair(kind, seed: 6).publicKey)
        #expect(throws: KeyError.sizeRefused(bytes: 31)) {
            try IdentityKeyPair(generating: kind, random: SecureBytes([UInt8](repeating: 1, count: 31)))
        }
    }

    /// RFC 0004: type 4, one byte for the parameters, the raw key; and the seed for a private key.
    @Test(arguments: zip(lattice, [UInt8(1), 2, 3]))
    func rfc0004(kind: KeyKind, variant: UInt8) throws {
        let pair = try pair(kind), key = try #require(pair.publicKey.mlDSA)
        let length = 1 + key.encoded.count
        let head: [UInt8] = [8, 4, 0x12, UInt8(length & 0x7f | 0x80), UInt8(length >> 7), variant]
        #expect(pair.publicKey.encoded == Bytes(head + key.encoded.array))
        let seed = try #require(pair.mlDSA?.seed)
        #expect(pair.encoded.revealed == Bytes([8, 4, 0x12, 33, variant] + seed.revealed.array))
        // The expanded form is a key too, and the same peer.
        let expanded = try #require(pair.mlDSA).expanded.revealed.array
        let size = expanded.count + 1
        let long = Bytes([8, 4, 0x12, UInt8(size & 0x7f | 0x80), UInt8(size >> 7), variant] + expanded)
        let imported = try IdentityKeyPair(decoding: long)
        #expect(imported.publicKey == pair.publicKey && imported.encoded.revealed == long)
        #expect(throws: KeyError.inconsistent) { try IdentityKeyPair(decoding: Bytes(long.dropLast() + [long[size] ^ 1])) }
    }

    /// Type 0x40 with SubjectPublicKeyInfo: the same key, another peer; and its private key as PKCS#8 under 0x41.
    @Test(arguments: lattice)
    func pkix(kind: KeyKind) throws {
        let libp2p = try pair(kind)
        let pkix = try IdentityKeyPair(try #require(libp2p.mlDSA), .pkix)
        #expect(pkix.publicKey != libp2p.publicKey && pkix.publicKey.mlDSA == libp2p.publicKey.mlDSA)
        #expect(pkix.publicKey.encoded.prefix(3) == [8, 0x40, 0x12])
        let read = try PublicKey(decoding: pkix.publicKey.encoded)
        #expect(read == pkix.publicKey && read.form == .pkix && read.kind == kind)
        #expect(read.verify(try #require(libp2p.sign("x")), of: "x"))
        let again = try IdentityKeyPair(decoding: pkix.encoded)
        #expect(pkix.encoded.revealed.prefix(3) == [8, 0x41, 0x12])
        #expect(again.publicKey == pkix.publicKey)
    }

    /// PEM keeps the form: an attribute says what libp2p's is not, and everyone else passes over it.
    @Test(arguments: lattice)
    func pemKeepsTheForm(kind: KeyKind) throws {
        let libp2p = try pair(kind), pkix = try IdentityKeyPair(try #require(libp2p.mlDSA), .pkix)
        func read(_ pair: IdentityKeyPair, _ form: PublicKey.Form? = nil) throws -> IdentityKeyPair {
            let block = PEM.decode(pair.pem.span)
            return try IdentityKeyPair(pkcs8: try #require(block).contents, form: form)
        }
        #expect(try read(libp2p).publicKey == libp2p.publicKey)
        #expect(try read(pkix).publicKey == pkix.publicKey)
        // What is asked for comes first.
        #expect(try read(libp2p, .pkix).publicKey == pkix.publicKey)
        #expect(try read(pkix, .libp2p).publicKey == libp2p.publicKey)
        // Other attributes mean nothing, and the keystore's own form has none.
        let block = PEM.decode(pkix.pem.span)
        let der = try #require(block).contents.revealed.array
        var other = der
        other[der.count - 1] = UInt8(ascii: "y")
        #expect(try IdentityKeyPair(pkcs8: SecureBytes(other)).publicKey == libp2p.publicKey)
        #expect(pkix.pkcs8 == libp2p.pkcs8 && der.count > libp2p.pkcs8.count)
    }

    /// With randomness each signature is another, and as good; without, always the same.
    @Test(arguments: [KeyKind.mlDSA65, .slhDSAShake128s, .ed25519])
    func hedgedSignatures(kind: KeyKind) throws {
        let pair = try pair(kind)
        let calls = Mutex<UInt64>(0)
        let hedged = pair.hedged { buffer in
            let call = calls.withLock {
                $0 += 1
                return $0
            }
            buffer.copyBytes(from: Bytes(pseudorandom: buffer.count, seed: call))
        }
        let first = try #require(hedged.sign("x")), second = try #require(hedged.sign("x"))
        #expect(pair.publicKey.verify(first, of: "x") && pair.publicKey.verify(second, of: "x"))
        #expect((first != second) == kind.isPostQuantum && pair.sign("x") == pair.sign("x"))
        #expect(calls.withLock { $0 } == (kind.isPostQuantum ? 2 : 0))
        #expect(hedged.encoded == pair.encoded)
    }

    @Test func slhDSAIsPKIX() throws {
        let pair = try pair(.slhDSAShake128s)
        let head: [UInt8] = [8, 0x40, 0x12, 50, 0x30, 48, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 26, 3, 33, 0]
        #expect(pair.publicKey.encoded == Bytes(head + (try #require(pair.publicKey.slhDSA)).encoded.array))
        #expect(pair.encoded.revealed.prefix(2) == [8, 0x41])
    }

    /// One key, one PeerID: what libp2p has a type for is not read in another's clothes.
    @Test(arguments: [KeyKind.rsa, .ed25519, .secp256k1, .ecdsa])
    func typesOfTheirOwn(kind: KeyKind) throws {
        let pair = try pair(kind)
        let info = kind == .ed25519 || kind == .secp256k1 ? SubjectPublicKeyInfo.encode(kind, pair.publicKey.raw) : pair.publicKey.raw
        #expect(throws: KeyError.unsupportedAlgorithm) { try PublicKey(decoding: KeyEnvelope.encode(type: 0x40, info.span)) }
        #expect(throws: KeyError.unsupportedAlgorithm) { try IdentityKeyPair(decoding: KeyEnvelope.encodeSecret(type: 0x41, pair.pkcs8)) }
    }

    @Test func onlyTheCanonicalEncoding() throws {
        for pair in try IdentityKindTests.postQuantum.map({ try pair($0) }) + [try IdentityKeyPair(try #require(pair(.mlDSA65).mlDSA), .pkix)] {
            let bytes = pair.publicKey.encoded.array
            var variants: [[UInt8]] = [bytes + [0], Array(bytes.dropLast()), bytes + [0x1a, 0], [8] + bytes.dropFirst(2), [bytes[0], bytes[1] | 0x80, 0] + bytes[2...]]
            // Everything in front of the key counts: types, variants, lengths, the object identifier, the unused bits.
            for index in 0..<(pair.publicKey.form == .pkix ? 22 : 6) {
                for change: UInt8 in [1, 0x80, 0xff] {
                    var wrong = bytes
                    wrong[index] ^= change
                    variants.append(wrong)
                }
            }
            for variant in variants {
                // A change may at most give another key in its own one encoding, as SLH-DSA's bytes of the wrong kind cannot.
                #expect(throws: KeyError.self) { try PublicKey(decoding: Bytes(variant)) }
            }
        }
    }

    @Test func limits() throws {
        let longest = try IdentityKeyPair(try #require(pair(.mlDSA87).mlDSA), .pkix).publicKey
        #expect(longest.raw.count == 2_614 && longest.raw.count <= KeyLimits.publicKeyLength)
        #expect(longest.encoded.count <= PublicKey.maximumLength)
        let over = Bytes([UInt8](repeating: 8, count: PublicKey.maximumLength + 1))
        #expect(throws: KeyError.sizeRefused(bytes: over.count)) { try PublicKey(decoding: over) }
        let secret = Bytes([UInt8](repeating: 8, count: IdentityKeyPair.maximumLength + 1))
        #expect(throws: KeyError.sizeRefused(bytes: secret.count)) { try IdentityKeyPair(decoding: secret) }
        #expect(KeyKind.allCases.map(\.maximumSignatureLength).max() == KeyLimits.signatureLength)
        #expect(throws: KeyError.sizeRefused(bytes: 128)) { try IdentityKeyPair(generatingRSA: 1024) }
        #expect(throws: KeyError.unsupportedType(0x41)) { try PublicKey(decoding: Bytes([8, 0x41, 0x12, 1, 0])) }
        #expect(throws: KeyError.unsupportedType(0x40)) { try IdentityKeyPair(decoding: Bytes([8, 0x40, 0x12, 1, 0])) }
    }
}
