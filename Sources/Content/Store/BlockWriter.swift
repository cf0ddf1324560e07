import WaggleBase
import WaggleFormats

/// Takes the blocks of one big operation and writes them in large commits while the next ones are being made.
///
/// `write` suspends while two batches are under way, so an add of any size takes bounded memory. Nothing is acknowledged before
/// `finish`, which returns when all blocks, and the pin that goes with them in the last commit, are on the device.
/// ```swift
/// try await store.guarded { blockGuard in
///     try await BlockWriter.run(into: store, under: blockGuard) { writer in
///         let root = try await importer.add(file, to: writer)
///         try await writer.finish(pin: Pin(root, .recursive))
///     }
/// }
/// ```
public final class BlockWriter: BlockSink, @unchecked Sendable {
    private let store: BlockStore
    private let blockGuard: BlockGuard
    private let home: any EventLoop
    private let commits = TaskScope()

    // All below only on the home loop.
    private var waiting: [Block] = []
    private var waitingBytes = 0
    private var inFlight = 0
    private var failure: (any Error)?
    private let progressed: Waiter

    private init(into store: BlockStore, under blockGuard: BlockGuard) {
        self.store = store
        self.blockGuard = blockGuard
        home = store.system.home
        progressed = Waiter(on: home)
    }

    /// Runs `body` with a writer; when it ends, no commit of the writer is under way any more. Blocks that were not finished may be
    /// stored or not.
    public static func run<R>(
        into store: BlockStore, under blockGuard: BlockGuard, _ body: (BlockWriter) async throws -> R
    ) async throws -> R {
        let writer = BlockWriter(into: store, under: blockGuard)
        do {
            let result = try await body(writer)
            await writer.commits.drain()
            return result
        } catch {
            await writer.commits.drain()
            throw error
        }
    }

    /// Takes blocks, in any order; a reader may not see them before `finish`.
    public func write(_ blocks: [Block]) async throws {
        try BlockStore.check(blocks)
        let blocks = blocks.filter { $0.cid.hashCode != .identity }
        try await blockGuard.protect(blocks.map(\.cid))
        try await home.run { try await self.enqueue(blocks) }
    }

    private func enqueue(_ blocks: [Block]) async throws {
        for block in blocks {
            waiting.append(block)
            waitingBytes += block.bytes.count
            while waitingBytes >= BlockStoreLimits.batch.bytes || waiting.count >= BlockStoreLimits.batchBlocks {
                guard inFlight >= BlockStoreLimits.batchesInFlight, failure == nil else {
                    startCommit()
                    break
                }
                try await progressed.wait()
            }
        }
        if let failure { throw failure }
    }

    private func startCommit() {
        guard failure == nil, !waiting.isEmpty else { return }
        let batch = takeWaiting()
        inFlight += 1
        let started = commits.spawn(on: home) { [self] in
            do {
                try await store.put(batch, durable: false)
            } catch {
                if failure == nil { failure = error }
            }
            inFlight -= 1
            progressed.wake()
        }
        if !started { inFlight -= 1 }
    }

    private func takeWaiting() -> [Block] {
        defer {
            waiting = []
            waitingBytes = 0
        }
        return waiting
    }

    /// Makes everything written so far visible to readers, for operations that read back what they wrote. Not yet durable.
    public func flush() async throws {
        try await home.run {
            self.startCommit()
            try await self.settle()
        }
    }

    private func settle() async throws {
        while inFlight > 0, failure == nil { try await progressed.wait() }
        if let failure { throw failure }
    }

    /// Writes the rest and returns when all blocks are on the device; `pins` are committed together with the last of them.
    public func finish(pins: [Pin] = []) async throws {
        try await home.run {
            try await self.settle()
            let last = self.takeWaiting()
            try await self.store.store.write(durable: true) { writer in
                try BlockStore.put(last, writer)
                for pin in pins { try PinStore.put(pin, writer) }
            }
            self.store.notify(last)
            self.store.notify(pins)
        }
    }
}
