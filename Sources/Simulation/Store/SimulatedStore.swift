import WaggleBase

/// A store on a simulated disk, with the commit behaviour of the real one: bodies run one at a time in order of arrival, those
/// that arrive together share a commit, and a crash loses what no durable commit has followed.
final class SimulatedStore: KeyValueStore, @unchecked Sendable {
    private struct Write {
        var durable: Bool
        /// Runs the body; gives what resumes the caller once the commit stands or has failed.
        var run: (SimulatedTransaction) -> (StoreError?) -> Void
        var fail: (StoreError) -> Void
    }

    /// One body in so many is run twice, as the contract allows.
    private static let repeatEvery: UInt64 = 16

    private let path: String
    private let capacity: Int
    private let host: Host
    private let loop: HostLoop
    private let image: StoreImage
    private let tables: Set<String>
    private let session: UInt64
    private var random: SeededRandom
    private var waiting = Deque<Write>()
    private var committing = false
    private var isClosed = false
    private let quiet: Waiter

    init(path: String, tables: [Table], capacity: Int, host: Host, loop: HostLoop) throws(StoreError) {
        let image = host.disk.store(at: path)
        if image.isOpen { throw .inUse(path: path) }
        if host.disk.isReadOnly { throw .readOnly(path: path) }
        image.isOpen = true
        self.path = path
        self.capacity = capacity
        self.host = host
        self.loop = loop
        self.image = image
        self.tables = Set(tables.map(\.name))
        session = host.disk.session
        random = SeededRandom(seed: host.world.seed, name: host.name + path, generation: Int(session))
        quiet = Waiter(on: loop)
        for table in tables where image.tables[table.name] == nil { image.tables[table.name] = OrderedTable() }
    }

    private var isOver: Bool { isClosed || host.disk.session != session }

    func read<R>(_ body: (any StoreReader) throws -> R) throws -> R {
        if isOver { throw StoreError.closed }
        return try body(SimulatedTransaction(image: image, tables: tables, budget: 0))
    }

    func write<R: Sendable>(durable: Bool, _ body: @escaping @Sendable (any StoreWriter) throws -> R) async throws -> R {
        if isOver { throw StoreError.closed }
        if host.disk.isReadOnly { throw StoreError.readOnly(path: path) }
        let result: Result<R, any Error> = await withUnsafeContinuation { continuation in
            let run = { (transaction: SimulatedTransaction) in
                let result = Result { try body(transaction) }
                if case .failure = result { transaction.hasFailed = true }
                return { (failure: StoreError?) in continuation.resume(returning: failure.map { .failure($0) } ?? result) }
            }
            waiting.append(Write(durable: durable, run: run) { continuation.resume(returning: .failure($0)) })
            if !committing { startCommit() }
        }
        return try result.get()
    }

    var sizeOnDevice: Int { image.size }

    func close() async {
        isClosed = true
        while committing {
            do { try await quiet.wait() } catch { return release() }
        }
        release()
    }

    private func release() {
        if host.disk.session == session { image.isOpen = false }
    }

    // MARK: Commits

    private func startCommit() {
        committing = true
        loop.base.schedule(after: host.world.options.commitTime) { [self] in commit() }
    }

    private func commit() {
        var durable: [(StoreError?) -> Void] = []
        var plain: [(StoreError?) -> Void] = []
        let batch = waiting
        waiting = Deque()
        for index in 0..<batch.count {
            let finish = perform(batch[index])
            if batch[index].durable { durable.append(finish) } else { plain.append(finish) }
        }
        host.world.loop.note(.commit(host: host.name, writes: batch.count, durable: !durable.isEmpty))
        for finish in plain { finish(nil) }
        if durable.isEmpty { return finishCommit() }
        let position = image.position
        loop.base.schedule(after: host.world.options.flushTime) { [self] in
            let lost = host.disk.session != session
            if !lost { image.flush(to: position) }
            for finish in durable { finish(lost ? .closed : nil) }
            finishCommit()
        }
    }

    private func finishCommit() {
        if waiting.isEmpty {
            committing = false
            quiet.wake()
        } else {
            startCommit()
        }
    }

    private func perform(_ write: Write) -> (StoreError?) -> Void {
        if host.disk.session != session { return { _ in write.fail(.closed) } }
        if host.disk.isReadOnly { return { [path] _ in write.fail(.readOnly(path: path)) } }
        if random.next() % Self.repeatEvery == 0 {
            let rehearsal = transaction()
            _ = write.run(rehearsal)
            image.revert(rehearsal.undo)
        }
        let before = image.size
        let transaction = transaction()
        let finish = write.run(transaction)
        if transaction.hasFailed || transaction.isFull {
            image.revert(transaction.undo)
            return transaction.isFull ? { _ in finish(.full) } : finish
        }
        _ = host.disk.grow(by: image.size - before)
        image.commit(transaction.undo)
        return finish
    }

    private func transaction() -> SimulatedTransaction {
        let budget = min(Int64(capacity - image.size), host.disk.free)
        return SimulatedTransaction(image: image, tables: tables, budget: Int(clamping: budget))
    }
}
