import WaggleBase

/// Bounds of the ping protocol.
public enum PingLimits {
    /// Bytes of one ping.
    public static let payload = 32
    /// Ping streams of one peer at once; one is enough for any number of pings.
    public static let streamsPerPeer = 2
    /// How long a server keeps a stream on which nothing comes.
    public static let idle = Duration.seconds(60)
    /// How long a client waits for an answer.
    public static let timeout = Duration.seconds(10)
    /// Peers whose last round trip is remembered.
    public static let remembered = 1024
}
