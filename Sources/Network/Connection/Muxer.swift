import WaggleBase

/// A way to carry many streams over one secured connection: names itself in the negotiation and makes a session for each connection.
///
/// To add one: a folder in `Stack/Muxers` and a line in the catalog.
package protocol Muxer: Sendable {
    /// What the two sides negotiate.
    var protocolID: ProtocolID { get }
    /// A session that has sent and received nothing.
    func makeSession(_ parameters: MuxerParameters) -> any MuxerSession
}

/// What a session needs to know of its connection.
package struct MuxerParameters: Sendable {
    /// Which side this is.
    package var role: Role
    /// Inbound streams at once.
    package var inboundStreams: Int
    /// Outbound streams at once.
    package var outboundStreams: Int
    /// Bytes of payload that all streams together may hold unread before a stream that gets more is reset.
    package var unreadBytes: Int
    /// When the session begins.
    package var now: Instant

    package init(role: Role, inboundStreams: Int, outboundStreams: Int, unreadBytes: Int, now: Instant) {
        self.role = role
        self.inboundStreams = inboundStreams
        self.outboundStreams = outboundStreams
        self.unreadBytes = unreadBytes
        self.now = now
    }
}

/// The session of one connection: a pure machine behind a class, because a connection does not know which one it has.
///
/// Plaintext goes in with `receive`, frames come out of `nextFrame`, and what happened to streams out of `nextEvent`, which is to be
/// drained after every call that takes `now`. Stream ids are the session's own and never 0. Calls about streams that are gone do nothing.
package protocol MuxerSession: AnyObject {
    /// Most bytes that the header of a frame takes.
    var maximumHeader: Int { get }
    /// When `tick` wants to be called; nil for never.
    var deadline: Instant? { get }
    /// Time from a ping to its answer, smoothed towards the smallest; nil before the first.
    var roundTrip: Duration? { get }
    /// Whether `openStream` would give a stream now.
    var opening: MuxerOpening { get }
    /// Whether `nextFrame` would give a frame now.
    var hasFrames: Bool { get }
    /// Bytes written and not yet made into frames, all streams together.
    var queuedBytes: Int { get }
    /// Payload told and not yet consumed, all streams together.
    var unreadBytes: Int { get }
    /// Whether the windows of streams may become larger than they are.
    var mayGrowWindows: Bool { get set }

    /// Takes plaintext as it arrives, cut anywhere. Payload leaves as windows onto the same memory.
    func receive(_ plaintext: Bytes, at now: Instant)
    /// Lets time pass.
    func tick(at now: Instant)
    /// What happened next, or nil when all has been told.
    func nextEvent() -> MuxerEvent?
    /// Writes the header of the next frame to `header`, with at most `maximumPayload` bytes of payload to follow; nil when there is nothing
    /// that may be sent now.
    func nextFrame(header: UnsafeMutableRawPointer, maximumPayload: Int, at now: Instant) -> MuxerFrame?

    /// Opens a stream; nil unless `opening` is `.possible`.
    func openStream(at now: Instant) -> UInt64?
    /// Queues bytes.
    func send(_ bytes: Bytes, on stream: UInt64)
    /// Bytes queued and not yet made into frames.
    func queuedBytes(on stream: UInt64) -> Int
    /// Asks for a `.writable` event as soon as at most `mark` bytes are queued.
    func notifyWritable(_ stream: UInt64, below mark: Int)
    /// Ends our side after what is queued.
    func finish(_ stream: UInt64)
    /// Abandons both sides.
    func reset(_ stream: UInt64, code: UInt32)
    /// Abandons the reading side: what still arrives is thrown away, and past a bound the stream is reset with `code`.
    func stop(_ stream: UInt64, code: UInt32, at now: Instant)
    /// The application has taken `count` bytes of payload.
    func consumed(_ count: Int, on stream: UInt64, at now: Instant)
    /// Says farewell after what can be sent now; no stream opens any more.
    func goAway(code: UInt32)
}

/// Whether a stream can be opened.
package enum MuxerOpening: Hashable, Sendable {
    case possible
    /// The remote has not acknowledged enough of the streams we opened, or too many are open: a `.openable` event will tell.
    case later
    /// Never again: one side said farewell, or the ids are used up.
    case never
}

/// The size of a frame's header, which lies where the caller wanted it, and its payload.
package struct MuxerFrame {
    package var headerLength: Int
    package var payload: Bytes

    package init(headerLength: Int, payload: Bytes) {
        self.headerLength = headerLength
        self.payload = payload
    }
}

/// What a session tells its connection.
package enum MuxerEvent {
    /// The remote opened a stream.
    case opened(UInt64)
    /// Payload of a stream.
    case data(UInt64, Bytes)
    /// The remote ended its side.
    case finished(UInt64)
    /// The remote reset the stream.
    case reset(UInt64, code: UInt32)
    /// We reset the stream because it went beyond a limit.
    case refused(UInt64)
    /// The queue of the stream has fallen to its mark.
    case writable(UInt64)
    /// Both sides have ended; the session has forgotten the stream.
    case closed(UInt64)
    /// `openStream` may work again.
    case openable
    /// The remote says farewell.
    case goAway(code: UInt32)
    /// The remote broke the protocol. A farewell that says so is ready to be sent; nothing else will be.
    case violation(MuxerViolation)
    /// The remote does not answer.
    case timedOut
}

/// How a remote broke the muxer's protocol.
package enum MuxerViolation: String, Hashable, Sendable {
    /// An unknown version or type.
    case malformed
    /// A stream id that is not the remote's to open, is open already, or was never opened.
    case badStream
    /// More data than the window allows, or a window beyond 2^32 - 1.
    case window
    /// Data after the end of the stream.
    case dataAfterEnd
    /// Too many frames that do nothing, or that make us answer faster than the remote reads.
    case flood
}
