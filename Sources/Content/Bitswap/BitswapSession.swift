import WaggleBase
import WaggleFormats

/// One reader's source of blocks: the local store first, then the connected peers; reads and fetches ahead of the reader.
///
/// Memory is bounded by `BlockStoreLimits.readAhead` and `BitswapLimits.fetchedAhead`, whatever is announced. Close it, or use
/// `Bitswap.withSession`.
public final class BitswapSession: BlockSource, @unchecked Sendable {
    private let id: SessionMachine.SessionID
    private let bitswap: Bitswap
    private let home: any EventLoop
    /// Whether fetched blocks are kept in the store.
    let isStoring: Bool

    // All below only on the home loop.
    private var entries: [Multihash: Entry] = [:]
    /// To be looked for in the store: what somebody waits for, and what was only announced. A block may be in both.
    private var urgent = Deque<CID>()
    private var unread = Deque<CID>()
    /// Ready and not yet taken, the oldest first; may hold keys that are gone.
    private var ready = Deque<Multihash>()
    private var readyBytes = 0
    private var readingBlocks = 0
    private var jobs = 0
    private var isClosed = false
    private let scope = TaskScope()

    private enum State {
        case unread, reading, wanted
        case ready(Bytes)
        case failed(any Error)
    }

    private final class Entry {
        let cid: CID
        var state = State.unread
        /// It came into the store while it was being looked for there.
        var isOutdated = false
        /// Readers that wait for the block.
        var awaited = 0
        let changed: Waiter

        init(_ cid: CID, on loop: any EventLoop) {
            self.cid = cid
            changed = Waiter(on: loop)
        }
    }

    init(_ id: SessionMachine.SessionID, of bitswap: Bitswap, isStoring: Bool) {
        self.id = id
        self.isStoring = isStoring
        self.bitswap = bitswap
        home = bitswap.home
    }

    // MARK: Reading

    /// The block, verified, from the store or from a peer; waits until somebody has it. Cancel the task to give up.
    public func block(_ cid: CID) async throws -> Bytes {
        if let inlined = cid.inlined { return inlined }
        return try await home.run { try await self.take(cid) }
    }

    /// Begins to read and fetch these blocks. A hint: what exceeds the limits is forgotten.
    public func prefetch(_ cids: [CID]) {
        if home.isCurrent { announce(cids) } else { home.execute { self.announce(cids) } }
    }

    /// Bytes of blocks that are held for the reader.
    public var heldBytes: Int { get async { await home.run { self.readyBytes } } }

    /// Ends the session: what is under way is cancelled, waiting readers get `CancellationError`.
    public func close() async {
        await home.run {
            self.stop()
            await self.scope.close()
        }
    }

    private func take(_ cid: CID) async throws -> Bytes {
        guard !isClosed else { throw CancellationError() }
        let key = cid.multihash
        let entry = entries[key] ?? Entry(cid, on: home)
        entries[key] = entry
        entry.awaited += 1
        defer {
            entry.awaited -= 1
            if entry.awaited == 0 { forgetIfDone(key, entry) }
        }
        if case .unread = entry.state {
            urgent.append(cid)
            pump()
        }
        while true {
            switch entry.state {
            case .ready(let bytes): return bytes
            case .failed(let error): throw error
            case .unread, .reading, .wanted: try await entry.changed.wait()
            }
        }
    }

    private func forgetIfDone(_ key: Multihash, _ entry: Entry) {
        switch entry.state {
        case .ready(let bytes): readyBytes -= bytes.count
        case .failed: break
        case .unread, .reading, .wanted: return
        }
        if entries[key] === entry { entries[key] = nil }
        pump()
    }

    private func announce(_ cids: [CID]) {
        guard !isClosed else { return }
        for cid in cids where cid.hashCode != .identity && unread.count < BitswapLimits.backlogPerSession {
            let key = cid.multihash
            guard entries[key] == nil else { continue }
            entries[key] = Entry(cid, on: home)
            unread.append(cid)
        }
        pump()
    }

    // MARK: The store

    /// Looks for blocks in the store, several jobs at once, as long as there is room for what they bring.
    private func pump() {
        while jobs < max(2, bitswap.system.loops.count), let batch = nextBatch() {
            jobs += 1
            readingBlocks += batch.count
            let started = scope.spawn(on: home) { [self] in
                do {
                    finish(batch, try await bitswap.store.get(batch))
                } catch {
                    for cid in batch { settle(cid.multihash, .failed(error)) }
                }
                jobs -= 1
                readingBlocks -= batch.count
                pump()
            }
            guard started else {
                jobs -= 1
                readingBlocks -= batch.count
                return
            }
        }
    }

    private func nextBatch() -> [CID]? {
        var batch: [CID] = []
        while batch.count < BlockStoreLimits.readJob, let cid = urgent.popFirst() { start(cid, &batch) }
        while batch.count < BlockStoreLimits.readJob,
            readyBytes + (readingBlocks + batch.count) * BlockStoreLimits.typicalBlock < BlockStoreLimits.readAhead.bytes,
            let cid = unread.popFirst()
        {
            start(cid, &batch)
        }
        return batch.isEmpty ? nil : batch
    }

    private func start(_ cid: CID, _ batch: inout [CID]) {
        guard let entry = entries[cid.multihash], case .unread = entry.state else { return }
        entry.state = .reading
        batch.append(cid)
    }

    private func finish(_ batch: [CID], _ found: [BlockStore.Lookup]) {
        var missing: [CID] = []
        for (cid, lookup) in zip(batch, found) {
            switch lookup {
            case .found(let bytes): settle(cid.multihash, .ready(bytes))
            case .unusable(.unknownHash(let cid)): settle(cid.multihash, .failed(BlockStoreError.unknownHash(cid)))
            // A corrupted block is fetched again, which heals it.
            case .missing, .unusable:
                if let entry = entries[cid.multihash], entry.isOutdated {
                    entry.isOutdated = false
                    entry.state = .unread
                    urgent.append(cid)
                    continue
                }
                guard bitswap.isRunning else {
                    settle(cid.multihash, .failed(BlockStoreError.notFound(cid)))
                    continue
                }
                entries[cid.multihash]?.state = .wanted
                missing.append(cid)
            }
        }
        if !missing.isEmpty { bitswap.tell(client: .wanted(id, missing)) }
    }

    private func settle(_ key: Multihash, _ state: State) {
        guard let entry = entries[key] else { return }
        switch entry.state {
        case .ready, .failed: return
        case .unread, .reading, .wanted: break
        }
        entry.state = state
        switch state {
        case .ready(let bytes):
            readyBytes += bytes.count
            ready.append(key)
            evict()
        case .failed where entry.awaited == 0: entries[key] = nil
        default: break
        }
        entry.changed.wake()
    }

    /// Lets go of the oldest blocks that nobody came for; they are in the store.
    private func evict() {
        while let key = ready.first {
            guard let entry = entries[key], case .ready(let bytes) = entry.state else {
                ready.popFirst()
                continue
            }
            guard readyBytes > BitswapLimits.fetchedAhead.bytes, entry.awaited == 0 else { return }
            ready.popFirst()
            readyBytes -= bytes.count
            entries[key] = nil
        }
    }

    // MARK: What the exchange tells

    /// A wanted block arrived.
    func deliver(_ key: Multihash, _ bytes: Bytes) { settle(key, .ready(bytes)) }

    /// Blocks came into the store while they were wanted.
    func lookAgain(_ keys: [Multihash]) {
        for key in keys {
            guard let entry = entries[key] else { continue }
            switch entry.state {
            case .reading: entry.isOutdated = true
            case .wanted:
                entry.state = .unread
                urgent.append(entry.cid)
            case .unread, .ready, .failed: break
            }
        }
        pump()
    }

    /// The session, or the exchange as a whole, ends.
    func stop() {
        guard !isClosed else { return }
        isClosed = true
        bitswap.close(id)
        for entry in entries.values {
            entry.state = .failed(CancellationError())
            entry.changed.wake()
        }
        entries = [:]
        urgent.removeAll()
        unread.removeAll()
        scope.cancelAll()
    }
}
