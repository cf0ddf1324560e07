import Testing
import WaggleBase
import WaggleCryptography

/// An ACVP file of a signature scheme: groups that say how their tests sign.
struct ACVPFile<Case: Decodable>: Decodable {
    struct Group: Decodable {
        let parameterSet: String?
        let deterministic: Bool?
        let signatureInterface: String?
        let preHash: String?
        let externalMu: Bool?
        let tests: [Case]
    }

    let testGroups: [Group]

    static func groups(_ path: String) throws -> [Group] { try Vectors.json("acvp/\(path).json", as: ACVPFile.self).testGroups }

    /// The questions, each with its group, and the answers by number.
    static func pair(_ folder: String, _ number: (Case) -> Int) throws -> (prompts: [(Group, Case)], answers: [Int: Case]) {
        let prompts = try groups("\(folder)/prompt").flatMap { group in group.tests.map { (group, $0) } }
        let answers = try groups("\(folder)/expectedResults").flatMap(\.tests)
        return (prompts, Dictionary(uniqueKeysWithValues: answers.map { (number($0), $0) }))
    }
}

extension PreHash {
    /// The function that ACVP calls so.
    static func named(_ name: String?) throws -> PreHash {
        let names: [String: PreHash] = [
            "SHA2-224": .sha224, "SHA2-256": .sha256, "SHA2-384": .sha384, "SHA2-512": .sha512, "SHA2-512/224": .sha512_224,
            "SHA2-512/256": .sha512_256, "SHA3-224": .sha3_224, "SHA3-256": .sha3_256, "SHA3-384": .sha3_384, "SHA3-512": .sha3_512,
            "SHAKE-128": .shake128, "SHAKE-256": .shake256,
        ]
        return try #require(name.flatMap { names[$0] })
    }
}
