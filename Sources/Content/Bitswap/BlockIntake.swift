import WaggleBase

/// Takes fetched blocks to the store in large batches, behind the readers' backs.
///
/// The store is a cache here: batches are durable only once the burst is over, or every so many bytes. Only on the home loop.
final class BlockIntake: @unchecked Sendable {
    /// What was accepted so far.
    struct Amount {
        var blocks = 0
        var bytes = 0
        static func - (left: Amount, right: Amount) -> Amount {
            Amount(blocks: left.blocks - right.blocks, bytes: left.bytes - right.bytes)
        }
    }

    private let store: BlockStore
    private let log: Log
    private(set) var accepted = Amount()
    private var waiting: [Block] = []
    private var unstoredBytes = 0
    private var unsyncedBytes = 0
    private var isStoring = false
    private let stored: Waiter
    private let scope = TaskScope()

    init(store: BlockStore) {
        self.store = store
        log = Log("bitswap", to: store.system.log)
        stored = Waiter(on: store.system.home)
    }

    func take(_ block: Block, isStored: Bool) {
        accepted.blocks += 1
        accepted.bytes += block.bytes.count
        guard isStored else { return }
        waiting.append(block)
        unstoredBytes += block.bytes.count
        guard !isStoring else { return }
        isStoring = scope.spawn(on: store.system.home) { [self] in await run() }
    }

    /// Suspends while too much is waiting.
    func room() async throws {
        while unstoredBytes > BitswapLimits.unstored.bytes { try await stored.wait() }
    }

    /// Returns when everything that was taken is stored.
    func drain() async { await scope.drain() }

    private func run() async {
        while !waiting.isEmpty {
            let batch = waiting
            waiting = []
            let bytes = batch.reduce(0) { $0 + $1.bytes.count }
            do {
                unsyncedBytes += bytes
                let durable = unsyncedBytes >= BitswapLimits.unsynced.bytes
                try await store.put(batch, durable: durable)
                if durable { unsyncedBytes = 0 }
                if waiting.isEmpty, unsyncedBytes > 0 {
                    unsyncedBytes = 0
                    try await store.synchronize()
                }
            } catch {
                // Readers have their blocks; only the cache is poorer.
                log(.warning, "fetched blocks cannot be stored", [LogField("error", "\(error)")])
            }
            unstoredBytes -= bytes
            stored.wake()
        }
        isStoring = false
    }
}
