/// Which channels a node offers and accepts.
public enum SecurityPolicy: String, Sendable, CaseIterable {
    /// Only channels without post-quantum key exchange: `/noise`.
    case classical
    /// Post-quantum channels first, classical ones for peers that speak nothing else. The default.
    case prefer
    /// Only post-quantum channels; a peer without one is refused with `UpgradeError.classicalPeer`.
    case require

    /// Whether a channel may be offered and accepted.
    public func allows(postQuantum: Bool) -> Bool {
        switch self {
        case .classical: !postQuantum
        case .prefer: true
        case .require: postQuantum
        }
    }
}
