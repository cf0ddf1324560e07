import Synchronization
import WaggleBase

extension Connection {
    /// Opens a stream and agrees on the first of `protocols` that the remote speaks.
    ///
    /// With a single protocol nothing is waited for: it is assumed, and the first `write` travels in the same packet. When the remote does not
    /// speak it, reads and later writes throw `protocolNotSupported`. With several, the answer is awaited.
    ///
    /// Waits while the remote has more than 256 of our streams unacknowledged. Throws `timedOut` after `ConnectionLimits.negotiation`,
    /// `closed` when the remote takes no more streams, `connectionLost` when the connection ended. The stream belongs to the caller,
    /// who ends it with `finish` (and reading to the end) or `reset`.
    public func openStream(_ protocols: [ProtocolID]) async throws(StreamError) -> Stream {
        if loop.isCurrent { return try await openStreamHere(protocols) }
        return try await loop.run { () async throws(StreamError) in try await self.openStreamHere(protocols) }
    }

    private func openStreamHere(_ protocols: [ProtocolID]) async throws(StreamError) -> Stream {
        guard !protocols.isEmpty else { throw .protocolNotSupported }
        let giveUp = loop.now + limits.negotiation
        try await waitForOpening(giveUp)
        guard let id = session.openStream(at: loop.now) else { throw .closed }
        let stream = Stream(id, on: self, .outbound, MultistreamMachine(proposing: protocols))
        add(stream)
        stream.sendNegotiation()
        if protocols.count == 1 { return stream }
        stream.deadline = giveUp
        do throws(StreamError) {
            try await stream.negotiated()
        } catch {
            stream.reset(StreamResetCode.protocolNegotiationFailed)
            throw error
        }
        stream.deadline = nil
        return stream
    }

    private func waitForOpening(_ giveUp: Instant) async throws(StreamError) {
        while true {
            guard isOpen else { throw .connectionLost }
            switch session.opening {
            case .possible: return
            case .never: throw .closed
            case .later:
                guard loop.now < giveUp else { throw .timedOut }
                let timer = loop.schedule(at: giveUp) { [openable] in openable.wake() }
                defer { loop.cancel(timer) }
                do { try await openable.wait() } catch { throw .cancelled }
            }
        }
    }

    // MARK: What the session tells

    func drainEvents() {
        while let event = session.nextEvent() {
            switch event {
            case .data(let id, let bytes):
                guard let stream = streams[id] else { continue }
                stream.deliver(bytes)
            case .opened(let id): accept(id)
            case .finished(let id): streams[id]?.remoteFinished()
            case .reset(let id, let code): remove(id)?.fail(.reset(code: code))
            case .refused(let id): remove(id)?.fail(.limitReached)
            case .writable(let id): streams[id]?.writable.wake()
            case .closed(let id): remove(id)?.bothFinished()
            case .openable: openable.wake()
            case .goAway(let code): remoteSaidFarewell(code)
            case .violation:
                router.muxerViolated(on: self)
                beginClosing(.violation)
            case .timedOut: end(.timedOut, abort: true)
            }
        }
    }

    private func accept(_ id: UInt64) {
        if isOpen, inboundStreams >= limits.inboundStreams { router.streamBeyondLimit(on: self) }
        guard isOpen, inboundStreams < limits.inboundStreams, router.admitStream(on: self) else {
            return session.reset(id, code: StreamResetCode.resourceLimitExceeded)
        }
        inboundStreams += 1
        let router = router
        let stream = Stream(id, on: self, .inbound, MultistreamMachine(accepting: { router.speaks($0) }))
        add(stream)
        negotiating.append(id, until: loop.now + limits.negotiation, streams.count) { self.streams[$0]?.isNegotiating == true }
    }

    private func add(_ stream: Stream) {
        streams[stream.id] = stream
        noteStreams()
    }

    /// Forgets a stream; it is at its end, or reset.
    @discardableResult
    func remove(_ id: UInt64) -> Stream? {
        guard let stream = streams.removeValue(forKey: id) else { return nil }
        noteStreams()
        if stream.direction == .inbound, !stream.isServed { releaseInbound() }
        closeAfterFarewell()
        return stream
    }

    private func noteStreams() {
        counters.streams.store(streams.count, ordering: .relaxed)
        counters.lastActivity.store(loop.now.nanoseconds, ordering: .relaxed)
    }

    func releaseInbound() {
        inboundStreams -= 1
        router.releaseStream(on: self)
    }

    // MARK: Serving

    /// The protocol of an inbound stream is agreed on: its handler starts.
    func serve(_ stream: Stream) {
        guard isOpen, let handler = router.handler(for: stream.protocolID, on: self) else {
            return stream.reset(StreamResetCode.resourceLimitExceeded)
        }
        stream.isServed = true
        let started = handlers.spawn(on: loop) {
            do {
                try await handler(stream)
                self.handlerReturned(stream)
            } catch {
                self.handlerFailed(stream, error)
            }
        }
        if !started { handlerFailed(stream, StreamError.connectionLost) }
    }

    private func handlerReturned(_ stream: Stream) {
        stream.finish()
        stream.stop()
        stream.hasLingered = true
        releaseInbound()
        guard streams[stream.id] === stream else { return }
        lingering.append(stream.id, until: loop.now + limits.linger, streams.count) { self.streams[$0]?.hasLingered == true }
        armAlarm()
    }

    private func handlerFailed(_ stream: Stream, _ error: any Error) {
        let code =
            switch error as? StreamError {
            case .malformed, .tooLong: StreamResetCode.protocolViolation
            case .limitReached: StreamResetCode.resourceLimitExceeded
            default: StreamResetCode.none
            }
        stream.reset(code)
        releaseInbound()
    }

    /// Resets streams that did not agree on a protocol in time, or whose remote keeps its side open after the handler is gone.
    func expireStreams(_ now: Instant) {
        while let id = negotiating.popExpired(now) {
            if let stream = streams[id], stream.isNegotiating { stream.reset(StreamResetCode.protocolNegotiationFailed) }
        }
        while let id = lingering.popExpired(now) { streams[id]?.reset() }
    }
}

/// Streams and when their patience ends, in that order.
struct StreamDeadlines {
    private var entries = Deque<(until: Instant, stream: UInt64)>()

    var first: Instant? { entries.first?.until }

    /// Adds a deadline that is later than all others. Streams for which `isWaiting` is no longer true are dropped once they are many compared
    /// with the `open` ones, so that streams which come and go behind one that stays cannot make the queue grow.
    mutating func append(_ stream: UInt64, until: Instant, _ open: Int, isWaiting: (UInt64) -> Bool) {
        if entries.count > 64 + 2 * open {
            var kept = Deque<(until: Instant, stream: UInt64)>()
            for index in 0..<entries.count where isWaiting(entries[index].stream) { kept.append(entries[index]) }
            entries = kept
        }
        entries.append((until, stream))
    }

    /// A stream whose deadline has passed.
    mutating func popExpired(_ now: Instant) -> UInt64? {
        guard let first = entries.first, first.until <= now else { return nil }
        entries.popFirst()
        return first.stream
    }

    var count: Int { entries.count }
}
