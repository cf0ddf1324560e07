import WaggleBase

/// Bounds of one connection.
public struct ConnectionLimits: Sendable {
    /// Inbound streams at once, counted until their handlers have returned.
    public var inboundStreams = 1024
    /// Outbound streams at once.
    public var outboundStreams = 4096
    /// Payload that all streams together hold unread. A stream that gets more is reset: its remote is faster than our handlers.
    public var unread = ByteCount.mebibytes(64)
    /// What one stream queues before `write` suspends. Enough to keep a loopback connection busy while the writer's task wakes.
    public var queuedPerStream = ByteCount.mebibytes(1)
    /// What all streams queue before `write` suspends on those that have their share (`queuedShare`).
    public var queued = ByteCount.mebibytes(8)
    /// What a stream may always queue, however full the others are, so that a stalled stream cannot stop the rest.
    public var queuedShare = ByteCount.kibibytes(32)
    /// How long a stream may take to agree on its protocol, and `openStream` to get a stream.
    public var negotiation = Duration.seconds(10)
    /// How long the remote may keep its side of a stream open after its handler has returned.
    public var linger = Duration.seconds(60)
    /// How long a closing connection may take to send what is queued and to hear the other side's end.
    public var closing = Duration.seconds(2)

    public init() {}

    /// Payload pieces below this many bytes are copied together when nobody waits for them: a window would keep a chunk alive for them.
    static let smallPayload = 2 << 10
    /// Read from the socket in one turn of the loop before others get theirs, in bytes.
    static let readPerTurn = 512 << 10
    /// Sealed in one turn of the loop before others get theirs, in bytes.
    static let writePerTurn = 1 << 20
    /// Frames with at most this much payload are copied together into one record; larger ones are sealed where they lie.
    static let stagedPayload = 4 << 10
    /// A record is closed when less than this many bytes of it are left and a large payload comes next.
    static let smallestCut = 4 << 10
}
