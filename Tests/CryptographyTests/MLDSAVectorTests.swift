import Testing
import WaggleBase
import WaggleCryptography

/// Every vector of ML-DSA-65 on every set of kernels.
@Suite(.serialized) struct MLDSAVectorTests {
    // ACVP (NIST).

    struct KeyCase: Decodable {
        let tcId: Int
        let seed, pk, sk: Hex?
    }

    @Test(arguments: KernelLevel.available)
    func acvpKeyGeneration(level: KernelLevel) throws {
        let (prompts, answers) = try ACVPFile<KeyCase>.pair("ML-DSA-keyGen-FIPS204") { $0.tcId }
        var checked = 0
        try level.held {
            for (_, prompt) in prompts {
                let answer = try #require(answers[prompt.tcId])
                let key = try #require(MLDSA.PrivateKey(seed: SecureBytes(prompt.seed.required()), .mldsa65))
                #expect(key.publicKey.encoded == answer.pk?.bytes, "test \(prompt.tcId)")
                #expect(key.expanded.revealed == answer.sk?.bytes, "test \(prompt.tcId)")
                checked += 1
            }
        }
        #expect(checked == 25)
    }

    struct SigningCase: Decodable {
        let tcId: Int
        let sk, message, mu, context, rnd, signature: Hex?
        let hashAlg: String?
    }

    @Test(arguments: KernelLevel.available)
    func acvpSigning(level: KernelLevel) throws {
        let (prompts, answers) = try ACVPFile<SigningCase>.pair("ML-DSA-sigGen-FIPS204") { $0.tcId }
        var checked = 0
        try level.held {
            for (group, test) in prompts {
                let key = try #require(MLDSA.PrivateKey(expanded: SecureBytes(test.sk.required()), .mldsa65))
                let randomness = test.rnd.map { SecureBytes($0.bytes) }
                #expect((randomness == nil) == group.deterministic)
                let signature: Bytes? =
                    switch (group.externalMu, group.preHash) {
                    case (true?, _): try key.sign(representative: test.mu.required(), randomness: randomness)
                    case (false?, _): try key.sign(bare: test.message.required(), randomness: randomness)
                    case (_, "pure"?):
                        try key.sign(test.message.required(), context: test.context.required(), randomness: randomness)
                    default:
                        try key.sign(
                            hashing: test.message.required(), PreHash.named(test.hashAlg), context: test.context.required(),
                            randomness: randomness)
                    }
                #expect(signature == answers[test.tcId]?.signature?.bytes, "test \(test.tcId)")
                checked += 1
            }
        }
        #expect(checked == 120)
    }

    struct VerificationCase: Decodable {
        let tcId: Int
        let pk, message, mu, context, signature: Hex?
        let hashAlg: String?
        let testPassed: Bool
    }

    @Test(arguments: KernelLevel.available)
    func acvpVerification(level: KernelLevel) throws {
        let groups = try ACVPFile<VerificationCase>.groups("ML-DSA-sigVer-FIPS204/internalProjection")
        var checked = 0
        try level.held {
            for group in groups {
                for test in group.tests {
                    let key = try #require(MLDSA.PublicKey(test.pk.required(), .mldsa65))
                    let signature = try test.signature.required()
                    let isValid =
                        switch (group.signatureInterface, group.preHash) {
                        case ("internal", _) where group.externalMu == true:
                            try key.verify(signature, ofRepresentative: test.mu.required())
                        case ("internal", _): try key.verify(signature, ofBare: test.message.required())
                        case (_, "pure"?): try key.verify(signature, of: test.message.required(), context: test.context.required())
                        default:
                            try key.verify(
                                signature, ofHashed: test.message.required(), PreHash.named(test.hashAlg), context: test.context.required())
                        }
                    #expect(isValid == test.testPassed, "test \(test.tcId)")
                    checked += 1
                }
            }
        }
        #expect(checked == 60)
    }

    // Wycheproof.

    struct SigningGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let msg, mu, ctx, rnd, sig: Hex?
            let result: Verdict
        }
        let privateKey, privateSeed, publicKey: Hex?
        let tests: [Case]
    }

    @Test(arguments: KernelLevel.available, ["noseed", "seed"])
    func wycheproofSigning(level: KernelLevel, form: String) throws {
        let file = try Wycheproof<SigningGroup>.load("mldsa_65_sign_\(form)")
        var checked = 0
        try level.held {
            for group in file.testGroups {
                let key =
                    try form == "seed"
                    ? MLDSA.PrivateKey(seed: SecureBytes(group.privateSeed.required()), .mldsa65)
                    : MLDSA.PrivateKey(expanded: SecureBytes(group.privateKey.required()), .mldsa65)
                if let key, let expected = group.publicKey?.bytes { #expect(key.publicKey.encoded == expected) }
                for test in group.tests {
                    check(test, key, "\(form) \(test.tcId)")
                    checked += 1
                }
            }
        }
        #expect(checked == file.numberOfTests)
    }

    private func check(_ test: SigningGroup.Case, _ key: MLDSA.PrivateKey?, _ label: Comment) {
        let randomness = test.rnd.map { SecureBytes($0.bytes) }
        let context = test.ctx?.bytes ?? Bytes()
        let signature: Bytes? =
            if let message = test.msg?.bytes {
                key?.sign(message, context: context, randomness: randomness)
            } else if let mu = test.mu?.bytes {
                key?.sign(representative: mu, randomness: randomness)
            } else {
                nil
            }
        #expect((signature != nil) == (test.result == .valid), label)
        guard let signature, let key else { return }
        #expect(signature == test.sig?.bytes, label)
        if let message = test.msg?.bytes {
            #expect(key.publicKey.verify(signature, of: message, context: context), label)
            if let mu = test.mu?.bytes { #expect(key.publicKey.representative(of: message, context: context) == mu, label) }
        } else if let mu = test.mu?.bytes {
            #expect(key.publicKey.verify(signature, ofRepresentative: mu), label)
        }
    }

    struct VerificationGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let msg, ctx, sig: Hex?
            let result: Verdict
        }
        let publicKey: Hex?
        let tests: [Case]
    }

    @Test(arguments: KernelLevel.available)
    func wycheproofVerification(level: KernelLevel) throws {
        let file = try Wycheproof<VerificationGroup>.load("mldsa_65_verify")
        var checked = 0
        try level.held {
            for group in file.testGroups {
                let key = try MLDSA.PublicKey(group.publicKey.required(), .mldsa65)
                for test in group.tests {
                    let isValid = try key?.verify(test.sig.required(), of: test.msg.required(), context: test.ctx?.bytes ?? Bytes())
                    #expect((isValid ?? false) == (test.result == .valid), "test \(test.tcId)")
                    checked += 1
                }
            }
        }
        #expect(checked == file.numberOfTests)
    }
}
