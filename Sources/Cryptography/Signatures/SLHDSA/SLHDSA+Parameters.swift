extension SLHDSA {
    /// One of the twelve parameter sets (FIPS 205, table 2): "s" has small signatures, "f" signs fast.
    public struct Parameters: Sendable, Hashable, CustomStringConvertible {
        enum Family: Sendable {
            case shake, sha2
        }

        /// The standard's name, like SLH-DSA-SHAKE-128s.
        public let name: String
        let family: Family
        /// Size of a hash value in bytes (n).
        let hashLength: Int
        /// Layers of the hypertree (d), and the height of each of its trees (h').
        let layers, treeHeight: Int
        /// Height and number of the few-time trees (a and k).
        let fewTimeHeight, fewTimeTrees: Int

        private init(_ family: Family, _ strength: Int, _ suffix: String, layers: Int, treeHeight: Int, few: (height: Int, trees: Int)) {
            name = "SLH-DSA-\(family == .shake ? "SHAKE" : "SHA2")-\(strength)\(suffix)"
            self.family = family
            hashLength = strength / 8
            self.layers = layers
            self.treeHeight = treeHeight
            fewTimeHeight = few.height
            fewTimeTrees = few.trees
        }

        private static func small128(_ family: Family) -> Parameters {
            Parameters(family, 128, "s", layers: 7, treeHeight: 9, few: (12, 14))
        }
        private static func fast128(_ family: Family) -> Parameters {
            Parameters(family, 128, "f", layers: 22, treeHeight: 3, few: (6, 33))
        }
        private static func small192(_ family: Family) -> Parameters {
            Parameters(family, 192, "s", layers: 7, treeHeight: 9, few: (14, 17))
        }
        private static func fast192(_ family: Family) -> Parameters {
            Parameters(family, 192, "f", layers: 22, treeHeight: 3, few: (8, 33))
        }
        private static func small256(_ family: Family) -> Parameters {
            Parameters(family, 256, "s", layers: 8, treeHeight: 8, few: (14, 22))
        }
        private static func fast256(_ family: Family) -> Parameters {
            Parameters(family, 256, "f", layers: 17, treeHeight: 4, few: (9, 35))
        }

        /// Public keys of 32 bytes, signatures of 7,856.
        public static let shake128s = small128(.shake)
        public static let shake128f = fast128(.shake)
        public static let shake192s = small192(.shake)
        public static let shake192f = fast192(.shake)
        public static let shake256s = small256(.shake)
        public static let shake256f = fast256(.shake)
        public static let sha2_128s = small128(.sha2)
        public static let sha2_128f = fast128(.sha2)
        public static let sha2_192s = small192(.sha2)
        public static let sha2_192f = fast192(.sha2)
        public static let sha2_256s = small256(.sha2)
        public static let sha2_256f = fast256(.sha2)

        /// All of them.
        public static let all = [
            shake128s, shake128f, shake192s, shake192f, shake256s, shake256f,
            sha2_128s, sha2_128f, sha2_192s, sha2_192f, sha2_256s, sha2_256f,
        ]

        public var description: String { name }

        /// Size in bytes of what a key is made of: its secret seed, its secret for randomness, its public seed.
        public var seedLength: Int { 3 * hashLength }
        /// Size of a public key in bytes: its seed and the root.
        public var publicKeyLength: Int { 2 * hashLength }
        /// Size of a private key in bytes.
        public var privateKeyLength: Int { 4 * hashLength }
        /// Size of the randomness of a hedged signature in bytes.
        public var randomnessLength: Int { hashLength }
        /// Size of a signature in bytes.
        public var signatureLength: Int { hashLength + fewTimeLength + layers * layerLength }

        /// Size of the few-time signature, and of the part that each layer adds.
        var fewTimeLength: Int { fewTimeTrees * (1 + fewTimeHeight) * hashLength }
        var layerLength: Int { (2 * hashLength + 3 + treeHeight) * hashLength }
        /// Bits that choose a tree of the lowest layer.
        var treeBits: Int { (layers - 1) * treeHeight }
        /// Sizes in bytes of the three parts of a digest (m is their sum).
        var fewTimeDigestLength: Int { (fewTimeTrees * fewTimeHeight + 7) / 8 }
        var treeIndexLength: Int { (treeBits + 7) / 8 }
        var leafIndexLength: Int { (treeHeight + 7) / 8 }
        var digestLength: Int { fewTimeDigestLength + treeIndexLength + leafIndexLength }
    }
}
