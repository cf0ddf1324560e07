import WaggleBase

/// Bounds of one request-response protocol.
public struct RequestLimits: Sendable {
    /// The longest request and response.
    public var request = ByteCount.kibibytes(64)
    public var response = ByteCount.mebibytes(1)
    /// How long a request may take from its call to its answer, dialing included, unless the call says otherwise.
    public var deadline = Duration.seconds(30)
    /// How long serving one request may take, from the first byte to the last.
    public var serving = Duration.seconds(30)
    /// Requests of ours under way at once; more wait in line.
    public var concurrent = 64
    /// Requests of ours that wait in line; more fail at once.
    public var waiting = 1024
    /// Requests that one remote, and all together, may have us serve at once.
    public var servedPerPeer = 16
    public var served = 512

    public init() {}
}

/// Why a request came to nothing.
public enum RequestError: Error, Sendable {
    /// No connection, or no stream on it.
    case unreachable(SwarmError)
    /// The remote does not speak the protocol.
    case notSupported
    /// The remote refused, failed, or went away in the middle.
    case failed(StreamError)
    /// The request, or the response, is longer than the limit in bytes.
    case tooLong(limit: Int)
    /// The response is no message of its type.
    case malformed
    case timedOut
    /// Too many requests wait in line.
    case busy
    case cancelled
}
