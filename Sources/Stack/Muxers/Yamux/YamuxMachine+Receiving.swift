import WaggleBase
import WaggleNetwork

extension YamuxMachine {
    /// Takes plaintext, cut anywhere.
    mutating func receive(_ bytes: Bytes, at now: Instant) {
        lastReceived = now
        var offset = 0
        while offset < bytes.count, !isBroken {
            if body.rest > 0 {
                let end = min(offset + body.rest, bytes.count)
                body.rest -= end - offset
                deliver(bytes[offset..<end], at: now)
                offset = end
                if body.rest == 0, endsWithBody { endBody() }
            } else if partial.isEmpty, bytes.count - offset >= YamuxHeader.size {
                take(bytes.span.extracting(offset..<offset + YamuxHeader.size), at: now)
                offset += YamuxHeader.size
            } else {
                let end = min(offset + YamuxHeader.size - partial.count, bytes.count)
                bytes[offset..<end].withUnsafeBytes { partial.append(contentsOf: $0) }
                offset = end
                guard partial.count == YamuxHeader.size else { return }
                let header = partial
                partial.removeAll(keepingCapacity: true)
                take(header.span.bytes, at: now)
            }
        }
    }

    private mutating func take(_ bytes: RawSpan, at now: Instant) {
        guard let header = YamuxHeader(bytes) else { return violate(.malformed) }
        switch header.kind {
        case .data, .windowUpdate: takeStreamFrame(header, at: now)
        case .ping:
            if header.flags.contains(.syn) { takePing(header.length, at: now) } else { pong(header.length, at: now) }
        case .goAway:
            // Once is enough.
            guard !isRemoteLeaving else { return noteIdleFrame(at: now) }
            isRemoteLeaving = true
            events.append(.goAway(code: header.length))
        }
    }

    private mutating func takePing(_ value: UInt32, at now: Instant) {
        noteIdleFrame(at: now)
        guard !isBroken, pendingPongs < YamuxLimits.pongs else { return }
        pendingPongs += 1
        control.append(YamuxHeader(.ping, .ack, length: value))
    }

    // MARK: Frames of streams

    private mutating func takeStreamFrame(_ header: YamuxHeader, at now: Instant) {
        let id = header.stream
        if header.flags.contains(.syn) {
            guard admit(header, at: now) else { return }
        }
        guard let index = streams.index(forKey: id) else { return takeStray(header, at: now) }
        if streams.values[index].isOutbound, !streams.values[index].isAcknowledged {
            // Whatever the remote says about the stream, it knows it.
            streams.values[index].isAcknowledged = true
            unacknowledged -= 1
            noteOpening()
        }
        if header.flags.contains(.rst) { return takeReset(header) }
        if header.kind == .data {
            takeData(header, id, index, at: now)
        } else {
            takeWindow(header, id, index, at: now)
        }
    }

    /// Decides on a stream that the remote opens; false when the frame is dealt with.
    private mutating func admit(_ header: YamuxHeader, at now: Instant) -> Bool {
        let id = header.stream
        let isTheirs = id != 0 && (id & 1 == 1) == (parameters.role == .responder)
        guard isTheirs, streams[id] == nil else {
            violate(.badStream)
            return false
        }
        // Before anything is made for the stream.
        if header.kind == .data, header.length > UInt32(YamuxLimits.initialWindow) {
            violate(.window)
            return false
        }
        if inboundCount >= parameters.inboundStreams || isLeaving || header.flags.contains(.rst) {
            if !header.flags.contains(.rst) { queueReset(id, code: StreamResetCode.resourceLimitExceeded) }
            discardBody(header)
            noteIdleFrame(at: now)
            return false
        }
        streams[id] = YamuxStream(isOutbound: false, at: now)
        inboundCount += 1
        events.append(.opened(UInt64(id)))
        return true
    }

    /// A frame of a stream that is gone: still on its way when we reset it, most likely.
    private mutating func takeStray(_ header: YamuxHeader, at now: Instant) {
        let id = header.stream
        let isOurs = (id & 1 == 1) == (parameters.role == .initiator)
        guard id != 0, !isOurs || id < nextID else { return violate(.badStream) }
        guard header.kind != .data || Int(header.length) <= YamuxLimits.largestWindow else { return violate(.window) }
        discardBody(header)
        noteIdleFrame(at: now)
    }

    private mutating func discardBody(_ header: YamuxHeader) {
        guard header.kind == .data else { return }
        body = (0, Int(header.length))
        endsWithBody = false
    }

    private mutating func takeReset(_ header: YamuxHeader) {
        discardBody(header)
        remove(header.stream)
        events.append(.reset(UInt64(header.stream), code: header.kind == .windowUpdate ? header.length : 0))
    }

    private mutating func takeData(
        _ header: YamuxHeader, _ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index, at now: Instant
    ) {
        let length = Int(header.length)
        if length > 0 {
            guard !streams.values[index].isFinReceived else { return violate(.dataAfterEnd) }
            guard length <= streams.values[index].credit else { return violate(.window) }
            streams.values[index].credit -= length
            body = (id, length)
            endsWithBody = header.flags.contains(.fin)
        } else if header.flags.contains(.fin) {
            takeEnd(id, index, at: now)
        } else if header.flags.isEmpty {
            noteIdleFrame(at: now)
        }
    }

    private mutating func takeWindow(
        _ header: YamuxHeader, _ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index, at now: Instant
    ) {
        if header.length > 0 {
            let window = streams.values[index].sendWindow + Int(header.length)
            guard window <= Int(UInt32.max) else { return violate(.window) }
            streams.values[index].sendWindow = window
            enqueue(id, index)
        } else if header.flags.isEmpty {
            noteIdleFrame(at: now)
        }
        if header.flags.contains(.fin) { takeEnd(id, index, at: now) }
    }

    private mutating func takeEnd(_ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index, at now: Instant) {
        guard !streams.values[index].isFinReceived else { return noteIdleFrame(at: now) }
        streams.values[index].isFinReceived = true
        // A window is of no use to a remote that has ended.
        streams.values[index].grant = 0
        events.append(.finished(UInt64(id)))
        removeIfOver(id, index)
    }

    // MARK: Payload

    private mutating func deliver(_ bytes: Bytes, at now: Instant) {
        let id = body.stream
        guard id != 0, let index = streams.index(forKey: id) else { return }
        if streams.values[index].isStopped { return discard(bytes.count, id, index, at: now) }
        streams.values[index].unread += bytes.count
        unreadTotal += bytes.count
        guard unreadTotal <= parameters.unreadBytes else {
            reset(id, code: StreamResetCode.resourceLimitExceeded)
            events.append(.refused(UInt64(id)))
            return
        }
        events.append(.data(UInt64(id), bytes))
    }

    private mutating func discard(_ count: Int, _ id: UInt32, _ index: Dictionary<UInt32, YamuxStream>.Index, at now: Instant) {
        streams.values[index].discarded += count
        if streams.values[index].discarded > YamuxLimits.discarded {
            let code = streams.values[index].stopCode
            reset(id, code: code)
            events.append(.reset(UInt64(id), code: code))
        } else {
            grantWindow(id, index, at: now)
        }
    }

    private mutating func endBody() {
        endsWithBody = false
        guard body.stream != 0, let index = streams.index(forKey: body.stream) else { return }
        takeEnd(body.stream, index, at: lastReceived)
    }

    // MARK: Patience

    /// Counts a frame that does nothing.
    mutating func noteIdleFrame(at now: Instant) {
        if patience == 0 || now > patienceAt + .seconds(1) {
            let earned = (now - patienceAt).wholeNanoseconds / (1_000_000_000 / Int64(YamuxLimits.idleFramesPerSecond))
            if earned > 0 {
                patience = min(YamuxLimits.idleFrames, patience + Int(min(earned, Int64(YamuxLimits.idleFrames))))
                patienceAt = now
            }
        }
        guard patience > 0 else { return violate(.flood) }
        patience -= 1
    }
}
