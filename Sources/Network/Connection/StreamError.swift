/// Why a stream could not be opened, read or written.
public enum StreamError: Error, Hashable, Sendable {
    /// The stream was reset, by the remote or by us; the code says why (see `StreamResetCode`, 0 for no reason).
    case reset(code: UInt32)
    /// We ended this side of the stream already, or the connection takes no new streams.
    case closed
    /// The connection broke or was closed.
    case connectionLost
    /// The remote ended the stream in the middle of what was to be read.
    case truncated
    /// A message or stream is longer than `limit` bytes.
    case tooLong(limit: Int)
    /// The deadline passed.
    case timedOut
    /// The calling task was cancelled.
    case cancelled
    /// The remote speaks none of the protocols that were asked for.
    case protocolNotSupported
    /// The remote does not follow the wire format: a length prefix or a line of the negotiation that cannot be.
    case malformed
    /// A limit of ours or of the remote forbids the stream.
    case limitReached
}

/// Codes of a stream reset that all of libp2p shares. 0 says nothing, up to 0x1000 belong to transports, other protocols take 0x10000 and up.
///
/// Spec: libp2p error-codes, section "Stream Error Codes".
public enum StreamResetCode {
    public static let none: UInt32 = 0
    public static let protocolNegotiationFailed: UInt32 = 0x1001
    public static let resourceLimitExceeded: UInt32 = 0x1002
    public static let rateLimited: UInt32 = 0x1003
    public static let protocolViolation: UInt32 = 0x1004
    public static let supplanted: UInt32 = 0x1005
    public static let garbageCollected: UInt32 = 0x1006
    public static let shutdown: UInt32 = 0x1007
    public static let gated: UInt32 = 0x1008
}
