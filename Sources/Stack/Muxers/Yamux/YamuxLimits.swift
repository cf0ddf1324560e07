import WaggleBase

/// Bounds of a yamux session.
enum YamuxLimits {
    /// The window every stream begins with in both directions, in bytes. Spec: yamux, section "Flow Control".
    static let initialWindow = 256 << 10
    /// The largest receive window of a stream, in bytes: 1 Gbit/s over 130 ms.
    static let largestWindow = 16 << 20
    /// What the receive windows of all streams of a connection may be beyond their initial size, in bytes.
    static let windowBudget = 32 << 20
    /// Streams that we open before the remote has acknowledged them. Not all remotes keep to that; theirs are bounded by the inbound streams
    /// as a whole. Spec: yamux, section "ACK backlog".
    static let unacknowledged = 256
    /// Time without a ping after which one is sent.
    static let keepAlive = Duration.seconds(30)
    /// Silence after a ping after which the remote is taken for gone.
    static let pingTimeout = Duration.seconds(20)
    /// Answers to pings that wait to be sent. More are dropped: the oldest ones say as much.
    static let pongs = 32
    /// Control frames without a stream that wait to be sent, resets above all. A remote that makes us owe more and reads nothing is cut off.
    static let pendingControl = 4096
    /// Frames that do nothing: for streams that are gone, empty, or pings. So many at once, enough for what is still on its way when streams
    /// with full windows are reset, and so many more a second.
    static let idleFrames = 16_384
    static let idleFramesPerSecond = 1024
    /// Payload that is thrown away on a stream whose reader has stopped, before the stream is reset, in bytes.
    static let discarded = 1 << 20
    /// Pieces at most this long are copied together in the send queue, in bytes.
    static let smallWrite = 1 << 10
}
