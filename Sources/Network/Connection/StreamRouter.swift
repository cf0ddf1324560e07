/// Serves one inbound stream. When it returns the stream is finished, when it throws the stream is reset. Runs as a task on the connection's
/// loop. When the connection ends, the stream says so, what has arrived can still be read, and after `ConnectionLimits.closing` the task is
/// cancelled; at a shutdown of the node it is cancelled at once.
public typealias StreamHandler = @Sendable (Stream) async throws -> Void

/// What a connection asks of the node it belongs to. Called on the connection's loop; must not block.
public protocol StreamRouter: AnyObject, Sendable {
    /// Whether an inbound stream fits into the node's limits. Each `true` is followed by one `release`.
    func admitStream(on connection: Connection) -> Bool

    /// An admitted stream and its handler are at their end.
    func releaseStream(on connection: Connection)

    /// Whether `protocolID` is served here.
    func speaks(_ protocolID: ProtocolID) -> Bool

    /// What serves the agreed protocol; nil refuses the stream because of a limit.
    func handler(for protocolID: ProtocolID, on connection: Connection) -> StreamHandler?

    /// The remote opened a stream beyond the limit of one connection.
    func streamBeyondLimit(on connection: Connection)

    /// The remote broke the rules of the muxer, inside the secured connection.
    func muxerViolated(on connection: Connection)

    /// A round trip was measured.
    func measured(_ roundTrip: Duration, on connection: Connection)

    /// The connection is closed; called once, last.
    func connectionClosed(_ connection: Connection, _ reason: CloseReason)
}

extension StreamRouter {
    public func streamBeyondLimit(on connection: Connection) {}
    public func muxerViolated(on connection: Connection) {}
    public func measured(_ roundTrip: Duration, on connection: Connection) {}
}
