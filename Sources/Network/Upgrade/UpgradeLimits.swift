/// Bounds of the upgrade from a raw byte stream to a secured and multiplexed connection.
public enum UpgradeLimits {
    /// How long it may take. Ten seconds cover a satellite link and a busy phone; whoever needs longer only holds memory.
    public static let duration = Duration.seconds(10)

    /// How old an inbound handshake is before it has to give way to another one when all places are taken: two round trips halfway around the
    /// world. `SwarmLimits.pendingInbound` places for a quarter of a second each are a little more than `SwarmLimits.handshakes` a second.
    public static let undisturbed = Duration.milliseconds(250)

    /// How much a peer may send before it is done, in bytes: every line of two negotiations at their longest, and two handshake messages
    /// with post-quantum signatures.
    public static let inputBytes = 256 << 10

    /// Peers of which is remembered that they speak the first channel, in each of two generations: about 100 bytes each.
    public static let rememberedPeers = 1024

    /// Slow signatures for inbound handshakes at once. Each keeps one thread busy for about 60 ms; who comes while both are is refused.
    public static let slowWork = 2

    /// How long a dialer whose identity is of a kind that many do not know waits for the first sign that the peer accepted it. Nearly all
    /// peers speak at once, to identify us; one that keeps silent for so long is taken to have accepted.
    public static let acceptance = Duration.seconds(3)

    /// The time that one step of an inbound handshake has of its loop, and how many may come in a row: see `HandshakePacer`.
    public static let stepInterval = Duration.microseconds(500)
    public static let stepBurst = 4
}
