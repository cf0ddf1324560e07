import Testing
import WaggleBase

@testable import WaggleCryptography

/// Our post-quantum primitives beside libcrypto's own, which has them from OpenSSL 3.5 on. `scripts/openssl` runs these with such a one where the
/// installed one is older.
@Suite(.serialized) struct LibcryptoAgreementTests {
    private static let reason: Comment = "the linked libcrypto is older than OpenSSL 3.5 and has none of these algorithms"
    private static func has(_ name: String) -> Bool { PostQuantum.Primitive(rawValue: name).map { PostQuantum.libcryptoHas($0) } ?? false }

    private func random(_ count: Int, _ seed: UInt64) -> SecureBytes { SecureBytes(Bytes(pseudorandom: count, seed: seed)) }

    @Test func whatIsKnownIsKnownByName() {
        let version = PostQuantum.libcryptoVersion
        #expect(version.hasPrefix("OpenSSL 3."))
        // All or nothing: they came with one version.
        #expect(Set(PostQuantum.Primitive.allCases.map { PostQuantum.libcryptoHas($0) }).count == 1)
        for primitive in PostQuantum.Primitive.allCases {
            #expect(PostQuantum.implementation(of: primitive) == .waggle)
            #expect((LibcryptoKey(primitive.rawValue, seed: nil) != nil) == PostQuantum.libcryptoHas(primitive))
        }
        #expect(LibcryptoKey("NO-SUCH-THING", seed: nil) == nil)
    }

    @Test(.enabled(if: has("ML-DSA-65"), reason), arguments: [MLDSA.Parameters.mldsa44, .mldsa65, .mldsa87])
    func latticeSignatures(parameters: MLDSA.Parameters) throws {
        for number: UInt64 in 1...8 {
            let seed = random(32, number)
            let ours = try #require(MLDSA.PrivateKey(seed: seed, parameters))
            // Keys both ways: theirs from the seed is ours; ours is read by them, theirs by us.
            let theirs = try #require(LibcryptoKey(parameters.name, seed: seed))
            #expect(theirs.publicKey == ours.publicKey.encoded)
            #expect(theirs.privateKey == ours.expanded)
            let given = try #require(LibcryptoKey(parameters.name, privateKey: ours.expanded))
            let verifier = try #require(LibcryptoKey(parameters.name, publicKey: ours.publicKey.encoded))
            let message = Bytes(pseudorandom: Int(number) * 50, seed: number), context = Bytes(pseudorandom: Int(number), seed: number + 40)
            // Deterministic and hedged signatures are the same bytes, so each verifies the other's.
            for randomness in [nil, random(32, number + 20)] {
                let signature = try #require(ours.sign(message, context: context, randomness: randomness))
                #expect(theirs.sign(.pure(message, context: context), randomness: randomness) == signature)
                #expect(given.sign(.pure(message, context: context), randomness: randomness) == signature)
                #expect(verifier.verify(signature, of: .pure(message, context: context)))
                #expect(!verifier.verify(signature, of: .pure(message, context: Bytes())))
                #expect(ours.publicKey.verify(signature, of: message, context: context))
                let representative = try #require(ours.publicKey.representative(of: message, context: context))
                #expect(verifier.verify(signature, of: .representative(representative)))
                var forged = signature.array
                forged[Int(number) * 101] ^= 1
                #expect(!verifier.verify(Bytes(forged), of: .pure(message, context: context)))
                #expect(!ours.publicKey.verify(Bytes(forged), of: message, context: context))
            }
            // A key and a signature of their own making.
            let foreign = try #require(LibcryptoKey(parameters.name, seed: nil))
            let secret = try #require(foreign.privateKey)
            let read = try #require(MLDSA.PrivateKey(expanded: secret, parameters))
            #expect(read.publicKey.encoded == foreign.publicKey)
            #expect(read.publicKey.verify(try #require(foreign.sign(.pure(message, context: context))), of: message, context: context))
        }
    }

    @Test(.enabled(if: has("SLH-DSA-SHAKE-128s"), reason)) func hashSignatures() throws {
        let parameters = SLHDSA.Parameters.shake128s
        let ours = try #require(SLHDSA.PrivateKey(seed: random(parameters.seedLength, 7), parameters))
        let theirs = try #require(LibcryptoKey(parameters.name, privateKey: ours.encoded))
        let verifier = try #require(LibcryptoKey(parameters.name, publicKey: ours.publicKey.encoded))
        let message = Bytes(utf8: "the message"), context = Bytes(utf8: "context")
        let signature = try #require(ours.sign(message, context: context))
        #expect(theirs.publicKey == ours.publicKey.encoded && theirs.privateKey == ours.encoded)
        #expect(theirs.sign(.pure(message, context: context)) == signature)
        #expect(verifier.verify(signature, of: .pure(message, context: context)))
        #expect(!verifier.verify(signature, of: .pure(message, context: Bytes())))
        let foreign = try #require(LibcryptoKey(parameters.name, seed: nil))
        let secret = try #require(foreign.privateKey)
        let read = try #require(SLHDSA.PrivateKey(secret, parameters))
        #expect(read.publicKey.encoded == foreign.publicKey)
        #expect(read.publicKey.verify(try #require(foreign.sign(.pure(message, context: context))), of: message, context: context))
    }

    /// Every other parameter set that libcrypto knows, where signing is quick.
    @Test(.enabled(if: has("SLH-DSA-SHAKE-128s"), reason), arguments: SLHDSA.Parameters.all.filter { $0.name.hasSuffix("f") })
    func quickHashSignatures(parameters: SLHDSA.Parameters) throws {
        let ours = try #require(SLHDSA.PrivateKey(seed: random(parameters.seedLength, 7), parameters))
        let theirs = try #require(LibcryptoKey(parameters.name, privateKey: ours.encoded))
        let message = Bytes(utf8: "the message")
        let signature = try #require(ours.sign(message))
        #expect(theirs.sign(.pure(message, context: Bytes())) == signature)
        #expect(theirs.verify(signature, of: .pure(message, context: Bytes())))
    }

    @Test(.enabled(if: has("ML-KEM-768"), reason)) func encapsulation() throws {
        for number: UInt64 in 1...16 {
            let (d, z, m) = (random(32, number), random(32, number + 30), random(32, number + 60))
            let ours = try #require(MLKEM768.generate(d: d, z: z))
            let theirs = try #require(LibcryptoKey("ML-KEM-768", seed: SecureBytes(Bytes(d.revealed.array + z.revealed.array))))
            #expect(theirs.publicKey == ours.encapsulationKey.encoded && theirs.privateKey == ours.encoded)
            let given = try #require(LibcryptoKey("ML-KEM-768", publicKey: ours.encapsulationKey.encoded))
            // The same secret and ciphertext from the same randomness, and from theirs.
            let made = try #require(MLKEM768.encapsulate(to: ours.encapsulationKey, m: m))
            let same = try #require(given.encapsulate(m))
            #expect(same.ciphertext == made.ciphertext && same.sharedSecret == made.sharedSecret)
            let other = try #require(given.encapsulate())
            #expect(ours.decapsulate(other.ciphertext) == other.sharedSecret)
            #expect(theirs.decapsulate(made.ciphertext) == made.sharedSecret)
            // Refused ciphertexts give the same unknown secret.
            var wrong = made.ciphertext.array
            wrong[Int(number) * 60] ^= 1
            #expect(ours.decapsulate(Bytes(wrong)) == theirs.decapsulate(Bytes(wrong)))
            #expect(theirs.decapsulate(Bytes(wrong.dropLast())) == nil && ours.decapsulate(Bytes(wrong.dropLast())) == nil)
            // A key of their own making.
            let foreign = try #require(LibcryptoKey("ML-KEM-768", seed: nil))
            let secret = try #require(foreign.privateKey)
            let read = try #require(MLKEM768.DecapsulationKey(secret))
            let answer = try #require(MLKEM768.encapsulate(to: read.encapsulationKey, m: m))
            #expect(foreign.decapsulate(answer.ciphertext) == answer.sharedSecret)
        }
    }

    /// With libcrypto chosen, our types give the same bytes through it. (Tests beside this one do not notice, for the same reason.)
    @Test(.enabled(if: has("ML-DSA-65"), reason)) func theChoiceChangesNoResult() throws {
        func everything() throws -> [Bytes] {
            var results: [Bytes] = []
            for parameters in [MLDSA.Parameters.mldsa44, .mldsa65, .mldsa87] {
                let key = try #require(MLDSA.PrivateKey(seed: random(32, 3), parameters))
                let signature = try #require(key.sign("message", context: "context", randomness: random(32, 4)))
                #expect(key.publicKey.verify(signature, of: "message", context: "context"))
                #expect(!key.publicKey.verify(signature, of: "massage", context: "context"))
                #expect(key.sign("message", randomness: random(31, 4)) == nil)
                results += [key.publicKey.encoded, signature, try #require(key.sign("message"))]
            }
            let key = try #require(SLHDSA.PrivateKey(seed: random(48, 5), .shake128s))
            let signature = try #require(key.sign("message", context: "context"))
            #expect(key.publicKey.verify(signature, of: "message", context: "context"))
            #expect(!key.publicKey.verify(signature, of: "massage", context: "context"))
            results.append(signature)
            let ours = try #require(MLKEM768.generate(d: random(32, 6), z: random(32, 7)))
            let made = try #require(MLKEM768.encapsulate(to: ours.encapsulationKey, m: random(32, 8)))
            #expect(ours.decapsulate(made.ciphertext) == made.sharedSecret)
            return results + [ours.encapsulationKey.encoded, made.ciphertext, made.sharedSecret.revealed]
        }
        let own = try everything()
        PostQuantum.use(.openssl)
        defer { PostQuantum.use(.waggle) }
        #expect(PostQuantum.Primitive.allCases.allSatisfy { PostQuantum.implementation(of: $0) == .openssl })
        #expect(try everything() == own)
    }
}
