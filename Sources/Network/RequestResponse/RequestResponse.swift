import Synchronization
import WaggleBase

/// A protocol of questions and answers: one request and one response on each stream, with types instead of bytes.
///
/// ```swift
/// let time = RequestResponse("/time/1.0.0", request: .text, response: .text) { zone, _ in clock(in: zone) }
/// node.add(time)
/// let answer = try await time.request("UTC", to: peer)
/// ```
/// Wire: the request behind its length as an unsigned varint, then the end of the requester's side; the response behind its length, then the end.
public final class RequestResponse<Request: Sendable, Response: Sendable>: Service {
    /// Answers one request. Throwing resets the stream: the remote learns that it failed, not why. Cancelled when the connection ends or the
    /// time is over.
    public typealias Handler = @Sendable (Request, PeerID) async throws -> Response

    /// The versions of the protocol, best first.
    public let versions: [ProtocolID]
    public let bounds: RequestLimits
    private let requests: MessageCodec<Request>
    private let responses: MessageCodec<Response>
    private let handler: Handler?
    private let state = Mutex(State())

    private struct State {
        weak var swarm: Swarm?
        var line: RequestLine?
    }

    /// Without a handler this side only asks.
    public init(
        _ versions: ProtocolID..., request: MessageCodec<Request>, response: MessageCodec<Response>, limits: RequestLimits = RequestLimits(),
        handler: Handler? = nil
    ) {
        self.versions = versions
        requests = request
        responses = response
        bounds = limits
        self.handler = handler
    }

    // MARK: Asking

    /// Asks `peer`, connecting where needed. Cancelling the task gives the request up, and the remote hears of it.
    public func request(_ request: Request, to peer: PeerID, deadline: Duration? = nil) async throws(RequestError) -> Response {
        let (found, line) = state.withLock { ($0.swarm, $0.line) }
        guard let swarm = found, let line else { throw .unreachable(.closed) }
        let bytes: Bytes
        do { bytes = try requests.encode(request) } catch { throw .malformed }
        guard bytes.count <= bounds.request.bytes else { throw .tooLong(limit: bounds.request.bytes) }
        let end = swarm.system.home.now + (deadline ?? bounds.deadline)
        let answer: Bytes
        do {
            answer = try await swarm.system.home.run { [self] in
                try await TimeLimit.run(until: end, on: swarm.system.home) { [self] in
                    try await line.run { [self] in try await exchange(bytes, with: peer, in: swarm, until: end) }
                }
            }
        } catch { throw RequestError(explaining: error) }
        do { return try responses.decode(answer) } catch { throw .malformed }
    }

    private func exchange(_ bytes: Bytes, with peer: PeerID, in swarm: Swarm, until end: Instant) async throws -> Bytes {
        try await swarm.withStream(to: peer, versions) { [bounds] stream in
            stream.deadline = end
            try await stream.writeMessage(bytes)
            stream.finish()
            guard let answer = try await stream.readMessage(limit: bounds.response) else { throw StreamError.truncated }
            return answer
        }
    }

    // MARK: Serving

    public var protocols: [ProtocolID] { handler == nil ? [] : versions }

    public var limits: ServiceLimits { ServiceLimits(streamsPerPeer: bounds.servedPerPeer, streams: bounds.served) }

    public func registered(on swarm: Swarm) {
        state.withLock { state in
            state.swarm = swarm
            state.line = RequestLine(bounds, on: swarm.system.home)
        }
    }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        guard let handler else { throw StreamError.protocolNotSupported }
        let loop = stream.connection.loop
        let end = loop.now + bounds.serving
        stream.deadline = end
        guard let bytes = try await stream.readMessage(limit: bounds.request) else { return }
        let request = try requests.decode(bytes)
        let response = try await TimeLimit.run(until: end, on: loop) { try await handler(request, peer) }
        let answer = try responses.encode(response)
        guard answer.count <= bounds.response.bytes else { throw RequestError.tooLong(limit: bounds.response.bytes) }
        try await stream.writeMessage(answer)
    }
}

extension RequestError {
    /// What an error below means for a request.
    init(explaining error: any Error) {
        switch error {
        case let error as RequestError: self = error
        case is CancellationError: self = .cancelled
        case SwarmError.cancelled, SwarmError.stream(.cancelled), StreamError.cancelled: self = .cancelled
        case SwarmError.stream(.protocolNotSupported), StreamError.protocolNotSupported: self = .notSupported
        // The refusal of a protocol whose first message came along with the offer.
        case StreamError.reset(code: StreamResetCode.protocolNegotiationFailed): self = .notSupported
        case SwarmError.stream(.timedOut), StreamError.timedOut: self = .timedOut
        case StreamError.tooLong(let limit): self = .tooLong(limit: limit)
        case StreamError.malformed: self = .malformed
        case let error as StreamError: self = .failed(error)
        case let error as SwarmError: self = .unreachable(error)
        default: self = .failed(.closed)
        }
    }
}
