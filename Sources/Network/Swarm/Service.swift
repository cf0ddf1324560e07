/// A protocol that a node speaks: what it answers to, how it serves a stream, and what it does all its life.
public protocol Service: AnyObject, Sendable {
    /// The protocols whose inbound streams come to `serve`, told to others by identify. Asked once, when the service is registered.
    var protocols: [ProtocolID] { get }

    /// How much of the node remote peers may take through this service.
    var limits: ServiceLimits { get }

    /// The service was registered: the swarm to use from now on. Called once, before the first stream.
    func registered(on swarm: Swarm)

    /// Serves one inbound stream, as a task on the connection's loop. When it returns the stream is finished, when it throws the
    /// stream is reset. The task is cancelled when the connection ends.
    func serve(_ stream: Stream, from peer: PeerID) async throws

    /// The service's own life, from the start of the node until the task is cancelled. Runs on the home loop. Returning early is fine.
    func run(on swarm: Swarm) async throws
}

/// Bounds of one service's inbound streams.
public struct ServiceLimits: Sendable {
    /// Streams at once of one peer.
    public var streamsPerPeer: Int
    /// Streams at once of all peers.
    public var streams: Int

    public init(streamsPerPeer: Int = 64, streams: Int = 4096) {
        self.streamsPerPeer = streamsPerPeer
        self.streams = streams
    }
}

extension Service {
    public var limits: ServiceLimits { ServiceLimits() }
    public func registered(on swarm: Swarm) {}
    public func run(on swarm: Swarm) async throws {}
}
