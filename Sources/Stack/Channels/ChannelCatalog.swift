import WaggleNetwork

/// All channels there are, in the order in which they are offered. A channel is added with a folder here and a line below.
public enum ChannelCatalog {
    /// Where a chain network's channel stands among the others.
    public enum ChainPlace: String, Sendable, CaseIterable {
        /// Before all others: peers of the same chain use it, the rest of libp2p something else.
        case first
        /// Behind all others: only peers that speak nothing else use it.
        case last
        /// Alone: whoever is not of the same chain is refused.
        case only
    }

    /// Every channel of a node with these keys, best first; `chain` is there for nodes of a chain network.
    public static func all(
        _ keys: NoiseKeys, chain: AnimicaChannel? = nil, _ place: ChainPlace = .first
    ) -> [any SecureChannel] {
        let others: [any SecureChannel] = NoiseChannel.hybrid(keys) + [NoiseChannel.classical(keys)]
        guard let chain else { return others }
        return switch place {
        case .first: [chain] + others
        case .last: others + [chain]
        case .only: [chain]
        }
    }

    /// What `policy` leaves of them.
    ///
    /// `classical`: `/noise`. `prefer`: both hybrid ids, then `/noise`. `require`: the hybrid ids. `/animica/1` counts as post-quantum.
    public static func channels(_ policy: SecurityPolicy, _ keys: NoiseKeys) -> [any SecureChannel] {
        all(keys).filter { policy.allows(postQuantum: $0.isPostQuantum) }
    }
}
