import Synchronization
import WaggleBase

/// One of the many byte streams of a connection: two directions that end independently.
///
/// Members may be called from anywhere. On the connection's loop, where handlers of inbound streams run, they are cheapest; elsewhere
/// asynchronous members hop there and back, and synchronous ones take effect shortly after.
///
/// Back-pressure: what is not read fills the window, and then the remote's writes wait; when the remote does not read, or the connection is
/// slow, `write` waits. The bytes of one `write` or `writeMessage` stay together however many tasks write at once, and calls that wait
/// continue in the order in which they came.
///
/// Reading: of several tasks that read one stream at once, each gets some of the bytes. A cancelled task's call throws `cancelled`. Reads take
/// nothing when they throw, except that `read(exactly:)`, `readMessage` and `readAll` may have taken a part. A write that is cancelled, or
/// times out, after a part of its bytes was queued resets the stream, because the remote could not make sense of what follows.
public final class Stream: @unchecked Sendable {
    /// Unique on the connection.
    public let id: UInt64
    public let connection: Connection
    /// Who opened it.
    public let direction: Direction
    /// What is spoken on it. Assumed, until the first read, on a stream that was opened with a single protocol.
    public internal(set) var protocolID: ProtocolID

    // Everything below belongs to the loop, except the deadline.
    /// Received and not yet read.
    var inbox = ByteQueue()
    /// Agrees on the protocol; nil when that is done.
    var negotiation: MultistreamMachine?
    /// Why reading and writing fail for good; nil while they do not.
    package internal(set) var failure: StreamError?
    /// The remote has ended its side.
    var isEnded = false
    /// We take nothing more.
    var isStopped = false
    /// We have ended our side.
    var isFinished = false
    /// The handler of this inbound stream was started.
    var isServed = false
    /// The handler has returned; the remote may still go on.
    var hasLingered = false
    /// Called once when the stream is over, for those who neither read nor write at the time.
    package var onEnd: (() -> Void)?
    let readable: Waiter
    private(set) lazy var writable = Waiter(on: connection.loop)
    /// Tickets of writers that have to wait for each other: next to be given out, next to be served, given up.
    var nextTicket = 0
    var servedTicket = 0
    var abandonedTickets: Set<Int> = []
    private let deadlineNanoseconds = Atomic<UInt64>(.max)
    private var alarm: Alarm?

    init(_ id: UInt64, on connection: Connection, _ direction: Direction, _ negotiation: MultistreamMachine) {
        self.id = id
        self.connection = connection
        self.direction = direction
        self.negotiation = negotiation
        protocolID = negotiation.assumed ?? ""
        readable = Waiter(on: connection.loop)
    }

    /// The peer at the other end.
    public var peer: PeerID { connection.peer }

    /// Reads and writes throw `timedOut` from this instant of the connection's clock on; nil for never.
    public var deadline: Instant? {
        get {
            let nanoseconds = deadlineNanoseconds.load(ordering: .relaxed)
            return nanoseconds == .max ? nil : Instant(nanoseconds: nanoseconds)
        }
        set {
            deadlineNanoseconds.store(newValue?.nanoseconds ?? .max, ordering: .relaxed)
            onLoop { $0.armAlarm() }
        }
    }

    /// Ends our side, after what was written. Reading goes on.
    public func finish() { onLoop { $0.finishHere() } }

    /// Abandons both sides: what is queued or unread is thrown away, and the remote's calls throw `reset` with this code.
    public func reset(_ code: UInt32 = 0) { onLoop { $0.resetHere(code) } }

    /// Abandons the reading side: what still arrives is thrown away. Where the muxer can tell the remote, it hears the code.
    public func stop(_ code: UInt32 = 0) { onLoop { $0.stopHere(code) } }

    private func onLoop(_ body: @escaping @Sendable (Stream) -> Void) {
        if connection.loop.isCurrent { body(self) } else { connection.loop.execute { body(self) } }
    }

    private func armAlarm() {
        guard let deadline, failure == nil else {
            alarm?.set(nil)
            return
        }
        if alarm == nil {
            alarm = Alarm(on: connection.loop) { [weak self] in
                self?.readable.wake()
                self?.writable.wake()
            }
        }
        alarm?.set(deadline)
    }

    private func finishHere() {
        guard !isFinished, failure == nil else { return }
        isFinished = true
        connection.session.finish(id)
        writable.wake()
        connection.settle()
    }

    private func resetHere(_ code: UInt32) {
        guard failure == nil else { return }
        connection.session.reset(id, code: code)
        fail(.reset(code: code))
        connection.remove(id)
        connection.settle()
    }

    private func stopHere(_ code: UInt32) {
        guard !isStopped, failure == nil else { return }
        isStopped = true
        inbox.removeAll()
        readable.wake()
        guard !isEnded else { return }
        connection.session.stop(id, code: code, at: connection.loop.now)
        connection.settle()
    }

    // MARK: What the connection tells

    /// Ends everything with `error`; unread bytes are gone.
    func fail(_ error: StreamError) {
        guard failure == nil else { return }
        failure = error
        inbox.removeAll()
        end()
    }

    /// The connection is gone. What has arrived can still be read.
    func connectionEnded() {
        guard failure == nil else { return }
        failure = .connectionLost
        end()
    }

    /// The remote has ended its side.
    func remoteFinished() {
        isEnded = true
        if isNegotiating, direction == .inbound { return resetHere(StreamResetCode.protocolNegotiationFailed) }
        readable.wake()
    }

    /// Both sides have ended; what has arrived can still be read.
    func bothFinished() {
        isEnded = true
        end()
    }

    private func end() {
        alarm?.stop()
        alarm = nil
        readable.wake()
        writable.wake()
        let notify = onEnd
        onEnd = nil
        notify?()
    }

    /// Payload has arrived.
    func deliver(_ bytes: Bytes) {
        var bytes = bytes
        if isNegotiating {
            guard let rest = negotiate(bytes) else { return }
            bytes = rest
        }
        guard !bytes.isEmpty else { return }
        // A window would keep a whole chunk alive. It is worth that when somebody waits, who takes it at once, or when it is large.
        let isSmall = bytes.count < ConnectionLimits.smallPayload && !(inbox.isEmpty && readable.isAwaited)
        if isSmall || connection.pool.isPressed { inbox.append(copying: bytes) } else { inbox.append(bytes) }
        readable.wake()
    }
}
