import Testing
import WaggleBase
import WaggleCryptography

/// Every vector of SLH-DSA (ACVP, from NIST) on the best set of kernels; the slower ones take a part of them.
@Suite(.serialized) struct SLHDSAVectorTests {
    private func parameters(_ name: String?) throws -> SLHDSA.Parameters {
        try #require(SLHDSA.Parameters.all.first { $0.name == name })
    }

    struct KeyCase: Decodable {
        let tcId: Int
        let skSeed, skPrf, pkSeed, sk, pk: Hex?
    }

    @Test(arguments: KernelLevel.available)
    func acvpKeyGeneration(level: KernelLevel) throws {
        let (prompts, answers) = try ACVPFile<KeyCase>.pair("SLH-DSA-keyGen-FIPS205") { $0.tcId }
        #expect(prompts.count == 20)
        try level.held {
            for (group, test) in level == KernelLevel.available.last ? prompts : prompts.filter({ $0.1.tcId % 5 == 1 }) {
                let seed = try Bytes(test.skSeed.required().array + test.skPrf.required().array + test.pkSeed.required().array)
                let key = try #require(SLHDSA.PrivateKey(seed: SecureBytes(seed), parameters(group.parameterSet)))
                let answer = try #require(answers[test.tcId])
                #expect(key.encoded.revealed == answer.sk?.bytes, "test \(test.tcId)")
                #expect(key.publicKey.encoded == answer.pk?.bytes, "test \(test.tcId)")
            }
        }
    }

    struct SigningCase: Decodable {
        let tcId: Int
        let sk, message, context, additionalRandomness, signature: Hex?
        let hashAlg: String?
    }

    /// Signing, and verification of each signature in all its forms.
    @Test(arguments: KernelLevel.available)
    func acvpSigning(level: KernelLevel) throws {
        let (prompts, answers) = try ACVPFile<SigningCase>.pair("SLH-DSA-sigGen-FIPS205") { $0.tcId }
        #expect(prompts.count == 104)
        try level.held {
            for (group, test) in level == KernelLevel.available.last ? prompts : prompts.filter({ $0.1.tcId % 26 == 1 }) {
                let key = try #require(SLHDSA.PrivateKey(SecureBytes(test.sk.required()), parameters(group.parameterSet)))
                let randomness = test.additionalRandomness.map { SecureBytes($0.bytes) }
                #expect((randomness == nil) == group.deterministic)
                let message = try test.message.required()
                let expected = try #require(answers[test.tcId]?.signature?.bytes)
                let label: Comment = "test \(test.tcId)"
                if group.signatureInterface == "internal" {
                    #expect(key.sign(bare: message, randomness: randomness) == expected, label)
                    #expect(key.publicKey.verify(expected, ofBare: message), label)
                } else if group.preHash == "pure" {
                    let context = try test.context.required()
                    #expect(key.sign(message, context: context, randomness: randomness) == expected, label)
                    #expect(key.publicKey.verify(expected, of: message, context: context), label)
                } else {
                    let context = try test.context.required(), hash = try PreHash.named(test.hashAlg)
                    #expect(key.sign(hashing: message, hash, context: context, randomness: randomness) == expected, label)
                    #expect(key.publicKey.verify(expected, ofHashed: message, hash, context: context), label)
                }
            }
        }
    }

    struct VerificationCase: Decodable {
        let tcId: Int
        let pk, sk, message, signature, additionalRandomness: Hex?
        let testPassed: Bool
        let reason: String
    }

    @Test(arguments: KernelLevel.available)
    func acvpVerification(level: KernelLevel) throws {
        let groups = try ACVPFile<VerificationCase>.groups("SLH-DSA-sigVer-FIPS205-older/internalProjection")
        var checked = 0
        try level.held {
            for group in groups {
                let parameters = try parameters(group.parameterSet)
                for test in group.tests {
                    let key = try #require(SLHDSA.PublicKey(test.pk.required(), parameters))
                    let isValid = try key.verify(test.signature.required(), ofBare: test.message.required())
                    #expect(isValid == test.testPassed, "test \(test.tcId)")
                    checked += 1
                }
            }
        }
        #expect(checked == 45)
    }
}
