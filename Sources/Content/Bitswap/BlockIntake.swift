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
    private let home: any EventLoop
    private let log: Log
    private(set) var accepted = Amount()
    private var waiting: [Block] = []
    private var waitingBytes = 0
    /// Waiting or being written.
    private var unstoredBytes = 0
    private var unsyncedBytes = 0
    private var isRunning = false
    private var isEnding = false
    private let arrived: Waiter
    private let stored: Waiter
    private let scope = TaskScope()

    init(store: BlockStore) {
        self.store = store
        home = store.system.home
        log = Log("bitswap", to: store.system.log)
        arrived = Waiter(on: home)
        stored = Waiter(on: home)
    }

    func take(_ block: Block, isStored: Bool) {
        accepted.blocks += 1
        accepted.bytes += block.bytes.count
        guard isStored else { return }
        waiting.append(block)
        waitingBytes += block.bytes.count
        unstoredBytes += block.bytes.count
        if waitingBytes >= BitswapLimits.intakeBatch.bytes || waiting.count == 1 { arrived.wake() }
        guard !isRunning else { return }
        isRunning = scope.spawn(on: home) { [self] in await run() }
    }

    /// Suspends while too much is waiting.
    func room() async throws {
        while unstoredBytes > BitswapLimits.unstored.bytes { try await stored.wait() }
    }

    /// Returns when everything that was taken is stored and durable.
    func drain() async {
        isEnding = true
        arrived.wake()
        await scope.drain()
        isEnding = false
    }

    /// Lives as long as blocks come, and a little longer.
    private func run() async {
        defer { isRunning = false }
        do {
            while true {
                if waitingBytes < BitswapLimits.intakeBatch.bytes, !isEnding {
                    // More to come, or the burst is over.
                    try await wait(waiting.isEmpty ? BitswapLimits.intakeRest : BitswapLimits.intakeDelay)
                }
                guard waiting.isEmpty else {
                    await storeBatch()
                    continue
                }
                if unsyncedBytes > 0 {
                    unsyncedBytes = 0
                    try await store.synchronize()
                    continue
                }
                return
            }
        } catch {
            log(.warning, "fetched blocks are not durable", [LogField("error", "\(error)")])
        }
    }

    private func storeBatch() async {
        let batch = waiting
        let bytes = waitingBytes
        waiting = []
        waitingBytes = 0
        unsyncedBytes += bytes
        let durable = unsyncedBytes >= BitswapLimits.unsynced.bytes
        do {
            try await store.put(batch, durable: durable)
            if durable { unsyncedBytes = 0 }
        } catch {
            // Readers have their blocks; only the cache is poorer.
            log(.warning, "fetched blocks cannot be stored", [LogField("error", "\(error)")])
        }
        unstoredBytes -= bytes
        stored.wake()
    }

    /// Until blocks arrive, at most for `duration`.
    private func wait(_ duration: Duration) async throws {
        let timer = home.schedule(at: home.now + duration) { [arrived] in arrived.wake() }
        defer { home.cancel(timer) }
        try await arrived.wait()
    }
}
