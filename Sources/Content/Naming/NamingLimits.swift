import WaggleBase

/// Bounds of names, and the defaults that make records work with other implementations.
public enum NamingLimits {
    /// Longest record, in bytes (specs.ipfs.tech/ipns/ipns-record, "Record Size Limit").
    public static let record = 10 << 10
    /// Longest signature that a record carries twice, for old software, in bytes: what RSA of 8192 bits makes. Keys with longer ones are of
    /// kinds that software which needs the first signature does not know.
    static let legacySignature = 1024
    /// Longest path in a record, in bytes.
    public static let value = 8 << 10

    /// How long a record is valid by default: as long as the nodes of the hash table keep one.
    public static let lifetime = Duration.seconds(48 * 3600)
    /// How long a resolved name is remembered by default.
    public static let timeToLive = Duration.seconds(300)
    /// The same for records without this field, and for domains whose DNS answer says nothing.
    static let fallbackTimeToLive = Duration.seconds(60)

    /// Names that lead to names, one behind the other.
    public static let depth = 32
    /// Names remembered by default.
    public static let cachedNames = 128
    /// TXT records of a domain that are looked at.
    static let textRecords = 64
    /// How long a search for a name may take by default.
    public static let searchTime = Duration.seconds(60)
    /// How long publishing looks for an earlier record that this node does not know of.
    static let previousRecordTime = Duration.seconds(30)

    /// Between two rounds of publishing again.
    public static let republishInterval = Duration.seconds(4 * 3600)
    /// From the start of the node to the first round, so that it knows some peers by then.
    static let firstRepublish = Duration.seconds(60)
    /// Names that wait to be told to others; those beyond wait for the next round.
    static let untold = 1024
    /// Between two tries of a name that nobody took yet; doubles so many times.
    static let republishRetry = Duration.seconds(120)
    static let retryDoublings = 3
}
