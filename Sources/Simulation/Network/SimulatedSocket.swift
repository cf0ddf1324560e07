import WaggleBase

/// One end of a simulated TCP connection: a send buffer, a receive queue, and a window that the far end grants.
final class SimulatedSocket: ByteSocket, @unchecked Sendable {
    private enum Item {
        case data(Bytes)
        case end
    }

    let localAddress: SocketAddress
    let remoteAddress: SocketAddress
    let host: Host
    let remoteHost: Host
    let number: UInt64
    private let hostLoop: HostLoop
    private let fabric: Fabric
    private var peer: SimulatedSocket?

    // What goes out.
    private var outbox = Deque<Bytes>()
    private var outboxBytes = 0
    private var credit: Int
    private var lineFree: Instant
    private var lastArrival = Instant(nanoseconds: 0)
    private var held = Deque<Item>()
    private var holds: UInt64 = 0
    private var endAsked = false
    private var endSent = false
    private var wantsWritable = false

    // What comes in.
    private var inbox = Deque<Bytes>()
    private var inboxBytes = 0
    private var unacknowledged = 0
    private var acknowledging = false
    private var endReceived = false
    private var failure: Int32?
    private var wantsReadable = true

    /// Given back by its owner.
    private var isClosed = false
    /// No longer there: reset, crashed or finished.
    private(set) var isGone = false

    var loop: any EventLoop { hostLoop }

    var handler: (any SocketHandler)? {
        didSet {
            guard handler != nil, !isClosed else { return }
            hostLoop.execute { [self] in reportReadiness() }
        }
    }

    private init(_ fabric: Fabric, host: Host, loop: HostLoop, tuple: NetworkStack.Tuple, remoteHost: Host) {
        self.fabric = fabric
        self.host = host
        hostLoop = loop
        self.remoteHost = remoteHost
        localAddress = tuple.local
        remoteAddress = tuple.remote
        credit = fabric.options.receiveWindow
        lineFree = fabric.loop.now
        let stack = fabric.stack(of: host)
        number = stack.number()
        stack.add(self, tuple)
    }

    static func pair(
        _ fabric: Fabric, _ near: Host, _ nearLoop: HostLoop, _ tuple: NetworkStack.Tuple, _ far: Host, _ farLoop: HostLoop
    ) -> (near: SimulatedSocket, far: SimulatedSocket) {
        let first = SimulatedSocket(fabric, host: near, loop: nearLoop, tuple: tuple, remoteHost: far)
        let second = SimulatedSocket(fabric, host: far, loop: farLoop, tuple: tuple.mirrored, remoteHost: near)
        first.peer = second
        second.peer = first
        return (first, second)
    }

    /// Nothing reaches this end before that: it does not know of the connection yet.
    func expectNothing(before instant: Instant) { peer?.lastArrival = instant }

    // MARK: Reading

    func read(into buffer: UnsafeMutableRawBufferPointer) -> SocketOutcome {
        if isClosed { return .failed(errno: Errno.badDescriptor) }
        var filled = 0
        while filled < buffer.count, let first = inbox.first {
            let length = min(first.count, buffer.count - filled)
            first.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + length])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[0..<length]))
            }
            filled += length
            if length == first.count { inbox.popFirst() } else { inbox.first = first.dropFirst(length) }
        }
        if filled > 0 {
            inboxBytes -= filled
            acknowledge(filled)
            if filled < buffer.count { drained() }
            return .moved(filled)
        }
        if let failure { return .failed(errno: failure) }
        if endReceived { return .ended }
        wantsReadable = true
        return .wouldBlock
    }

    /// After a short read the owner waits to be told, so an end that is there already must be told too.
    private func drained() {
        wantsReadable = true
        guard endReceived || failure != nil else { return }
        hostLoop.execute { [self] in tellReadable() }
    }

    private func acknowledge(_ count: Int) {
        unacknowledged += count
        guard !acknowledging, peer != nil else { return }
        acknowledging = true
        fabric.loop.schedule(after: fabric.delay(host, remoteHost)) { [self] in deliverAcknowledgement() }
    }

    private func deliverAcknowledgement() {
        acknowledging = false
        guard let peer, unacknowledged > 0 else { return }
        // Lost ones are made up for by the next, or when the partition ends.
        guard fabric.isReachable(host, remoteHost) else { return }
        peer.credit += unacknowledged
        unacknowledged = 0
        peer.pump()
    }

    // MARK: Writing

    func write(_ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> SocketOutcome {
        if isClosed { return .failed(errno: Errno.badDescriptor) }
        if let failure { return .failed(errno: failure) }
        if endAsked { return .failed(errno: Errno.brokenPipe) }
        let pieces = pieces.prefix(64)
        let offered = pieces.reduce(0) { $0 + $1.count }
        let space = fabric.options.sendBuffer - outboxBytes
        if offered > 0, space <= 0 {
            wantsWritable = true
            return .wouldBlock
        }
        let taken = min(offered, space)
        if taken == 0 { return .moved(0) }
        let copy = Bytes(count: taken) { buffer in
            var filled = 0
            for piece in pieces where filled < taken {
                let part = UnsafeRawBufferPointer(rebasing: piece.prefix(taken - filled))
                UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + part.count]).copyMemory(from: part)
                filled += part.count
            }
            return filled
        }
        outbox.append(copy)
        outboxBytes += taken
        pump()
        return .moved(taken)
    }

    func shutdownWrite() {
        guard !isClosed, !endAsked else { return }
        endAsked = true
        pump()
    }

    func close(abort: Bool) {
        guard !isClosed else { return }
        isClosed = true
        handler = nil
        // As Linux does: closing with unread bytes resets.
        if abort || inboxBytes > 0 {
            sendReset()
            leave()
        } else {
            endAsked = true
            pump()
            if failure != nil { leave() }
        }
        inbox.removeAll()
        inboxBytes = 0
    }

    // MARK: The line

    /// Sends what the far end's window allows.
    private func pump() {
        guard !isGone, failure == nil else { return }
        while credit > 0, let first = outbox.first {
            let size = min(segmentSize(), credit, first.count)
            send(.data(first.prefix(size)), size)
            if size == first.count { outbox.popFirst() } else { outbox.first = first.dropFirst(size) }
            outboxBytes -= size
            credit -= size
        }
        if endAsked, !endSent, outbox.isEmpty {
            endSent = true
            send(.end, 0)
        }
        // Like Linux, not at the first free byte.
        if wantsWritable, outboxBytes <= fabric.options.sendBuffer * 2 / 3 { tellWritable() }
    }

    private func segmentSize() -> Int {
        let options = fabric.options
        let tiny = options.tinySegmentEvery > 0 && Int.random(in: 0..<options.tinySegmentEvery, using: &fabric.random) == 0
        return max(1, Int.random(in: tiny ? 1...16 : options.segmentSize, using: &fabric.random))
    }

    private func send(_ item: Item, _ size: Int) {
        let link = fabric.link(host, remoteHost)
        let now = fabric.loop.now
        var sent = max(now, lineFree)
        if let bandwidth = link.bandwidth, bandwidth > 0 {
            sent = sent + .nanoseconds(Int64(Double(size) / Double(bandwidth) * 1e9))
            lineFree = sent
        }
        lastArrival = max(lastArrival, sent + fabric.delay(host, remoteHost))
        fabric.loop.schedule(after: lastArrival - now) { [self] in arrive(item) }
    }

    /// An item reaches the far host, or is lost and kept for later.
    private func arrive(_ item: Item) {
        guard !isGone || isClosed, !hasVanished, failure == nil, let peer else { return }
        guard held.isEmpty, fabric.isReachable(host, remoteHost) else { return hold(item) }
        if peer.isGone || peer.isClosed, !receivesAfterClose(item, peer) {
            fabric.loop.note(.reset(from: remoteAddress, to: localAddress))
            fabric.loop.schedule(after: fabric.delay(remoteHost, host)) { [self] in receiveReset() }
            return
        }
        peer.receive(item)
        if case .end = item, isClosed { leave() }
    }

    private func receivesAfterClose(_ item: Item, _ peer: SimulatedSocket) -> Bool {
        if case .end = item { return peer.isClosed && !peer.hasVanished }
        return false
    }

    private func receive(_ item: Item) {
        guard failure == nil else { return }
        switch item {
        case .data(let bytes):
            fabric.loop.note(.segment(from: remoteAddress, to: localAddress, bytes))
            inbox.append(bytes)
            inboxBytes += bytes.count
        case .end:
            fabric.loop.note(.finished(from: remoteAddress, to: localAddress))
            endReceived = true
        }
        if wantsReadable { tellReadable() }
    }

    private func hold(_ item: Item) {
        if held.isEmpty {
            fabric.loop.note(.held(from: localAddress, to: remoteAddress))
            holds += 1
            let hold = holds
            fabric.loop.schedule(after: fabric.options.retransmissionTimeout) { [self] in
                if hold == holds, !held.isEmpty { fail(Errno.timedOut) }
            }
        }
        held.append(item)
    }

    /// Retransmits what was lost, if the way is free again.
    func sendAgain() {
        fabric.loop.schedule(after: fabric.delay(host, remoteHost)) { [self] in
            guard fabric.isReachable(host, remoteHost) else { return }
            let items = held
            held = Deque()
            for index in 0..<items.count { arrive(items[index]) }
        }
        acknowledgeAgain()
    }

    private func acknowledgeAgain() {
        guard unacknowledged > 0, !acknowledging else { return }
        acknowledge(0)
    }

    // MARK: The end

    private(set) var hasVanished = false

    /// The host lost its power: no word to the other side.
    func vanish() {
        let handler = handler
        hasVanished = true
        isClosed = true
        self.handler = nil
        leave()
        tellLast(handler)
    }

    /// The process was killed: the kernel resets the connection.
    func orphan() {
        let handler = handler
        close(abort: true)
        tellLast(handler)
    }

    /// Whoever still waits on this end, like a test that spoke for the host, finds it closed.
    private func tellLast(_ handler: (any SocketHandler)?) {
        guard let handler else { return }
        let waiting = Waiting(handler: handler)
        hostLoop.execute {
            waiting.handler.socketReadable()
            waiting.handler.socketWritable()
        }
    }

    private struct Waiting: @unchecked Sendable { let handler: any SocketHandler }

    private func sendReset() {
        guard let peer, !isGone else { return }
        fabric.loop.schedule(after: max(lastArrival - fabric.loop.now, fabric.delay(host, remoteHost))) { [self] in
            // Resets are not sent again.
            guard fabric.isReachable(host, remoteHost) else { return }
            fabric.loop.note(.reset(from: localAddress, to: remoteAddress))
            peer.receiveReset()
        }
    }

    private func receiveReset() {
        if fabric.isReachable(remoteHost, host) { fail(Errno.connectionReset) }
    }

    /// Breaks this end.
    func fail(_ errno: Int32) {
        guard failure == nil, !hasVanished else { return }
        failure = errno
        outbox.removeAll()
        outboxBytes = 0
        held.removeAll()
        leave()
        wantsReadable = true
        wantsWritable = true
        tellReadable()
        tellWritable()
    }

    private func leave() {
        guard !isGone else { return }
        isGone = true
        if let peer, peer.isGone {
            peer.peer = nil
            self.peer = nil
        }
        fabric.stack(of: host).remove(NetworkStack.Tuple(local: localAddress, remote: remoteAddress), self)
    }

    func forget() {
        peer = nil
        handler = nil
    }

    // MARK: Telling the owner

    private func reportReadiness() {
        if inboxBytes > 0 || endReceived || failure != nil { tellReadable() }
        if outboxBytes < fabric.options.sendBuffer || failure != nil { tellWritable() }
    }

    private func tellReadable() {
        guard handler != nil, !isClosed else { return }
        wantsReadable = false
        hostLoop.handle(\.event) { [self] in if !isClosed { handler?.socketReadable() } }
    }

    private func tellWritable() {
        guard handler != nil, !isClosed else { return }
        wantsWritable = false
        hostLoop.handle(\.event) { [self] in if !isClosed { handler?.socketWritable() } }
    }
}
