import CLMDB
import Glibc
import WaggleBase

/// The key-value store of a Linux host, on LMDB.
///
/// Two threads: the *writer* runs the bodies of all writes that wait as one transaction and commits it to the page cache, which
/// readers see at once; the *flusher* brings commits to the device and then lets the durable writes among them return. While it
/// flushes, the writer goes on, and the durable writes of the meantime share the next flush. `DurableMark` says why a crash of
/// the machine at any moment leaves the state of the last flush.
final class LMDBStore: KeyValueStore, @unchecked Sendable {
    /// Put in one transaction at most; LMDB keeps that much in memory until the commit.
    private static let transactionLimit = ByteCount.mebibytes(8)
    /// What may wait for a flush, in bytes and nanoseconds, before one is made without being asked for: until then a crash of
    /// the machine may lose it, and LMDB cannot reuse pages.
    private static let unflushedLimit = ByteCount.mebibytes(64)
    static let unflushedTime: UInt64 = 2_000_000_000
    /// Flushes that may wait for the flusher. Each pins a read transaction.
    private static let flushLimit = 64

    private struct Write {
        let durable: Bool
        /// Runs the body; says whether it ended without an error.
        let run: (LMDBWriter) -> Bool
        /// Lets the caller go on, with what the body gave or with an error.
        let finish: (StoreError?) -> Void
    }

    /// A commit to bring to the device.
    private struct Flush {
        var transaction: UInt64
        var meta: [UInt8]
        var pin: OpaquePointer
        var writes: [Write]
    }

    private struct State {
        var writes: [Write] = []
        var flushes: [Flush] = []
        var isFlushing = false
        var isClosing = false
        var writerEnded = false
        var isClosed = false
        var failure: StoreError?
        var closers: [UnsafeContinuation<Void, Never>] = []
    }

    private let path: String
    private let flushInterval: UInt64
    private let lock: any FileLock
    private let environment: LMDBEnvironment
    private let monitor = Monitor(State())
    // Only the flusher.
    private var mark: DurableMark
    private var pin: OpaquePointer?
    // Only the writer.
    private var unflushed = 0
    private var unflushedSince: UInt64?

    /// `boot` names this start of the machine; `flushInterval` is in nanoseconds.
    init(
        path: String, tables: [Table], capacity: Int, boot: String = DurableMark.currentBoot(),
        flushInterval: UInt64 = LMDBStore.unflushedTime
    ) throws(StoreError) {
        self.path = path
        self.flushInterval = flushInterval
        do throws(FileError) {
            let files = LinuxFiles()
            try files.makeDirectory(path, mode: 0o700)
            lock = try files.lock(path + "/in-use")
        } catch {
            throw StoreError(error, path)
        }
        do throws(FileError) {
            mark = try DurableMark(directory: path, boot: boot)
        } catch {
            lock.release()
            throw StoreError(error, path)
        }
        do throws(FileError) {
            try mark.recover(path + "/data.mdb")
        } catch {
            mark.close()
            lock.release()
            throw StoreError(error, path)
        }
        do throws(StoreError) {
            environment = try LMDBEnvironment(path: path, tables: tables, capacity: capacity)
        } catch {
            mark.close()
            lock.release()
            throw error
        }
        do throws(StoreError) {
            // What a killed process left in the page cache becomes durable before anything is built on it, and so do the names of
            // files that are new.
            let first = try makeFlush(of: [])
            try bringToDevice(first)
            try Self.synchronizeNames(path)
        } catch {
            if let pin { mdb_txn_abort(pin) }
            environment.close()
            mark.close()
            lock.release()
            throw error
        }
        Thread(name: "waggle-store-w") { self.runWriter() }.detach()
        Thread(name: "waggle-store-f") { self.runFlusher() }.detach()
    }

    private static func synchronizeNames(_ path: String) throws(StoreError) {
        do throws(FileError) {
            try LinuxFiles.synchronizeDirectory(of: path + "/data.mdb")
            try LinuxFiles.synchronizeDirectory(of: path)
        } catch {
            throw StoreError(error, path)
        }
    }

    // MARK: KeyValueStore

    func read<R>(_ body: (any StoreReader) throws -> R) throws -> R {
        try environment.read { try body(LMDBReader(environment, $0)) }
    }

    func write<R: Sendable>(durable: Bool, _ body: @escaping @Sendable (any StoreWriter) throws -> R) async throws -> R {
        let result: Result<R, any Error> = await withUnsafeContinuation { continuation in
            var outcome: Result<R, any Error> = .failure(StoreError.closed)
            submit(
                Write(durable: durable) { writer in
                    outcome = Result { try body(writer) }
                    if case .success = outcome { return true } else { return false }
                } finish: { error in
                    continuation.resume(returning: error.map { .failure($0) } ?? outcome)
                })
        }
        return try result.get()
    }

    private func submit(_ write: Write) {
        let refusal = monitor.withLock { state -> StoreError? in
            if let failure = state.failure { return failure }
            if state.isClosing { return .closed }
            state.writes.append(write)
            return nil
        }
        if let refusal { return write.finish(refusal) }
        monitor.broadcast()
    }

    var sizeOnDevice: Int {
        var info = stat()
        return fstat(environment.descriptor, &info) == 0 ? Int(info.st_blocks) * 512 : 0
    }

    func close() async {
        await withUnsafeContinuation { continuation in
            let isClosed = monitor.withLock { state in
                if state.isClosed { return true }
                state.isClosing = true
                state.closers.append(continuation)
                return false
            }
            if isClosed { return continuation.resume() }
            monitor.broadcast()
        }
    }

    // MARK: The writer

    private enum Step {
        case commit([Write])
        case flush
        case end
    }

    private func runWriter() {
        while true {
            switch nextStep() {
            case .commit(let writes): commit(writes)
            case .flush: requestFlush([])
            case .end:
                if unflushed > 0 { requestFlush([]) }
                monitor.withLock { $0.writerEnded = true }
                monitor.broadcast()
                return
            }
        }
    }

    private func nextStep() -> Step {
        let take = { (state: inout State) -> Step? in
            // A slow device holds the writer up, not memory.
            if state.flushes.count >= Self.flushLimit { return nil }
            if !state.writes.isEmpty {
                defer { state.writes.removeAll(keepingCapacity: true) }
                return .commit(state.writes)
            }
            return state.isClosing ? .end : nil
        }
        guard let since = unflushedSince else { return monitor.wait(take) }
        return monitor.wait(until: since + flushInterval, take) ?? .flush
    }

    private func commit(_ writes: [Write]) {
        var rest = writes[...]
        var durable: [Write] = []
        while !rest.isEmpty {
            let (done, remaining) = commitOnce(rest)
            rest = remaining
            for write in done {
                if write.durable { durable.append(write) } else { write.finish(nil) }
            }
        }
        if !durable.isEmpty || unflushed >= Self.unflushedLimit.bytes { requestFlush(durable) }
    }

    /// Runs bodies in one transaction and commits it. Those that failed have been told; gives those whose changes stand, and those
    /// that have not run.
    private func commitOnce(_ writes: ArraySlice<Write>) -> (done: [Write], rest: ArraySlice<Write>) {
        var transaction: OpaquePointer?
        let code = mdb_txn_begin(environment.pointer, nil, 0, &transaction)
        guard code == 0, let transaction else {
            for write in writes { write.finish(LMDBEnvironment.error(code, path)) }
            return ([], [])
        }
        let writer = LMDBWriter(environment, transaction)
        var done: [Write] = []
        for (index, write) in zip(writes.indices, writes) {
            let before = writer.changes
            if write.run(writer) {
                done.append(write)
                if writer.bytes >= Self.transactionLimit.bytes { return finish(writer, done, writes[(index + 1)...]) }
                continue
            }
            write.finish(nil)
            if writer.changes == before { continue }
            // Its changes cannot be taken out of the transaction, so the others are run again without it.
            mdb_txn_abort(transaction)
            return ([], done[...] + writes[(index + 1)...])
        }
        return finish(writer, done, [])
    }

    private func finish(_ writer: LMDBWriter, _ done: [Write], _ rest: ArraySlice<Write>) -> ([Write], ArraySlice<Write>) {
        let code = mdb_txn_commit(writer.transaction)
        if code != 0 {
            for write in done { write.finish(LMDBEnvironment.error(code, path)) }
            return ([], rest)
        }
        environment.noteWritten(writer.bytes)
        if writer.changes > 0 {
            // At least the path to the root was written anew.
            unflushed += writer.bytes + 4 * environment.pageSize
            if unflushedSince == nil { unflushedSince = monotonicNanoseconds() }
        }
        return (done, rest)
    }

    private func requestFlush(_ writes: [Write]) {
        unflushed = 0
        unflushedSince = nil
        do throws(StoreError) {
            let flush = try makeFlush(of: writes)
            monitor.withLock { $0.flushes.append(flush) }
            monitor.broadcast()
        } catch {
            fail(error)
            for write in writes { write.finish(error) }
        }
    }

    /// Pins the newest commit. Only while no commit is being made.
    private func makeFlush(of writes: [Write]) throws(StoreError) -> Flush {
        let pin = try environment.beginReader()
        let transaction = UInt64(mdb_txn_id(pin))
        // LMDB writes the meta page of every transaction to the slot that its last bit names.
        var meta = [UInt8](repeating: 0, count: DurableMark.metaLength)
        let count = pread(environment.descriptor, &meta, meta.count, off_t(transaction & 1) * off_t(environment.pageSize))
        guard count == meta.count, DurableMark.transaction(ofMeta: meta) == transaction else {
            mdb_txn_abort(pin)
            throw .corrupted(path: path, detail: "the meta page of transaction \(transaction) is not where it belongs")
        }
        return Flush(transaction: transaction, meta: meta, pin: pin, writes: writes)
    }

    /// From now on every write is refused: after a failed flush nobody knows what the device has.
    private func fail(_ error: StoreError) { monitor.withLock { $0.failure = $0.failure ?? error } }

    // MARK: The flusher

    private func runFlusher() {
        while let flushes = monitor.wait(takeFlushes) {
            monitor.broadcast()
            guard let newest = flushes.last else { continue }
            var failure: StoreError?
            do throws(StoreError) {
                try bringToDevice(newest)
            } catch {
                failure = error
                // A full device may have room again; the state before is still whole.
                if error != .full { fail(error) }
            }
            for flush in flushes.dropLast() { mdb_txn_abort(flush.pin) }
            for flush in flushes { for write in flush.writes { write.finish(failure) } }
        }
        end()
    }

    /// All flushes that wait; an inner nil when there will be no more.
    private func takeFlushes(_ state: inout State) -> [Flush]?? {
        if !state.flushes.isEmpty {
            defer { state.flushes = [] }
            return .some(state.flushes)
        }
        return state.writerEnded ? .some(nil) : nil
    }

    private func bringToDevice(_ flush: Flush) throws(StoreError) {
        do throws(FileError) {
            if fdatasync(environment.descriptor) != 0 { throw FileError(errno: errno, path) }
            try mark.record(flush.transaction, meta: flush.meta, pageSize: environment.pageSize)
        } catch {
            mdb_txn_abort(flush.pin)
            throw StoreError(error, path)
        }
        if let pin { mdb_txn_abort(pin) }
        pin = flush.pin
    }

    private func end() {
        if let pin { mdb_txn_abort(pin) }
        environment.close()
        mark.close()
        lock.release()
        let closers = monitor.withLock { state in
            state.isClosed = true
            defer { state.closers = [] }
            return state.closers
        }
        for closer in closers { closer.resume() }
    }
}

extension StoreError {
    init(_ error: FileError, _ path: String) {
        switch error {
        case .locked: self = .inUse(path: path)
        case .full: self = .full
        case .readOnly, .permissionDenied: self = .readOnly(path: path)
        default: self = .other(detail: "\(path): \(error)")
        }
    }
}
