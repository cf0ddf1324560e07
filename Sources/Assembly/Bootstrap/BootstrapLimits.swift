import WaggleBase

/// Bounds and times of keeping in touch with the network.
public enum BootstrapLimits {
    /// Connected peers below which others are looked for.
    public static let enough = 4
    /// Before the next round when one brought nobody new; doubles each time, give or take a quarter.
    public static let shortestPause = Duration.seconds(30)
    public static let longestPause = Duration.seconds(600)
    /// Before a round when the last peer is lost.
    public static let lostPause = Duration.seconds(1)...Duration.seconds(3)
    /// From the start of a node until it says that it is the first of its network.
    public static let settling = Duration.seconds(1)
    /// Dials at once.
    public static let dials = 8
    /// Entries of the configured list that are used.
    public static let configured = 256
    /// Seeds taken from one list.
    public static let seeds = 256
    /// Bytes of a list, and of one entry in it.
    public static let listBytes = 256 << 10
    public static let entryBytes = 1024
    /// How long fetching a list may take.
    public static let fetchTime = Duration.seconds(15)
    /// A list that was read is used for this long before it is asked for again.
    public static let listTime = Duration.seconds(600)
    /// Good peers that are remembered over restarts, and for how long.
    public static let remembered = 20
    public static let rememberedTime = Duration.seconds(30 * 24 * 3600)
    /// Addresses of a remembered peer.
    public static let rememberedAddresses = 8
    /// Between two looks at who is worth remembering.
    public static let rememberInterval = Duration.seconds(600)
}
