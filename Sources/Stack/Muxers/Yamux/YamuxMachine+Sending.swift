import WaggleBase
import WaggleNetwork

/// A frame to be sent.
struct YamuxFrame {
    var header: YamuxHeader
    var payload = Bytes()
}

extension YamuxMachine {
    /// Whether `nextFrame` would give a frame.
    var hasFrames: Bool { !control.isEmpty || !touched.isEmpty || !ready.isEmpty || farewell != nil }

    /// The next frame with at most `room` bytes of payload; nil when nothing may be sent now.
    mutating func nextFrame(room: Int, at now: Instant) -> YamuxFrame? {
        if let header = control.popFirst() {
            if header.kind == .ping {
                // The round trip begins now and not when the ping was thought of.
                if header.flags == .ack { pendingPongs -= 1 } else if pingSentAt != nil { pingSentAt = now }
            }
            return YamuxFrame(header: header)
        }
        while let id = touched.popFirst() {
            if let header = controlFrame(id) { return YamuxFrame(header: header) }
        }
        while let id = ready.popFirst() {
            if let frame = dataFrame(id, room) { return frame }
        }
        if let code = farewell {
            farewell = nil
            return YamuxFrame(header: YamuxHeader(.goAway, length: code))
        }
        return nil
    }

    /// One frame that says all there is to say about a stream besides its data: SYN or ACK, a larger window, the end.
    private mutating func controlFrame(_ id: UInt32) -> YamuxHeader? {
        guard let index = streams.index(forKey: id), streams.values[index].isInTouched else { return nil }
        streams.values[index].isInTouched = false
        guard streams.values[index].needsControl else { return nil }
        var header = YamuxHeader(.windowUpdate, stream: id, length: UInt32(streams.values[index].grant))
        streams.values[index].grant = 0
        if streams.values[index].owesFlag {
            streams.values[index].owesFlag = false
            header.flags.insert(streams.values[index].isOutbound ? .syn : .ack)
        }
        if streams.values[index].isFinishing, !streams.values[index].isFinSent, streams.values[index].queue.isEmpty {
            header.flags.insert(.fin)
            streams.values[index].isFinSent = true
            removeIfOver(id, index)
        }
        return header
    }

    /// The next portion of a stream's data. A stream with more goes to the end of the queue, so that all get their turn.
    private mutating func dataFrame(_ id: UInt32, _ room: Int) -> YamuxFrame? {
        guard let index = streams.index(forKey: id), streams.values[index].isInReady else { return nil }
        streams.values[index].isInReady = false
        guard let payload = streams.values[index].queue.popFirst(upTo: min(room, streams.values[index].sendWindow)) else { return nil }
        streams.values[index].sendWindow -= payload.count
        queuedTotal -= payload.count
        if streams.values[index].queue.count <= streams.values[index].mark {
            streams.values[index].mark = -1
            events.append(.writable(UInt64(id)))
        }
        enqueue(id, index)
        return YamuxFrame(header: YamuxHeader(.data, stream: id, length: UInt32(payload.count)), payload: payload)
    }
}
