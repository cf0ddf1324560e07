import WaggleBase

extension Stream {
    /// The next bytes, at least one and at most `limit`, without a copy; nil when the remote has ended its side.
    public func read(upTo limit: Int = .max) async throws(StreamError) -> Bytes? {
        if connection.loop.isCurrent { return try await readHere(limit) }
        return try await connection.loop.run { () async throws(StreamError) in try await self.readHere(limit) }
    }

    /// The next `count` bytes; throws `truncated` when the remote ends its side before.
    ///
    /// Memory for all of them is taken at once: check a length that came from the remote first.
    public func read(exactly count: Int) async throws(StreamError) -> Bytes {
        if connection.loop.isCurrent { return try await readExactly(count) }
        return try await connection.loop.run { () async throws(StreamError) in try await self.readExactly(count) }
    }

    /// The next message, which the remote has put behind its length as an unsigned varint; nil when it has ended its side instead.
    ///
    /// Throws `tooLong` when the length is above `limit`, `malformed` when it is no varint, `truncated` when the end comes inside.
    public func readMessage(limit: ByteCount) async throws(StreamError) -> Bytes? {
        if connection.loop.isCurrent { return try await readMessageHere(limit.bytes) }
        return try await connection.loop.run { () async throws(StreamError) in try await self.readMessageHere(limit.bytes) }
    }

    /// Everything until the remote ends its side; throws `tooLong` as soon as that is more than `limit`.
    public func readAll(limit: ByteCount) async throws(StreamError) -> Bytes {
        if connection.loop.isCurrent { return try await readAllHere(limit.bytes) }
        return try await connection.loop.run { () async throws(StreamError) in try await self.readAllHere(limit.bytes) }
    }

    // MARK: On the loop

    private func readHere(_ limit: Int) async throws(StreamError) -> Bytes? {
        precondition(limit > 0, "a read of nothing")
        while true {
            if let piece = try take(limit) { return piece }
            if isAtEnd { return nil }
            try await park(readable)
        }
    }

    private func readExactly(_ count: Int) async throws(StreamError) -> Bytes {
        guard count > 0 else { return Bytes() }
        while true {
            if let piece = inbox.first, piece.count >= count, let whole = try take(count) { return whole }
            try checkReading()
            if inbox.count >= count { break }
            if isAtEnd || isEnded { throw .truncated }
            // More than a window can hold is gathered piece by piece.
            if count > Stream.gatherInboxBytes { break }
            inbox.compactFirst()
            try await park(readable)
        }
        let block = ByteStorage(capacity: count)
        var filled = 0
        while filled < count {
            let part = min(inbox.count, count - filled)
            try checkReading()
            if part > 0 {
                inbox.copyFirst(part, to: block.base + filled)
                consumed(part)
                filled += part
            } else {
                if isAtEnd { throw .truncated }
                try await park(readable)
            }
        }
        return Bytes(storage: block, range: 0..<count)
    }

    /// Up to so many bytes wait in the inbox until all are there: less than half of the smallest window, so that they do arrive.
    private static var gatherInboxBytes: Int { 64 << 10 }

    private func readMessageHere(_ limit: Int) async throws(StreamError) -> Bytes? {
        var length = 0
        while true {
            try checkReading()
            switch try messageLength() {
            case .some(let (value, prefix)):
                guard value <= UInt64(limit) else { throw .tooLong(limit: limit) }
                length = Int(value)
                _ = inbox.popFirst(upTo: prefix)
                // The prefix lies in one piece: `messageLength` sees to that.
                consumed(prefix)
            case nil:
                if isAtEnd { return nil }
                if isEnded { throw .truncated }
                try await park(readable)
                continue
            }
            break
        }
        return try await readExactly(length)
    }

    /// The length prefix at the front of the inbox and its own length; nil when it is not complete.
    private func messageLength() throws(StreamError) -> (value: UInt64, prefix: Int)? {
        guard let piece = inbox.first else { return nil }
        switch Varint.decode(piece.span) {
        case .value(let value, let prefix): return (value, prefix)
        case .malformed: throw .malformed
        case .incomplete:
            // A prefix cut by a frame: put its parts together, then look again.
            guard inbox.count > piece.count else { return nil }
            let count = min(inbox.count, Varint.maximumLength)
            let block = ByteStorage(capacity: count)
            inbox.copyFirst(count, to: block.base)
            inbox.prepend(Bytes(storage: block, range: 0..<count))
            switch Varint.decode(UnsafeRawBufferPointer(start: block.base, count: count).bytes) {
            case .value(let value, let prefix): return (value, prefix)
            case .malformed: throw .malformed
            case .incomplete: return nil
            }
        }
    }

    private func readAllHere(_ limit: Int) async throws(StreamError) -> Bytes {
        guard let first = try await readHere(.max) else { return Bytes() }
        var parts = [first]
        var count = first.count
        while count <= limit, let part = try await readHere(.max) {
            parts.append(part)
            count += part.count
        }
        guard count <= limit else { throw .tooLong(limit: limit) }
        if parts.count == 1 { return first }
        var writer = ByteWriter(capacity: count)
        for part in parts { writer.write(part) }
        return writer.finish()
    }

    /// Takes what is at the front of the inbox.
    private func take(_ limit: Int) throws(StreamError) -> Bytes? {
        try checkReading()
        guard !isNegotiating, let piece = inbox.popFirst(upTo: limit) else { return nil }
        consumed(piece.count)
        return piece
    }

    private func consumed(_ count: Int) {
        connection.session.consumed(count, on: id, at: connection.loop.now)
        if connection.session.hasFrames { connection.scheduleFlush() }
    }

    /// Whether nothing more will come.
    private var isAtEnd: Bool { isEnded && inbox.isEmpty }

    private func checkReading() throws(StreamError) {
        try checkTime()
        if let failure, inbox.isEmpty, !(isAtEnd && failure == .connectionLost) { throw failure }
        if isStopped { throw .closed }
        if isEnded, isNegotiating { throw .truncated }
    }

    /// Throws when the caller may not go on, whatever the stream is like.
    func checkTime() throws(StreamError) {
        if Task.isCancelled { throw .cancelled }
        if let deadline, deadline <= connection.loop.now { throw .timedOut }
    }

    /// Waits for something to change.
    func park(_ waiter: Waiter) async throws(StreamError) {
        do { try await waiter.wait() } catch { throw .cancelled }
    }
}
