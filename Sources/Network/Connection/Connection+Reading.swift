import Synchronization
import WaggleBase

/// What has arrived and is not yet a whole record.
struct ConnectionInput {
    /// The chunk being read into; an idle connection has none.
    var chunk: ByteStorage?
    /// The first byte that is not opened yet, and the end of what was read.
    var start = 0
    var end = 0
    /// The beginning of a record whose chunk was given back.
    var carry = Bytes()
    /// How many bytes the record at `start` takes at least.
    var need = 0
    /// Whether the chunk is kept although nothing is being read.
    var isHeld = false
    /// Plaintext left over by the upgrade.
    var plaintext = Bytes()
    /// Goes on with `readPass` on the loop's next turn; made once.
    var job: @Sendable () -> Void = {}
    var isScheduled = false
}

extension Connection: SocketHandler {
    public func socketReadable() { readPass() }
    public func socketWritable() {
        output.isBlocked = false
        flush()
    }
}

extension Connection {
    /// The most of a record that is copied when its chunk is given back, in bytes.
    private static let cheapCarry = 8 << 10

    /// Reads what the socket has, a bounded amount a turn, and brings it where it belongs.
    func readPass() {
        input.isScheduled = false
        guard let socket else { return }
        var budget = ConnectionLimits.readPerTurn
        var received = 0
        reading: while true {
            let room = prepareInput()
            switch socket.read(into: room) {
            case .moved(let count):
                received += count
                input.end += count
                guard openRecords() else { return }
                if count < room.count { break reading }
                budget -= count
                if budget <= 0 {
                    // Others first; the socket will not tell again.
                    scheduleRead()
                    break reading
                }
            case .wouldBlock:
                break reading
            case .ended:
                settleBytesIn(received)
                return end(.lost(errno: 0))
            case .failed(let errno):
                settleBytesIn(received)
                return end(.lost(errno: errno))
            }
        }
        settleBytesIn(received)
        parkInput()
        settle()
    }

    private func settleBytesIn(_ count: Int) {
        counters.bytesIn.wrappingAdd(count, ordering: .relaxed)
        if count > 0, firstInput != nil { wakeFirstInput() }
    }

    private func scheduleRead() {
        guard !input.isScheduled else { return }
        input.isScheduled = true
        loop.execute(input.job)
    }

    /// What the upgrade read too much: plaintext first, then raw bytes.
    func takeUpgradeLeftovers() {
        if !input.plaintext.isEmpty {
            session.receive(input.plaintext, at: loop.now)
            input.plaintext = Bytes()
            drainEvents()
        }
        var rest = input.carry
        input.carry = Bytes()
        while !rest.isEmpty, !isOver {
            let room = prepareInput()
            let part = rest.prefix(room.count)
            part.withUnsafeBytes { room.copyMemory(from: $0) }
            input.end += part.count
            rest = rest.dropFirst(part.count)
            guard openRecords() else { return }
        }
        parkInput()
    }

    /// Room to read into, behind the beginning of a record if there is one.
    private func prepareInput() -> UnsafeMutableRawBufferPointer {
        if input.isHeld {
            input.isHeld = false
            pool.held -= 1
        }
        if input.start == input.end, isKnownUniquelyReferenced(&input.chunk) {
            input.start = 0
            input.end = 0
        }
        if let chunk = input.chunk {
            let pending = input.end - input.start
            let fits = pending == 0 ? chunk.capacity - input.end >= ChunkPool.smallestRoom : chunk.capacity - input.start >= input.need
            if !fits || chunk.capacity == input.end { replaceChunk(chunk, pending) }
        } else {
            let (chunk, used) = pool.take()
            input.carry.withUnsafeBytes { carry in
                UnsafeMutableRawBufferPointer(start: chunk.base + used, count: carry.count).copyMemory(from: carry)
            }
            input.chunk = chunk
            input.start = used
            input.end = used + input.carry.count
            input.carry = Bytes()
        }
        guard let chunk = input.chunk else { preconditionFailure("there is a chunk now") }
        return UnsafeMutableRawBufferPointer(start: chunk.base + input.end, count: chunk.capacity - input.end)
    }

    private func replaceChunk(_ chunk: ByteStorage, _ pending: Int) {
        // The full chunk goes first: if nobody looks into it, it comes straight back when nothing has to be copied.
        if pending == 0 {
            input.chunk = nil
            pool.retire(chunk)
            input.chunk = pool.takeFree()
        } else {
            let next = pool.takeFree()
            next.base.copyMemory(from: chunk.base + input.start, byteCount: pending)
            input.chunk = next
            pool.retire(chunk)
        }
        input.start = 0
        input.end = pending
    }

    /// Gives the chunk back when the socket is drained.
    private func parkInput() {
        guard let chunk = input.chunk else { return }
        let pending = input.end - input.start
        if pending > Connection.cheapCarry, pool.held < ChunkPool.heldChunks {
            pool.held += 1
            input.isHeld = true
            return
        }
        if pending > 0 { input.carry = Bytes(copying: UnsafeRawBufferPointer(start: chunk.base + input.start, count: pending)) }
        input.chunk = nil
        pool.give(chunk, used: input.start)
    }

    private func dropInput() {
        if input.isHeld {
            input.isHeld = false
            pool.held -= 1
        }
        if let chunk = input.chunk {
            input.chunk = nil
            pool.retire(chunk)
        }
    }

    /// Opens the whole records in the chunk; says false when the connection has ended meanwhile.
    private func openRecords() -> Bool {
        guard let chunk = input.chunk else { return true }
        // Nothing more is of interest when only the other side's end is waited for.
        if case .draining = phase { input.start = input.end }
        let now = loop.now
        while input.start < input.end {
            let outcome: RecordOutcome
            do throws(RecordError) {
                outcome = try records.open(
                    UnsafeMutableRawBufferPointer(start: chunk.base + input.start, count: input.end - input.start))
            } catch {
                end(.violation, abort: true)
                return false
            }
            switch outcome {
            case .incomplete(let need):
                input.need = need
                return true
            case .record(let plaintext, let consumed):
                if !plaintext.isEmpty {
                    let range = input.start + plaintext.lowerBound..<input.start + plaintext.upperBound
                    session.receive(Bytes(storage: chunk, range: range), at: now)
                }
                input.start += consumed
                drainEvents()
                if isOver { return false }
            }
        }
        input.need = 0
        return true
    }

    /// Lets go of all memory, at the end.
    func releaseBuffers() {
        dropInput()
        input = ConnectionInput()
        if let chunk = output.chunk { pool.retire(chunk) }
        output = ConnectionOutput()
    }
}
