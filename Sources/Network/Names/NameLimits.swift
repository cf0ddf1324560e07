/// Bounds of resolving addresses with host names. Whoever fills a zone, or sends us an address, decides what is looked up.
public enum NameLimits {
    /// Names that lead to names: `/dnsaddr/a` to `/dnsaddr/b` and so on. Real ones take two or three steps.
    public static let depth = 8
    /// Questions for one address.
    public static let lookups = 32
    /// Records of one name that are used, after those that do not fit have been left out.
    public static let recordsPerName = 32
    /// TXT records of one name that are looked at; an answer of 64 KB holds a few thousand.
    public static let textsPerName = 4096
    /// Addresses that one address may stand for.
    public static let addresses = 100
    /// Bytes of one text that can be an address.
    public static let textLength = 1024
    /// Addresses with names that one dial resolves.
    public static let namesPerDial = 8
    /// Answers that are remembered.
    public static let cache = 1024
    /// Questions under way; more wait for no one and fail.
    public static let running = 64
    /// However long an answer may be kept, it is asked for again after this.
    public static let longestTime = Duration.seconds(24 * 3600)
    /// However short, it is not asked for more often.
    public static let shortestTime = Duration.seconds(1)
    /// How long it is remembered that a name does not exist.
    public static let missingTime = Duration.seconds(30)
    /// How long it is remembered that a name could not be asked for.
    public static let failureTime = Duration.seconds(3)
}
