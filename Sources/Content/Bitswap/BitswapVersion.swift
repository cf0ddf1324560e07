import WaggleNetwork

/// The versions of the protocol, which differ in what messages may hold.
enum BitswapVersion: Int, Comparable, Sendable, CaseIterable {
    /// `/ipfs/bitswap` and `/ipfs/bitswap/1.0.0`: blocks without their CID, so SHA2-256 alone.
    case v1_0
    /// Blocks with a CID prefix.
    case v1_1
    /// Want-have, HAVE, DONT_HAVE, pending bytes.
    case v1_2

    /// All protocols, best first.
    static let protocols: [ProtocolID] = ["/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap"]

    init(_ id: ProtocolID) {
        switch id.text {
        case "/ipfs/bitswap/1.2.0": self = .v1_2
        case "/ipfs/bitswap/1.1.0": self = .v1_1
        default: self = .v1_0
        }
    }

    /// Whether presences can be asked for and told.
    var hasPresences: Bool { self >= .v1_2 }

    static func < (left: BitswapVersion, right: BitswapVersion) -> Bool { left.rawValue < right.rawValue }
}
