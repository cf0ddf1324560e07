import Testing
import WaggleBase
import WaggleCryptography

/// Every vector on every set of kernels.
@Suite(.serialized) struct MLKEMVectorTests {
    // ACVP (NIST).

    struct ACVP<Group: Decodable>: Decodable {
        let testGroups: [Group]

        static func load(_ path: String) throws -> [Group] {
            try Vectors.json("acvp/\(path).json", as: ACVP.self).testGroups
        }
    }

    struct KeyGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let d, z, ek, dk: Hex?
        }
        let parameterSet: String?
        let tests: [Case]
    }

    @Test(arguments: KernelLevel.available)
    func acvpKeyGeneration(level: KernelLevel) throws {
        let prompts = try ACVP<KeyGroup>.load("ML-KEM-keyGen-FIPS203/prompt").flatMap(\.tests)
        let answers = try ACVP<KeyGroup>.load("ML-KEM-keyGen-FIPS203/expectedResults").flatMap(\.tests)
        let byId = Dictionary(uniqueKeysWithValues: answers.map { ($0.tcId, $0) })
        #expect(prompts.count == 25 && answers.count == 25)
        try level.held {
            for prompt in prompts {
                let answer = try #require(byId[prompt.tcId])
                let key = try #require(
                    MLKEM768.generate(d: SecureBytes(prompt.d.required()), z: SecureBytes(prompt.z.required())))
                #expect(key.encapsulationKey.encoded == answer.ek?.bytes, "test \(prompt.tcId)")
                #expect(key.encoded.revealed == answer.dk?.bytes, "test \(prompt.tcId)")
            }
        }
    }

    struct EncapsulationGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let ek, dk, c, k, m: Hex?
            let testPassed: Bool?
        }
        let function: String
        let parameterSet: String
        let tests: [Case]
    }

    @Test(arguments: KernelLevel.available)
    func acvpEncapsulationDecapsulation(level: KernelLevel) throws {
        var checked: [String: Int] = [:]
        try level.held {
            for group in try ACVP<EncapsulationGroup>.load("ML-KEM-encapDecap-FIPS203/internalProjection") {
                #expect(group.parameterSet == "ML-KEM-768")
                for test in group.tests {
                    try check(test, group.function)
                    checked[group.function, default: 0] += 1
                }
            }
        }
        #expect(checked == ["encapsulation": 25, "decapsulation": 10, "decapsulationKeyCheck": 10, "encapsulationKeyCheck": 10])
    }

    private func check(_ test: EncapsulationGroup.Case, _ function: String) throws {
        let label = Comment(rawValue: "\(function) \(test.tcId)")
        switch function {
        case "encapsulation":
            let key = try #require(MLKEM768.EncapsulationKey(test.ek.required()))
            let result = try #require(MLKEM768.encapsulate(to: key, m: SecureBytes(test.m.required())))
            #expect(result.ciphertext == test.c?.bytes, label)
            #expect(result.sharedSecret.revealed == test.k?.bytes, label)
        case "decapsulation":
            let key = try #require(MLKEM768.DecapsulationKey(SecureBytes(test.dk.required())))
            #expect(try key.decapsulate(test.c.required())?.revealed == test.k?.bytes, label)
        case "decapsulationKeyCheck":
            #expect(try (MLKEM768.DecapsulationKey(SecureBytes(test.dk.required())) != nil) == test.testPassed, label)
        case "encapsulationKeyCheck":
            #expect(try (MLKEM768.EncapsulationKey(test.ek.required()) != nil) == test.testPassed, label)
        default:
            Issue.record("unknown function \(function)")
        }
    }

    // Wycheproof.

    struct WycheproofGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let seed, ek, dk, m, c, K: Hex?
            let result: Verdict
        }
        let parameterSet: String
        let tests: [Case]
    }

    private func check(_ name: String, _ level: KernelLevel, _ body: (WycheproofGroup.Case, Comment) throws -> Void) throws {
        let file = try Wycheproof<WycheproofGroup>.load(name)
        var checked = 0
        try level.held {
            for group in file.testGroups {
                #expect(group.parameterSet == "ML-KEM-768")
                for test in group.tests {
                    try body(test, "\(name) \(test.tcId)")
                    checked += 1
                }
            }
        }
        #expect(checked == file.numberOfTests)
    }

    private func generate(_ seed: Bytes) -> MLKEM768.DecapsulationKey? {
        MLKEM768.generate(d: SecureBytes(seed.prefix(32)), z: SecureBytes(seed.dropFirst(32)))
    }

    @Test(arguments: KernelLevel.available)
    func wycheproofKeyGeneration(level: KernelLevel) throws {
        try check("mlkem_768_keygen_seed", level) { test, label in
            let key = try #require(generate(test.seed.required()))
            #expect(key.encapsulationKey.encoded == test.ek?.bytes, label)
            #expect(key.encoded.revealed == test.dk?.bytes, label)
        }
    }

    @Test(arguments: KernelLevel.available)
    func wycheproofEncapsulation(level: KernelLevel) throws {
        try check("mlkem_768_encaps", level) { test, label in
            let key = try MLKEM768.EncapsulationKey(test.ek.required())
            let result = try key.flatMap { try MLKEM768.encapsulate(to: $0, m: SecureBytes(test.m.required())) }
            #expect((result != nil) == (test.result == .valid), label)
            guard let result else { return }
            #expect(result.ciphertext == test.c?.bytes, label)
            #expect(result.sharedSecret.revealed == test.K?.bytes, label)
        }
    }

    @Test(arguments: KernelLevel.available)
    func wycheproofDecapsulation(level: KernelLevel) throws {
        try check("mlkem_768", level) { test, label in
            let key = try generate(test.seed.required())
            if let key, let expected = test.ek?.bytes { #expect(key.encapsulationKey.encoded == expected, label) }
            let secret = try key.flatMap { try $0.decapsulate(test.c.required()) }
            #expect((secret != nil) == (test.result == .valid), label)
            if let secret { #expect(secret.revealed == test.K?.bytes, label) }
        }
    }

    @Test(arguments: KernelLevel.available)
    func wycheproofExpandedKeys(level: KernelLevel) throws {
        try check("mlkem_768_semi_expanded_decaps", level) { test, label in
            let key = try MLKEM768.DecapsulationKey(SecureBytes(test.dk.required()))
            let secret = try key.flatMap { try $0.decapsulate(test.c.required()) }
            #expect((secret != nil) == (test.result == .valid), label)
            if let secret { #expect(secret.revealed == test.K?.bytes, label) }
        }
    }
}

@Suite(.serialized) struct MLKEMTests {
    private func seed(_ number: UInt64) -> SecureBytes { SecureBytes(Bytes(pseudorandom: 32, seed: number)) }

    @Test(arguments: KernelLevel.available)
    func roundTripAndImplicitRejection(level: KernelLevel) throws {
        try level.held {
            for round: UInt64 in 0..<20 {
                let key = try #require(MLKEM768.generate(d: seed(3 * round + 1), z: seed(3 * round + 2)))
                let sent = try #require(MLKEM768.EncapsulationKey(key.encapsulationKey.encoded))
                let result = try #require(MLKEM768.encapsulate(to: sent, m: seed(3 * round + 3)))
                #expect(key.decapsulate(result.ciphertext) == result.sharedSecret)
                let stored = try #require(MLKEM768.DecapsulationKey(key.encoded))
                #expect(stored.decapsulate(result.ciphertext) == result.sharedSecret)

                // One wrong bit gives another secret, the same each time.
                var forged = result.ciphertext.array
                forged[Int(round * 53) % forged.count] ^= 1 << (round % 8)
                let rejected = try #require(key.decapsulate(Bytes(forged)))
                #expect(rejected != result.sharedSecret)
                #expect(stored.decapsulate(Bytes(forged)) == rejected)
            }
        }
    }

    @Test func wrongLengths() throws {
        let key = try #require(MLKEM768.generate(d: seed(1), z: seed(2)))
        #expect(MLKEM768.generate(d: SecureBytes([1]), z: seed(2)) == nil)
        #expect(MLKEM768.generate(d: seed(1), z: SecureBytes([1])) == nil)
        #expect(MLKEM768.encapsulate(to: key.encapsulationKey, m: SecureBytes([1])) == nil)
        #expect(key.decapsulate(Bytes()) == nil)
        #expect(MLKEM768.EncapsulationKey(Bytes()) == nil)
        #expect(MLKEM768.DecapsulationKey(SecureBytes([])) == nil)
    }

    /// Many keys, so that polynomials that need a fourth block of SHAKE128 occur; all kernels must agree.
    @Test func kernelsAgree() throws {
        var answers: [KernelLevel: Bytes] = [:]
        for level in KernelLevel.available {
            answers[level] = try level.held {
                var hash = SHA256()
                for number: UInt64 in 1...60 {
                    let key = try #require(MLKEM768.generate(d: seed(number), z: seed(number + 1000)))
                    let result = try #require(MLKEM768.encapsulate(to: key.encapsulationKey, m: seed(number + 2000)))
                    hash.update(key.encoded)
                    hash.update(result.ciphertext)
                }
                return hash.finish().bytes
            }
        }
        #expect(Set(answers.values).count == 1)
    }
}
