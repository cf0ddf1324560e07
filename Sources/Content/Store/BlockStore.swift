import Synchronization
import WaggleBase
import WaggleFormats

/// The blocks of a node, in the table `blocks` of its store, keyed by multihash.
///
/// Every block is checked against its hash each time it is read. Work that touches the device or hashes runs off the loops, many blocks to
/// a job: a page fault never stalls connections, and the hop (about 10 µs) is small beside hashing (0.5 ms a MiB). Identity CIDs are
/// answered from the CID itself.
/// Map of the folder: `BlockStore` (this), `BlockWriter` (big adds), `ReadAhead`, `BlockProtection` (what a collection must not touch),
/// `GarbageCollector`.
public final class BlockStore: BlockSource {
    let system: any System
    let store: any KeyValueStore
    let protection: BlockProtection
    private let log: Log
    private let corruptions = Mutex(Corruptions())

    private let observers = Mutex(Observers())

    /// Who hears of what comes in.
    private struct Observers {
        var ofBlocks: [(name: StaticString, handle: @Sendable ([(key: Multihash, size: Int)]) -> Void)] = []
        var ofPins: (@Sendable ([Pin]) -> Void)?
    }

    private struct Corruptions {
        var known: Set<Multihash> = []
        var seen = 0
    }

    /// What the store knows of one block.
    public enum Lookup: Sendable, Equatable {
        case found(Bytes)
        case missing
        /// The bytes on the device do not have this hash, or the hash function is unknown.
        case unusable(BlockStoreError)

        /// The block, or nil when it is missing.
        public var bytes: Bytes? {
            get throws(BlockStoreError) {
                switch self {
                case .found(let bytes): return bytes
                case .missing: return nil
                case .unusable(let error): throw error
                }
            }
        }
    }

    /// The blocks in `store`, which was opened with the tables of `Repository`.
    init(store: any KeyValueStore, system: any System) {
        self.store = store
        self.system = system
        protection = BlockProtection(home: system.home)
        log = Log("store", to: system.log)
    }

    // MARK: Reading

    /// The block, verified; nil when it is not here. Throws `BlockStoreError` for a corrupted one.
    public func get(_ cid: CID) async throws -> Bytes? {
        if let inlined = cid.inlined { return inlined }
        return try await system.offload { try self.lookUp([cid])[0] }.bytes
    }

    /// Many blocks in one job, in the order asked for.
    public func get(_ cids: [CID]) async throws -> [Lookup] {
        cids.isEmpty ? [] : try await system.offload { try self.lookUp(cids) }
    }

    /// The block, verified; throws `BlockStoreError.notFound` when it is not here.
    public func block(_ cid: CID) async throws -> Bytes {
        guard let bytes = try await get(cid) else { throw BlockStoreError.notFound(cid) }
        return bytes
    }

    /// Whether the block is here. Does not read it.
    public func has(_ cid: CID) async throws -> Bool { try await size(of: cid) != nil }

    /// The block's size in bytes; nil when it is not here.
    public func size(of cid: CID) async throws -> Int? { try await sizes(of: [cid])[0] }

    /// The sizes of many blocks, in the order asked for.
    public func sizes(of cids: [CID]) async throws -> [Int?] {
        cids.isEmpty ? [] : try await system.offload { try self.store.read { reader in try cids.map { try self.size(of: $0, reader) } } }
    }

    /// Keys in ascending order after `last`, at most `limit` of them; fewer only at the end.
    public func keys(after last: Multihash? = nil, limit: Int) async throws -> [Multihash] {
        try await system.offload {
            try self.store.read { reader in
                var keys: [Multihash] = []
                try BlockStore.scan(reader, after: last) { key, _ in
                    keys.append(key)
                    return keys.count < limit
                }
                return keys
            }
        }
    }

    /// Synchronous, for offloaded work: the blocks in order, from one snapshot.
    func lookUp(_ cids: [CID]) throws -> [Lookup] {
        try store.read { reader in try cids.map { try lookUp($0, reader) } }
    }

    /// Synchronous, for offloaded work. The copy is what is hashed, so nothing unverified can leave.
    func lookUp(_ cid: CID, _ reader: any StoreReader) throws -> Lookup {
        if let inlined = cid.inlined { return .found(inlined) }
        guard let bytes = try reader.value(of: cid.multihash.bytes, in: StoreTables.blocks) else { return .missing }
        switch BlockHash.matches(cid, bytes) {
        case true?: return .found(bytes)
        case false?:
            reportCorruption(cid)
            return .unusable(.corrupted(cid))
        case nil: return .unusable(.unknownHash(cid))
        }
    }

    func size(of cid: CID, _ reader: any StoreReader) throws -> Int? {
        if let inlined = cid.inlined { return inlined.count }
        return try cid.multihash.bytes.withUnsafeBytes { key in
            try reader.withValue(of: key, in: StoreTables.blocks) { $0.count }
        }
    }

    /// Visits keys after `last` with their values.
    static func scan(
        _ reader: any StoreReader, after last: Multihash?, _ visit: (Multihash, UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        // The first possible key above `last` is `last` with a zero byte behind it.
        let start = last.map { $0.bytes.array + [0] } ?? []
        try start.withUnsafeBytes { start in
            try reader.scan(StoreTables.blocks, from: start) { key, value in try visit(try Multihash(bytes: Bytes(copying: key)), value) }
        }
    }

    /// Corrupted blocks found since the start.
    public var corruptionsSeen: Int { corruptions.withLock { $0.seen } }

    func reportCorruption(_ cid: CID) {
        let isNew = corruptions.withLock { corruptions in
            if corruptions.known.count >= BlockStoreLimits.rememberedCorruptions { corruptions.known.removeAll() }
            let isNew = corruptions.known.insert(cid.multihash).inserted
            if isNew { corruptions.seen += 1 }
            return isNew
        }
        if isNew { log(.error, "a stored block is corrupted", [LogField("cid", cid)]) }
    }

    // MARK: Writing

    /// Stores blocks whose hashes the caller has computed or checked; returns when they are on the device (or, not `durable`, when readers
    /// see them; the next durable write makes them durable too). Writers that come together share a commit. Unless they are protected
    /// by a guard, the next collection may remove them.
    public func put(_ blocks: [Block], durable: Bool = true) async throws {
        try BlockStore.check(blocks)
        try await store.write(durable: durable) { try BlockStore.put(blocks, $0) }
        notify(blocks)
    }

    /// Makes everything that was stored before durable.
    func synchronize() async throws { try await store.write(durable: true) { _ in } }

    /// Calls `handle`, on any thread, with blocks that readers can see from now on; nil ends it. One for each name.
    func observe(_ name: StaticString, _ handle: (@Sendable ([(key: Multihash, size: Int)]) -> Void)?) {
        observers.withLock { observers in
            observers.ofBlocks.removeAll { $0.name.description == name.description }
            if let handle { observers.ofBlocks.append((name, handle)) }
        }
    }

    /// Calls `handle`, on any thread, with pins that are durable from now on; nil ends it.
    func observePins(_ handle: (@Sendable ([Pin]) -> Void)?) { observers.withLock { $0.ofPins = handle } }

    func notify(_ blocks: [Block]) {
        guard !blocks.isEmpty else { return }
        let handlers = observers.withLock { $0.ofBlocks }
        guard !handlers.isEmpty else { return }
        let stored = blocks.map { (key: $0.cid.multihash, size: $0.bytes.count) }
        for handler in handlers { handler.handle(stored) }
    }

    func notify(_ pins: [Pin]) {
        guard !pins.isEmpty, let handle = observers.withLock({ $0.ofPins }) else { return }
        handle(pins)
    }

    static func check(_ blocks: [Block]) throws(BlockStoreError) {
        for block in blocks where block.bytes.count > BlockStoreLimits.block.bytes {
            throw .tooLarge(block.cid, bytes: block.bytes.count)
        }
    }

    /// Part of a write: puts what is not there yet. A stored block that differs from the new one is corrupted and is replaced.
    static func put(_ blocks: [Block], _ writer: any StoreWriter) throws {
        var growth = 0
        for block in blocks where block.cid.hashCode != .identity {
            try block.cid.multihash.bytes.withUnsafeBytes { key in
                try block.bytes.withUnsafeBytes { bytes in
                    let old = try writer.withValue(of: key, in: StoreTables.blocks) { old in
                        (size: old.count, isSame: BlockHash.equal(old, bytes))
                    }
                    guard old?.isSame != true else { return }
                    try writer.put(key, size: bytes.count, in: StoreTables.blocks) { $0.copyMemory(from: bytes) }
                    growth += bytes.count - (old?.size ?? 0)
                }
            }
        }
        try StoreCounter.blockBytes.add(growth, writer)
    }

    // MARK: Removing

    /// Removes those of `keys` that nothing protects; says which were there and are gone now.
    func removeUnprotected(_ keys: [Multihash], durable: Bool) async throws -> [Multihash] {
        let claimed = protection.claim(keys)
        guard !claimed.isEmpty else { return [] }
        defer { protection.unclaim(claimed) }
        return try await store.write(durable: durable) { writer in
            var removed: [Multihash] = []
            var shrinkage = 0
            for key in claimed {
                try key.bytes.withUnsafeBytes { bytes in
                    guard let size = try writer.withValue(of: bytes, in: StoreTables.blocks, { $0.count }) else { return }
                    try writer.remove(bytes, in: StoreTables.blocks)
                    removed.append(key)
                    shrinkage += size
                }
            }
            try StoreCounter.blockBytes.add(-shrinkage, writer)
            return removed
        }
    }

    // MARK: Guards

    /// Runs `body` with a guard: blocks that it protects are safe from collections until the body ends, by when it has pinned them.
    public func guarded<R>(_ body: (BlockGuard) async throws -> R) async rethrows -> R {
        let blockGuard = protection.makeGuard()
        defer { blockGuard.release() }
        return try await body(blockGuard)
    }

    // MARK: Numbers

    /// How many blocks there are, and the sum of their sizes in bytes. Kept as they change; costs nothing to ask for.
    public func totals() throws -> (blocks: Int, bytes: Int) {
        try store.read { reader in (try reader.count(StoreTables.blocks), try StoreCounter.blockBytes.value(reader)) }
    }
}

extension BlockStore {
    /// What one step of a verification found.
    public struct Verification: Sendable {
        public var checked: Int
        public var corrupted: [Multihash]
        /// Blocks whose hash function this build does not know.
        public var unknown: [Multihash]
    }

    /// Reads and hashes every block, several MiB a step; `report` hears of each step. Gives the number of blocks checked.
    @discardableResult
    public func verifyAll(_ report: (Verification) async throws -> Void) async throws -> Int {
        var last: Multihash?
        var total = 0
        while true {
            try Task.checkCancellation()
            let after = last
            let (step, end) = try await system.offload { try self.verify(after: after) }
            if step.checked == 0 { return total }
            total += step.checked
            last = end
            try await report(step)
        }
    }

    private func verify(after last: Multihash?) throws -> (Verification, Multihash?) {
        var step = Verification(checked: 0, corrupted: [], unknown: [])
        var end: Multihash?
        var bytes = 0
        try store.read { reader in
            try BlockStore.scan(reader, after: last) { key, value in
                step.checked += 1
                bytes += value.count
                switch BlockHash.matches(key, value) {
                case true?: break
                case false?: step.corrupted.append(key)
                case nil: step.unknown.append(key)
                }
                end = key
                return bytes < BlockStoreLimits.verifyStep.bytes && step.checked < BlockStoreLimits.batchBlocks
            }
        }
        return (step, end)
    }
}
