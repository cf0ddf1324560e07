import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats

/// A secured and multiplexed connection with one peer.
///
/// It lives on one loop from the beginning to the end: what arrives is read, opened in place, taken apart into streams and handed to waiting
/// readers in one synchronous pass, and what streams queue is put into records once per turn of the loop (`Connection+Reading`,
/// `Connection+Writing`). Public members may be called from anywhere.
///
/// ```
/// open ──close()──► closing ──all sent──► draining ──other side ended──► closed
///   └────────────── socket broke, or the remote broke a protocol ──────────▲
/// ```
public final class Connection: @unchecked Sendable {
    /// Who is at the other end, proven by the handshake.
    public let peer: PeerID
    /// The other name of the same node, proven by the handshake too; nil for a peer with one.
    public let alias: PeerID?
    /// The key of the peer.
    public let peerKey: PublicKey
    public let remoteAddress: Multiaddr
    public let localAddress: Multiaddr
    /// Who dialed.
    public let direction: Direction
    public let security: SecurityInfo
    /// The muxer that was agreed on.
    public let muxer: ProtocolID
    /// The loop that everything of this connection runs on.
    public let loop: any EventLoop
    public let openedAt: Instant

    enum Phase {
        case open
        /// What is queued goes out, the farewell last.
        case closing(CloseReason)
        /// All is sent; waiting for the other side's end.
        case draining(CloseReason)
        case closed(CloseReason)
    }

    // Everything below belongs to the loop, except the counters.
    let counters: ConnectionCounters
    let limits: ConnectionLimits
    let router: any StreamRouter
    let records: any RecordLayer
    let session: any MuxerSession
    let pool: ChunkPool
    let handlers = TaskScope()
    var socket: (any ByteSocket)?
    var phase = Phase.open
    var input = ConnectionInput()
    var output = ConnectionOutput()
    var memory: ConnectionMemory
    var streams: [UInt64: Stream] = [:]
    /// Inbound streams whose handler has not returned or that are still open.
    var inboundStreams = 0
    /// Inbound streams that wait for their protocol, and those whose handler has returned.
    var negotiating = StreamDeadlines()
    var lingering = StreamDeadlines()
    let openable: Waiter
    /// Who waits for the end, or for the peer to have said who it is.
    let settled: Waiter
    private var isIntroduced = false
    /// Who waits for the first bytes of the remote.
    var firstInput: Waiter?
    private var closeBy: Instant?
    private var farewell: UInt32?
    private var alarm: Alarm?

    /// Takes over an upgraded socket. On its loop; `start` must follow.
    package init(_ parameters: ConnectionParameters) {
        let secured = parameters.upgraded.secured
        socket = parameters.socket
        loop = parameters.socket.loop
        openedAt = loop.now
        peer = secured.peer
        alias = secured.alias
        peerKey = secured.key
        security = secured.security
        records = secured.records
        muxer = parameters.upgraded.muxer
        direction = parameters.direction
        localAddress = parameters.localAddress
        remoteAddress = parameters.remoteAddress
        limits = parameters.limits
        router = parameters.router
        pool = parameters.pool
        memory = ConnectionMemory(parameters.memory)
        session = parameters.muxer.makeSession(
            MuxerParameters(
                role: parameters.direction == .outbound ? .initiator : .responder, inboundStreams: parameters.limits.inboundStreams,
                outboundStreams: parameters.limits.outboundStreams, unreadBytes: parameters.limits.unread.bytes, now: loop.now))
        counters = ConnectionCounters(now: loop.now)
        openable = Waiter(on: loop)
        settled = Waiter(on: loop)
        input.carry = parameters.unread
        input.plaintext = parameters.upgraded.leftover
        input.job = { [self] in readPass() }
        output.job = { [self] in flush() }
        alarm = Alarm(on: loop) { [weak self] in self?.alarmFired() }
    }

    /// Begins to read and write. On the loop.
    package func start() {
        socket?.handler = self
        takeUpgradeLeftovers()
        settle()
    }

    // MARK: For everyone

    /// Time from a ping to its answer; nil before the first was measured.
    public var roundTrip: Duration? {
        let nanoseconds = counters.roundTrip.load(ordering: .relaxed)
        return nanoseconds == 0 ? nil : .nanoseconds(nanoseconds)
    }

    /// Bytes read from and written to the network, encryption included.
    public var bytesIn: Int { counters.bytesIn.load(ordering: .relaxed) }
    public var bytesOut: Int { counters.bytesOut.load(ordering: .relaxed) }
    /// Streams that are open, in either direction.
    public var streamCount: Int { counters.streams.load(ordering: .relaxed) }
    /// When payload or the end of a stream last came or went, streams opened and closed included.
    public var lastActivity: Instant { Instant(nanoseconds: counters.lastActivity.load(ordering: .relaxed)) }
    /// Whether the connection is closed or closing: no stream can be opened.
    public var isClosed: Bool { closeReason != nil }
    /// Why it is closed or closing; nil while it is open.
    public var closeReason: CloseReason? { counters.reason.withLock { $0 } }

    /// Ends the connection: its streams fail with `connectionLost`, what they queued is still sent for up to `ConnectionLimits.closing`, and the
    /// remote is told the reason. Returns at once; does nothing the second time.
    public func close(_ reason: CloseReason) {
        if loop.isCurrent { beginClosing(reason) } else { loop.execute { self.beginClosing(reason) } }
    }

    /// Returns when the connection is closed, or when the calling task is cancelled.
    public func closed() async {
        await loop.run {
            while !self.isOver {
                do { try await self.settled.wait() } catch { return }
            }
        }
    }

    /// Returns when `noteIntroduced` was called, or the connection is closed.
    package func introduced() async throws {
        try await loop.run {
            while !self.isOver, !self.isIntroduced { try await self.settled.wait() }
        }
    }

    /// The peer has said who it is, or will not. On the loop; for the identify service.
    package func noteIntroduced() {
        isIntroduced = true
        settled.wake()
    }

    /// Returns when the connection is closed and all its stream handlers have returned.
    package func drained() async {
        await closed()
        await handlers.drain()
    }

    // MARK: Closing

    var isOver: Bool { if case .closed = phase { true } else { false } }
    var isOpen: Bool { if case .open = phase { true } else { false } }

    func beginClosing(_ reason: CloseReason) {
        guard isOpen else { return }
        phase = .closing(reason)
        counters.reason.withLock { $0 = reason }
        failStreams()
        session.goAway(code: reason.code)
        closeBy = loop.now + limits.closing
        scheduleFlush()
        armAlarm()
    }

    /// All is sent: tells the other side, and waits for its end so that our last words are not lost to a reset.
    func finishClosing() {
        guard case .closing(let reason) = phase else { return }
        phase = .draining(reason)
        socket?.shutdownWrite()
    }

    /// The socket broke, or nothing more is to be said on it.
    func end(_ reason: CloseReason, abort: Bool = false) {
        var reason = reason
        switch phase {
        case .closed: return
        case .closing(let first), .draining(let first): reason = first
        case .open:
            // A remote that said farewell and then closed did what it said.
            if let farewell { reason = .remote(code: farewell) }
        }
        phase = .closed(reason)
        counters.reason.withLock { $0 = reason }
        socket?.close(abort: abort)
        socket = nil
        failStreams()
        alarm?.stop()
        alarm = nil
        releaseBuffers()
        releaseMemory()
        openable.wake()
        settled.wake()
        wakeFirstInput()
        router.connectionClosed(self, reason)
    }

    private func failStreams() {
        stopHandlers()
        let failed = streams
        streams = [:]
        for stream in failed.values {
            stream.connectionEnded()
            if stream.direction == .inbound, !stream.isServed { releaseInbound() }
        }
        counters.streams.store(0, ordering: .relaxed)
        openable.wake()
    }

    /// Handlers hear of the end from their streams, and may finish what they have read by then. Who is still at it later is cancelled.
    private func stopHandlers() {
        guard closeReason != .shutdown, handlers.count > 0 else { return handlers.cancelAll() }
        _ = loop.schedule(at: loop.now + limits.closing) { [handlers] in handlers.cancelAll() }
    }

    func remoteSaidFarewell(_ code: UInt32) {
        farewell = code
        openable.wake()
        if code != 0 { end(.remote(code: code)) } else { closeAfterFarewell() }
    }

    /// After a friendly farewell streams go on to their end, and then there is nothing left to do.
    func closeAfterFarewell() {
        if let farewell, streams.isEmpty, isOpen { beginClosing(.remote(code: farewell)) }
    }

    // MARK: Time

    /// Brings everything up to date after a pass.
    func settle() {
        drainEvents()
        guard !isOver else { return }
        settleMemory()
        if let roundTrip = session.roundTrip, counters.roundTrip.load(ordering: .relaxed) != roundTrip.wholeNanoseconds {
            counters.roundTrip.store(roundTrip.wholeNanoseconds, ordering: .relaxed)
            router.measured(roundTrip, on: self)
        }
        if session.hasFrames { scheduleFlush() }
        armAlarm()
    }

    func armAlarm() {
        var next = session.deadline ?? .distantFuture
        if let first = negotiating.first { next = min(next, first) }
        if let first = lingering.first { next = min(next, first) }
        if let closeBy { next = min(next, closeBy) }
        alarm?.set(next == .distantFuture ? nil : next)
    }

    private func alarmFired() {
        let now = loop.now
        if let closeBy, closeBy <= now {
            // What the network took is left to arrive; what it did not take is lost.
            return end(.timedOut, abort: output.start < output.end)
        }
        session.tick(at: now)
        expireStreams(now)
        settle()
    }
}

extension Connection: CustomStringConvertible {
    public var description: String { "\(direction) \(peer.short) \(remoteAddress)" }
}
