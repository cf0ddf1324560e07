import WaggleBase

extension Stream {
    /// Queues all of `bytes` without a copy, in order and in one piece; waits while more is queued than the budgets of `ConnectionLimits` allow.
    ///
    /// When it returns, the bytes are on their way, not arrived. Throws `closed` after `finish`.
    public func write(_ bytes: Bytes) async throws(StreamError) {
        if connection.loop.isCurrent { return try await writeHere(bytes, nil) }
        try await connection.loop.run { () async throws(StreamError) in try await self.writeHere(bytes, nil) }
    }

    /// Queues `bytes` behind their length as an unsigned varint.
    public func writeMessage(_ bytes: Bytes) async throws(StreamError) {
        let whole = Stream.message(bytes)
        if connection.loop.isCurrent { return try await writeHere(whole.0, whole.1) }
        try await connection.loop.run { () async throws(StreamError) in try await self.writeHere(whole.0, whole.1) }
    }

    /// Waits until at most `count` bytes of what was written are still queued here. Throws as `write` does.
    ///
    /// For writers that decide late what goes out next.
    public func drain(to count: ByteCount) async throws(StreamError) {
        if connection.loop.isCurrent { return try await drainHere(count.bytes) }
        try await connection.loop.run { () async throws(StreamError) in try await self.drainHere(count.bytes) }
    }

    /// Small messages are copied behind their prefix, which is cheaper than a frame of two pieces.
    private static func message(_ bytes: Bytes) -> (Bytes, Bytes?) {
        let isSmall = bytes.count <= ConnectionLimits.stagedPayload
        var writer = ByteWriter(capacity: Varint.maximumLength + (isSmall ? bytes.count : 0))
        writer.write(varint: UInt64(bytes.count))
        if isSmall { writer.write(bytes) }
        return (writer.finish(), isSmall ? nil : bytes)
    }

    // MARK: On the loop

    private func drainHere(_ count: Int) async throws(StreamError) {
        try checkWriting()
        while connection.session.queuedBytes(on: id) > count {
            connection.session.notifyWritable(id, below: count)
            try await park(writable)
            try checkWriting()
        }
    }

    private func writeHere(_ first: Bytes, _ second: Bytes?) async throws(StreamError) {
        try checkWriting()
        if servedTicket == nextTicket, room >= first.count + (second?.count ?? 0) {
            enqueue(first)
            if let second { enqueue(second) }
            connection.scheduleFlush()
            return
        }
        let ticket = nextTicket
        nextTicket += 1
        var isBegun = false
        do throws(StreamError) {
            try await writeInTurn(ticket, first, &isBegun)
            if let second { try await writeInTurn(ticket, second, &isBegun) }
        } catch {
            leave(ticket)
            if isBegun { reset() }
            throw error
        }
        leave(ticket)
    }

    /// Queues `bytes` as room comes, when all writers before have queued theirs.
    private func writeInTurn(_ ticket: Int, _ bytes: Bytes, _ isBegun: inout Bool) async throws(StreamError) {
        var rest = bytes
        while !rest.isEmpty {
            try checkWriting()
            if servedTicket == ticket {
                let part = rest.prefix(max(room, 0))
                if !part.isEmpty {
                    enqueue(part)
                    connection.scheduleFlush()
                    isBegun = true
                    rest = rest.dropFirst(part.count)
                    if rest.isEmpty { return }
                }
                // Half of the queue goes out while this task wakes.
                let queued = connection.session.queuedBytes(on: id)
                connection.session.notifyWritable(id, below: queued / 2)
            }
            try await park(writable)
        }
    }

    /// The turn goes to the next writer that still wants it.
    private func leave(_ ticket: Int) {
        guard ticket == servedTicket else {
            abandonedTickets.insert(ticket)
            return
        }
        servedTicket += 1
        while abandonedTickets.remove(servedTicket) != nil { servedTicket += 1 }
        if servedTicket != nextTicket { writable.wake() }
    }

    private func enqueue(_ bytes: Bytes) { connection.session.send(bytes, on: id) }

    /// How much may be queued now: always a share, and more while the connection's queue has room.
    private var room: Int {
        let limits = connection.limits
        let queued = connection.session.queuedBytes(on: id)
        let budget =
            connection.memory.isShort ? 0 : min(limits.queuedPerStream.bytes - queued, limits.queued.bytes - connection.session.queuedBytes)
        return max(limits.queuedShare.bytes - queued, budget)
    }

    private func checkWriting() throws(StreamError) {
        try checkTime()
        if let failure { throw failure }
        if isFinished { throw .closed }
    }
}
