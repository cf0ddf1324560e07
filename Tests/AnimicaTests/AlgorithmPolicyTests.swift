import Testing
import WaggleBase
import WaggleCryptography

@testable import WaggleStack

@Suite struct AlgorithmPolicyTests {
    private func sha3(_ parts: [UInt8]...) -> [UInt8] { SHA3.hash(Bytes(parts.flatMap { $0 }).span, .sha3_256).array }

    @Test func theRootIsAMerkleTree() throws {
        func leaf(_ category: UInt8, _ id: UInt16, _ name: String) -> [UInt8] {
            sha3([0, category, UInt8(id >> 8), UInt8(id & 255), UInt8(name.utf8.count)], Array(name.utf8))
        }
        let leaves = [
            leaf(1, 0x120c, "ML-KEM-768"), leaf(2, 0x1211, "ML-DSA-65"), leaf(2, 0x1221, "SLH-DSA-SHAKE-128s"),
            leaf(3, 29, "ChaCha20-Poly1305"), leaf(3, 2, "AES-256-GCM"), leaf(4, 0x16, "SHA3-256"),
        ]
        func node(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] { sha3([1], left, right) }
        let left = node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3]))
        #expect(AlgorithmPolicy.standard.root.array == node(left, node(leaves[4], leaves[5])))
    }

    @Test func everyChangeChangesTheRoot() throws {
        let all = AlgorithmPolicy.Algorithm.all
        var roots: Set<Digest256> = [AlgorithmPolicy.standard.root]
        roots.insert(try AlgorithmPolicy(all.reversed()).root)
        roots.insert(try AlgorithmPolicy([.mlKEM768, .mlDSA65, .chaCha20Poly1305, .aes256GCM, .sha3_256]).root)
        roots.insert(try AlgorithmPolicy([.mlKEM768, .slhDSAShake128s, .chaCha20Poly1305, .aes256GCM, .sha3_256]).root)
        roots.insert(try AlgorithmPolicy([.mlKEM768, .mlDSA65, .slhDSAShake128s, .aes256GCM, .chaCha20Poly1305, .sha3_256]).root)
        #expect(roots.count == 5)
    }

    @Test func listsThatAreNoPolicyAreRefused() throws {
        #expect(try AlgorithmPolicy(names: ["ml-kem-768", "ML-DSA-65", "SLH-DSA-SHAKE-128s", "ChaCha20-Poly1305", "AES-256-GCM", "SHA3-256"]) == .standard)
        #expect(throws: AlgorithmPolicy.Invalid.unknown("X25519")) { try AlgorithmPolicy(names: ["X25519"]) }
        #expect(throws: AlgorithmPolicy.Invalid.repeated("ML-KEM-768")) { try AlgorithmPolicy(names: ["ML-KEM-768", "ML-KEM-768"]) }
        #expect(throws: AlgorithmPolicy.Invalid.missing(.signature)) { try AlgorithmPolicy([.mlKEM768, .chaCha20Poly1305, .sha3_256]) }
    }
}
