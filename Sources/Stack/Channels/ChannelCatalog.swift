import WaggleNetwork

/// All channels there are, in the order in which they are offered. A channel is added with a folder here and a line below.
public enum ChannelCatalog {
    /// Every channel of a node with these keys, best first.
    public static func all(_ keys: NoiseKeys) -> [any SecureChannel] {
        NoiseChannel.hybrid(keys) + [NoiseChannel.classical(keys)]
    }

    /// What `policy` leaves of them.
    ///
    /// `classical`: `/noise`. `prefer`: both hybrid ids, then `/noise`. `require`: the hybrid ids.
    public static func channels(_ policy: SecurityPolicy, _ keys: NoiseKeys) -> [any SecureChannel] {
        all(keys).filter { policy.allows(postQuantum: $0.isPostQuantum) }
    }
}
