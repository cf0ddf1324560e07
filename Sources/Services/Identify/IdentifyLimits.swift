import WaggleBase
import WaggleNetwork

/// Bounds of the identify protocol.
public enum IdentifyLimits {
    /// Longest frame that is read: one with the longest record. go-libp2p's bound is 8 KiB.
    public static let frame = ByteCount.kibibytes(11)
    /// Longest frame that is written if its fields allow: what rust-libp2p reads. A field is never cut, so a post-quantum key, or a record
    /// signed with one, may take a longer frame of its own.
    public static let writtenFrame = ByteCount.kibibytes(4)
    /// Longest record that is written: with its frame it stays below the 8 KiB that go-libp2p and js-libp2p read. The last addresses are left out where
    /// they do not fit.
    public static let writtenRecord = ByteCount.bytes((8 << 10) - 16)
    /// The same for SLH-DSA, whose signature would leave room for a dozen addresses, and which other stacks cannot verify anyway.
    public static let writtenLongRecord = ByteCount.bytes(SignedEnvelope.maximumLength)
    /// Frames of one message; go-libp2p's bound.
    public static let frames = 10
    /// Bytes of a whole message.
    public static let message = ByteCount.kibibytes(64)
    /// Addresses that are taken from a message; those after are ignored.
    public static let addresses = 500
    /// Protocols that are taken from a message; those after are ignored.
    public static let protocols = 1000
    /// Bytes of a protocol's name. Longer ones are ignored.
    public static let protocolName = 256
    /// Bytes of a version text. Longer ones are cut.
    public static let version = 128
    /// How long an exchange may take.
    public static let timeout = Duration.seconds(30)
    /// How long a change waits for others before it is pushed.
    public static let pushDelay = Duration.milliseconds(200)
    /// Peers that are pushed to at once.
    public static let concurrentPushes = 16
    /// Pushes that are taken of one peer: at once, and a second. Each may cost the check of a signature; nobody who gathers changes sends more.
    public static let pushes = 8
    /// Peers whose pushes are counted.
    public static let countedPeers = 4096
    /// Identify streams of one peer at once, pushes included.
    public static let streamsPerPeer = 8
}
