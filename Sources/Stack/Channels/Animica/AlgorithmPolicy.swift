import WaggleBase
import WaggleCryptography

/// Which algorithms a chain network allows, in order of preference, with a root that stands for all of it.
///
/// Two nodes connect over `/animica/1` only when their roots are equal, so what is allowed is agreed on before a connection and cannot be
/// weakened while it is being set up. Spec: `docs/specs/animica-channel.md`, section "Algorithm policy".
public struct AlgorithmPolicy: Hashable, Sendable {
    /// What an algorithm does; the value is part of a leaf.
    public enum Category: UInt8, Sendable, CaseIterable {
        case kem = 1
        case signature = 2
        case cipher = 3
        case hash = 4
    }

    /// An algorithm that the channel knows.
    public struct Algorithm: Hashable, Sendable, CustomStringConvertible {
        public let category: Category
        /// KEMs and signatures: the multicodec of the public key. Ciphers: the number in IANA's AEAD registry. Hashes: the multihash code.
        public let id: UInt16
        /// The name of the standard, as configurations write it.
        public let name: String

        public var description: String { name }

        public static let mlKEM768 = Algorithm(category: .kem, id: 0x120c, name: "ML-KEM-768")
        public static let mlDSA65 = Algorithm(category: .signature, id: 0x1211, name: "ML-DSA-65")
        public static let slhDSAShake128s = Algorithm(category: .signature, id: 0x1221, name: "SLH-DSA-SHAKE-128s")
        public static let chaCha20Poly1305 = Algorithm(category: .cipher, id: 29, name: "ChaCha20-Poly1305")
        public static let aes256GCM = Algorithm(category: .cipher, id: 2, name: "AES-256-GCM")
        public static let sha3_256 = Algorithm(category: .hash, id: 0x16, name: "SHA3-256")

        /// All there are, in the standard order of preference.
        public static let all: [Algorithm] = [mlKEM768, mlDSA65, slhDSAShake128s, chaCha20Poly1305, aes256GCM, sha3_256]
    }

    /// Why a list is no policy.
    public enum Invalid: Error, Hashable, Sendable, CustomStringConvertible {
        case unknown(String)
        case repeated(String)
        /// No algorithm of this category that the channel needs.
        case missing(Category)

        public var description: String {
            switch self {
            case .unknown(let name):
                "\(name) is not an algorithm of the channel; there are \(Algorithm.all.map(\.name).joined(separator: ", "))"
            case .repeated(let name): "\(name) is named twice"
            case .missing(let category): "there is no \(category) algorithm in the list"
            }
        }
    }

    /// What is allowed, in the order that makes the root; within a category the best comes first.
    public let algorithms: [Algorithm]
    /// The Merkle root of the list.
    public let root: Digest256

    /// Everything the channel knows.
    public static let standard = AlgorithmPolicy(valid: Algorithm.all)

    /// Throws when an algorithm comes twice or a category has none.
    public init(_ algorithms: [Algorithm]) throws(Invalid) {
        var seen: Set<Algorithm> = []
        for algorithm in algorithms where !seen.insert(algorithm).inserted { throw .repeated(algorithm.name) }
        for category in Category.allCases where !algorithms.contains(where: { $0.category == category }) { throw .missing(category) }
        self.init(valid: algorithms)
    }

    /// The algorithms of these names, upper or lower case.
    public init(names: [String]) throws(Invalid) {
        var algorithms: [Algorithm] = []
        for name in names {
            guard let algorithm = Algorithm.all.first(where: { $0.name.lowercased() == name.lowercased() }) else { throw .unknown(name) }
            algorithms.append(algorithm)
        }
        try self.init(algorithms)
    }

    private init(valid algorithms: [Algorithm]) {
        self.algorithms = algorithms
        root = AlgorithmPolicy.root(of: algorithms.map(AlgorithmPolicy.leaf)[...])
    }

    /// The ids of a category, best first.
    public func ids(_ category: Category) -> [UInt16] { algorithms.filter { $0.category == category }.map(\.id) }

    /// Whether `id` is allowed as an algorithm of the category.
    public func allows(_ category: Category, _ id: UInt16) -> Bool { algorithms.contains { $0.category == category && $0.id == id } }

    // MARK: Root

    /// SHA3-256(00 ‖ category ‖ id, u16 big-endian ‖ length of the name, u8 ‖ name).
    static func leaf(_ algorithm: Algorithm) -> Digest256 {
        var writer = ByteWriter(capacity: 64)
        writer.write(0x00)
        writer.write(algorithm.category.rawValue)
        writer.write(integer: algorithm.id)
        writer.write(UInt8(truncatingIfNeeded: algorithm.name.utf8.count))
        writer.write(utf8: algorithm.name)
        return AnimicaSchedule.hash(writer.finish().span)
    }

    /// SHA3-256(01 ‖ left ‖ right), where the left side holds the largest power of two that is smaller than the number of leaves
    /// (the tree of RFC 9162, section 2.1.1).
    private static func root(of leaves: ArraySlice<Digest256>) -> Digest256 {
        guard leaves.count > 1 else { return leaves.first ?? AnimicaSchedule.hash(RawSpan()) }
        var split = 1
        while split * 2 < leaves.count { split *= 2 }
        var writer = ByteWriter(capacity: 65)
        writer.write(0x01)
        root(of: leaves.prefix(split)).withUnsafeBytes { writer.write($0) }
        root(of: leaves.dropFirst(split)).withUnsafeBytes { writer.write($0) }
        return AnimicaSchedule.hash(writer.finish().span)
    }
}
