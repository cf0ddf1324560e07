import Synchronization
import WaggleBase

/// What is sealed and not yet with the network: at most one chunk.
struct ConnectionOutput {
    var chunk: ByteStorage?
    var start = 0
    var end = 0
    /// The socket takes nothing now.
    var isBlocked = false
    /// Runs `flush` later in this turn of the loop; made once.
    var job: @Sendable () -> Void = {}
    var isScheduled = false
    /// How much is sealed ahead of the socket, in bytes: little after it blocked, so that many slow connections hold little memory.
    var ahead = ConnectionOutput.leastAhead

    static let leastAhead = 66 << 10
}

extension Connection {
    /// Sends what is queued when the tasks that run now have queued theirs too.
    func scheduleFlush() {
        guard !output.isScheduled, !output.isBlocked, socket != nil else { return }
        output.isScheduled = true
        loop.execute(output.job)
    }

    /// Seals what the session has to send and writes it, a bounded amount a turn.
    func flush() {
        output.isScheduled = false
        guard !output.isBlocked, let socket else { return }
        var budget = ConnectionLimits.writePerTurn
        var sent = 0
        defer { if sent > 0 { counters.bytesOut.wrappingAdd(sent, ordering: .relaxed) } }
        while true {
            if output.start == output.end {
                guard budget > 0 else {
                    scheduleFlush()
                    break
                }
                guard sealFrames() else { return }
                if output.start == output.end {
                    finishClosing()
                    break
                }
                budget -= output.end - output.start
            }
            guard let chunk = output.chunk else { break }
            let piece = UnsafeRawBufferPointer(start: chunk.base + output.start, count: output.end - output.start)
            switch withUnsafePointer(to: piece, { socket.write(UnsafeBufferPointer(start: $0, count: 1)) }) {
            case .moved(let count):
                sent += count
                output.start += count
                if count == piece.count { output.ahead = ChunkPool.chunkBytes }
            case .wouldBlock:
                output.isBlocked = true
                output.ahead = ConnectionOutput.leastAhead
                return shrinkBacklog()
            case .ended:
                return end(.lost(errno: 0))
            case .failed(let errno):
                return end(.lost(errno: errno))
            }
        }
        releaseOutput()
        drainEvents()
        settleMemory()
        armAlarm()
    }

    private func releaseOutput() {
        guard output.start == output.end, let chunk = output.chunk else { return }
        output.chunk = nil
        pool.retire(chunk)
    }

    /// A blocked connection keeps only what it has to.
    private func shrinkBacklog() {
        drainEvents()
        defer { settleMemory() }
        guard let chunk = output.chunk else { return }
        let pending = output.end - output.start
        guard pending * 2 < chunk.capacity else { return }
        let small = ByteStorage(capacity: pending)
        small.base.copyMemory(from: chunk.base + output.start, byteCount: pending)
        output.chunk = small
        output.start = 0
        output.end = pending
        pool.retire(chunk)
    }

    /// Fills the output with records of as many frames as there are and fit; says false when the connection has ended.
    ///
    /// Small frames gather in the pool's staging block and share a record; a large payload is sealed from where it lies, behind the frames
    /// gathered so far.
    private func sealFrames() -> Bool {
        output.start = 0
        output.end = 0
        // What `shrinkBacklog` left behind has served its time.
        if let chunk = output.chunk, chunk.capacity < ChunkPool.chunkBytes { output.chunk = nil }
        let staging = pool.staging.base
        let now = loop.now
        let most = records.maximumPlaintext
        let header = session.maximumHeader
        var staged = 0
        do throws(RecordError) {
            while true {
                // Each record but the first needs room for at least something worth a record.
                let capacity = min(output.ahead, output.chunk?.capacity ?? ChunkPool.chunkBytes)
                let room = min(most, capacity - output.end - records.overhead) - staged - header
                if room < ConnectionLimits.smallestCut {
                    if staged == 0 { break }
                    try sealRecord(staged, nil)
                    staged = 0
                    continue
                }
                guard let frame = session.nextFrame(header: staging + staged, maximumPayload: room, at: now) else {
                    if staged > 0 { try sealRecord(staged, nil) }
                    break
                }
                staged += frame.headerLength
                if frame.payload.count <= ConnectionLimits.stagedPayload {
                    frame.payload.withUnsafeBytes { source in
                        UnsafeMutableRawBufferPointer(start: staging + staged, count: source.count).copyMemory(from: source)
                    }
                    staged += frame.payload.count
                } else {
                    try sealRecord(staged, frame.payload)
                    staged = 0
                }
            }
        } catch {
            // The key is used up; nothing can be said any more.
            end(.lost(errno: 0), abort: true)
            return false
        }
        return true
    }

    private func sealRecord(_ staged: Int, _ payload: Bytes?) throws(RecordError) {
        let chunk = output.chunk ?? pool.takeFree()
        output.chunk = chunk
        let header = UnsafeRawBufferPointer(start: pool.staging.base, count: staged)
        let target = chunk.base + output.end
        let size: Int
        if let payload {
            size = try payload.withUnsafeBytes { payload throws(RecordError) in try records.seal(header, payload, into: target) }
        } else {
            size = try records.seal(header, UnsafeRawBufferPointer(start: nil, count: 0), into: target)
        }
        output.end += size
    }
}
