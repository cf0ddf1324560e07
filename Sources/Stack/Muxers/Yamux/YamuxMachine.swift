import WaggleBase
import WaggleNetwork

/// A yamux session as a pure machine: plaintext in, events and frames out.
///
/// ```
/// receive ─► header ─► streams ─► events: opened, data, finished, reset …      (YamuxMachine+Receiving)
/// send, finish, consumed … ─► queues of the streams
/// nextFrame ◄─ 1. session frames   2. SYN, ACK, windows, FIN of touched streams
///              3. data of ready streams in turns   4. the farewell             (YamuxMachine+Sending)
/// ```
/// Every flag travels in a window update without payload, as go-yamux does it, because some implementations mistake flags on data
/// frames. What arrives may have them anywhere.
/// Spec: hashicorp/yamux spec.md; libp2p specs, yamux.
struct YamuxMachine {
    let parameters: MuxerParameters
    var streams: [UInt32: YamuxStream] = [:]
    var inboundCount = 0
    var outboundCount = 0

    // Events.
    var events = Deque<MuxerEvent>()
    /// Somebody waits for a stream to become possible.
    var wantsOpening = false

    // Receiving.
    /// The beginning of a header that was cut.
    var partial: [UInt8] = []
    /// The stream and the rest of the payload that is arriving; stream 0 for payload to be thrown away.
    var body: (stream: UInt32, rest: Int) = (0, 0)
    /// The payload that is arriving is the stream's last.
    var endsWithBody = false
    var isBroken = false
    /// Frames without effect that are still tolerated; see `YamuxLimits.idleFrames`.
    var patience = YamuxLimits.idleFrames
    var patienceAt: Instant
    var lastReceived: Instant
    var unreadTotal = 0
    /// Windows may become larger.
    var mayGrow = true
    /// Sum of what windows are beyond their initial size.
    var grown = 0

    // Sending.
    var nextID: UInt32
    /// Our streams that the remote has not acknowledged.
    var unacknowledged = 0
    var control = Deque<YamuxHeader>()
    var pendingPongs = 0
    /// Streams with a frame without payload to send, and streams with data to send. May name streams that are gone.
    var touched = Deque<UInt32>()
    var ready = Deque<UInt32>()
    var queuedTotal = 0
    /// The code of our farewell, until it is sent.
    var farewell: UInt32?
    var isLeaving = false
    var isRemoteLeaving = false

    // Pings.
    var pingValue: UInt32 = 0
    var pingSentAt: Instant?
    var lastPing: Instant
    var smoothed: Duration?

    init(_ parameters: MuxerParameters) {
        self.parameters = parameters
        nextID = parameters.role == .initiator ? 1 : 2
        patienceAt = parameters.now
        lastReceived = parameters.now
        lastPing = parameters.now
        // The first ping goes out with the first frames, so that windows can grow soon.
        ping(at: parameters.now)
    }

    // MARK: Time

    var deadline: Instant? {
        guard !isBroken else { return nil }
        if let pingSentAt { return max(pingSentAt, lastReceived) + YamuxLimits.pingTimeout }
        return lastPing + YamuxLimits.keepAlive
    }

    mutating func tick(at now: Instant) {
        guard let deadline, deadline <= now else { return }
        if pingSentAt != nil {
            isBroken = true
            events.append(.timedOut)
        } else {
            ping(at: now)
        }
    }

    private mutating func ping(at now: Instant) {
        pingValue &+= 1
        pingSentAt = now
        lastPing = now
        control.append(YamuxHeader(.ping, .syn, length: pingValue))
    }

    /// Takes the answer to our ping. The estimate falls at once and rises slowly: a full connection delays pings, an empty one cannot hurry them.
    mutating func pong(_ value: UInt32, at now: Instant) {
        guard let sent = pingSentAt, value == pingValue else { return noteIdleFrame(at: now) }
        pingSentAt = nil
        let sample = max(now - sent, .nanoseconds(1))
        guard let before = smoothed, sample > before else {
            smoothed = sample
            return
        }
        smoothed = before + (sample - before) / 8
    }

    // MARK: Commands

    var opening: MuxerOpening {
        if isLeaving || isRemoteLeaving || isBroken || nextID > UInt32.max - 2 { return .never }
        return unacknowledged < YamuxLimits.unacknowledged && outboundCount < parameters.outboundStreams ? .possible : .later
    }

    mutating func openStream(at now: Instant) -> UInt32? {
        guard opening == .possible else {
            wantsOpening = opening == .later
            return nil
        }
        let id = nextID
        nextID += 2
        streams[id] = YamuxStream(isOutbound: true, at: now)
        outboundCount += 1
        unacknowledged += 1
        touch(id)
        return id
    }

    mutating func send(_ bytes: Bytes, on id: UInt32) {
        guard !bytes.isEmpty, let index = streams.index(forKey: id), !streams.values[index].isFinishing else { return }
        if bytes.count <= YamuxLimits.smallWrite, !streams.values[index].queue.isEmpty {
            streams.values[index].queue.append(copying: bytes)
        } else {
            streams.values[index].queue.append(bytes)
        }
        queuedTotal += bytes.count
        enqueue(id, index)
    }

    mutating func finish(_ id: UInt32) {
        guard let index = streams.index(forKey: id), !streams.values[index].isFinishing else { return }
        streams.values[index].isFinishing = true
        enqueue(id, index)
    }

    mutating func reset(_ id: UInt32, code: UInt32) {
        guard let stream = remove(id) else { return }
        // A stream that the remote has never heard of just vanishes.
        if !(stream.isOutbound && stream.owesFlag) { queueReset(id, code: code) }
    }

    mutating func stop(_ id: UInt32, code: UInt32, at now: Instant) {
        guard let index = streams.index(forKey: id), !streams.values[index].isStopped else { return }
        streams.values[index].isStopped = true
        streams.values[index].stopCode = code
        let unread = streams.values[index].unread
        streams.values[index].unread = 0
        unreadTotal -= unread
        if !streams.values[index].isFinReceived { grantWindow(id, index, at: now) }
    }

    mutating func consumed(_ count: Int, on id: UInt32, at now: Instant) {
        guard let index = streams.index(forKey: id) else { return }
        let taken = min(count, streams.values[index].unread)
        streams.values[index].unread -= taken
        unreadTotal -= taken
        if !streams.values[index].isFinReceived { grantWindow(id, index, at: now) }
    }

    mutating func notifyWritable(_ id: UInt32, below mark: Int) {
        guard let index = streams.index(forKey: id) else { return }
        streams.values[index].mark = mark
    }

    mutating func goAway(code: UInt32) {
        guard !isLeaving else { return }
        isLeaving = true
        farewell = code
    }

    // MARK: Windows

    /// Gives the remote back what was consumed once that is half of the window, and a larger window when half of it went by in less than four
    /// round trips: then the window, not the network, was the limit.
    mutating func grantWindow(_ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index, at now: Instant) {
        let stream = streams.values[index]
        var window = stream.window
        guard window - stream.credit - stream.unread >= window / 2 else { return }
        if mayGrow, !stream.isStopped, let smoothed, now - stream.grantedAt < smoothed * 4, window < YamuxLimits.largestWindow {
            let larger = min(window * 2, YamuxLimits.largestWindow)
            if grown + larger - window <= YamuxLimits.windowBudget {
                grown += larger - window
                window = larger
                streams.values[index].window = larger
            }
        }
        let grant = window - stream.credit - stream.unread
        streams.values[index].grant += grant
        streams.values[index].credit += grant
        streams.values[index].grantedAt = now
        touch(id, index)
    }

    // MARK: The table

    /// Takes a stream out of the table.
    @discardableResult
    mutating func remove(_ id: UInt32) -> YamuxStream? {
        guard let stream = streams.removeValue(forKey: id) else { return nil }
        unreadTotal -= stream.unread
        queuedTotal -= stream.queue.count
        grown -= stream.window - YamuxLimits.initialWindow
        if stream.isOutbound {
            outboundCount -= 1
            if !stream.isAcknowledged { unacknowledged -= 1 }
            noteOpening()
        } else {
            inboundCount -= 1
        }
        return stream
    }

    /// Forgets a stream whose two sides have ended.
    mutating func removeIfOver(_ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index) {
        guard streams.values[index].isFinSent, streams.values[index].isFinReceived else { return }
        remove(id)
        events.append(.closed(UInt64(id)))
    }

    mutating func noteOpening() {
        guard wantsOpening, opening == .possible else { return }
        wantsOpening = false
        events.append(.openable)
    }

    // MARK: Queues

    mutating func touch(_ id: UInt32) {
        guard let index = streams.index(forKey: id) else { return }
        touch(id, index)
    }

    mutating func touch(_ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index) {
        guard !streams.values[index].isInTouched, streams.values[index].needsControl else { return }
        streams.values[index].isInTouched = true
        touched.append(id)
        if touched.count > 64 + 2 * streams.count { touched = sweep(touched, \.isInTouched) }
    }

    /// Puts a stream into the queues that it belongs to.
    mutating func enqueue(_ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index) {
        touch(id, index)
        guard !streams.values[index].isInReady, streams.values[index].canSendData else { return }
        streams.values[index].isInReady = true
        ready.append(id)
        if ready.count > 64 + 2 * streams.count { ready = sweep(ready, \.isInReady) }
    }

    /// Drops the names of streams that are gone, so that streams which come and go cannot make a queue grow.
    private mutating func sweep(_ queue: Deque<UInt32>, _ isIn: KeyPath<YamuxStream, Bool>) -> Deque<UInt32> {
        var swept = Deque<UInt32>()
        var seen: Set<UInt32> = []
        for index in 0..<queue.count {
            let id = queue[index]
            if let stream = streams[id], stream[keyPath: isIn], seen.insert(id).inserted { swept.append(id) }
        }
        return swept
    }

    mutating func queueReset(_ id: UInt32, code: UInt32) {
        guard control.count < YamuxLimits.pendingControl else { return violate(.flood) }
        control.append(YamuxHeader(.windowUpdate, .rst, stream: id, length: code))
    }

    /// The remote broke the protocol: it is told so, and nothing else counts any more.
    mutating func violate(_ violation: MuxerViolation) {
        guard !isBroken else { return }
        isBroken = true
        isLeaving = true
        farewell = CloseReason.violation.code
        control.removeAll()
        touched.removeAll()
        ready.removeAll()
        events.append(.violation(violation))
    }
}
