import WaggleBase

/// Bounds of announcing content, and the intervals that keep records alive in the hash table (48 h, specs: kad-dht, "Content provider
/// advertisement and discovery").
public enum ProvideLimits {
    /// Between two announcements of the same block by default.
    public static let interval = Duration.seconds(22 * 3600)
    /// Blocks that wait for their first announcement (about 60 bytes each on the device); more are announced by the next sweep only.
    public static let queue = 1 << 20
    /// Blocks queued lately that are not queued again (16 bytes each).
    static let recent = 32_768
    /// How long new blocks are collected before they are written to the queue, and so many at most at once.
    static let collecting = Duration.milliseconds(100)
    static let collected = 16_384

    /// Blocks announced in one call. One region of the network serves about so many, and it bounds what is done again after a crash.
    static let batch = 512
    /// Blocks of one region of the sweep, on average, and bits of its prefix at most.
    static let regionKeys = 256
    static let regionBits = 12
    /// Blocks whose turn in the sweep is known at a time (about 56 bytes each); the rest is looked up when their turn comes near.
    static let window = 65_536
    /// Keys read from the store in one job: some milliseconds.
    static let scanStep = 16_384
    /// Of the interval, how long that knowledge is used: new blocks have been announced on their own meanwhile.
    static let windowAges = 22

    /// Between two calls, so that announcing leaves room for everything else.
    static let pause = Duration.milliseconds(500)
    /// After a call that reached nobody; doubles up to the second.
    static let firstRetry = Duration.seconds(15)
    static let longestRetry = Duration.seconds(600)
    /// When a peer connects after that.
    static let retryAfterConnecting = Duration.seconds(1)
}
