import WaggleBase
import WaggleFormats

/// The pins of a node, in the table `pins` of the store that holds the blocks.
public final class PinStore: Sendable {
    private let blocks: BlockStore

    init(blocks: BlockStore) { self.blocks = blocks }

    // MARK: Reading

    /// The pin on exactly this CID.
    public func pin(_ cid: CID) throws -> Pin? { try blocks.store.read { try PinStore.pin(cid, $0) } }

    /// All pins in the order of their binary CIDs, at most `limit` of them, after `last`.
    public func pins(after last: CID? = nil, limit: Int = .max) async throws -> [Pin] {
        try await blocks.system.offload { try self.blocks.store.read { try PinStore.pins($0, after: last, limit: limit) } }
    }

    /// How many recursive and direct pins there are.
    public func count() throws -> Int { try blocks.store.read { try $0.count(StoreTables.pins) } }

    static func pin(_ cid: CID, _ reader: any StoreReader) throws -> Pin? {
        try cid.bytes.withUnsafeBytes { key in
            try reader.withValue(of: key, in: StoreTables.pins) { try Pin(cid: cid, value: $0) }
        }
    }

    static func pins(_ reader: any StoreReader, after last: CID?, limit: Int) throws -> [Pin] {
        var pins: [Pin] = []
        guard limit > 0 else { return pins }
        let start = last.map { $0.bytes.array + [0] } ?? []
        try start.withUnsafeBytes { start in
            try reader.scan(StoreTables.pins, from: start) { key, value in
                pins.append(try Pin(cid: try CID(bytes: Bytes(copying: key)), value: value))
                return pins.count < limit
            }
        }
        return pins
    }

    /// Part of a write.
    static func put(_ pin: Pin, _ writer: any StoreWriter) throws {
        guard pin.name.utf8.count <= PinLimits.nameBytes else { throw PinError.nameTooLong(bytes: pin.name.utf8.count) }
        try writer.put(pin.cid.bytes, pin.encode(), in: StoreTables.pins)
    }

    // MARK: Changing

    /// Pins a block or a graph. Blocks that are not here come from `source` and are stored; the pin is durable, with everything below
    /// it, when this returns. A direct pin becomes recursive; a recursive one never becomes direct.
    ///
    /// `progress` hears how many blocks have been seen, after each step.
    public func add(
        _ pin: Pin, from source: (any BlockSource)? = nil, progress: @Sendable (Int) -> Void = { _ in }
    ) async throws {
        try check(pin)
        try await blocks.guarded { blockGuard in
            try await BlockWriter.run(into: blocks, under: blockGuard) { writer in
                try await complete(pin, blockGuard, writer, source, progress)
                try await writer.finish(pins: [pin])
            }
        }
    }

    /// Pins `new` as `old` was pinned and, with `unpin`, lets go of `old` in the same commit.
    public func update(
        _ old: CID, to new: CID, unpin: Bool, from source: (any BlockSource)? = nil, progress: @Sendable (Int) -> Void = { _ in }
    ) async throws {
        guard let existing = try pin(old), existing.mode == .recursive else { throw PinError.notPinned(old) }
        let pin = Pin(new, .recursive, name: existing.name)
        try await blocks.guarded { blockGuard in
            try await BlockWriter.run(into: blocks, under: blockGuard) { writer in
                try await complete(pin, blockGuard, writer, source, progress)
                try await writer.finish()
                try await blocks.store.write(durable: true) { store in
                    try PinStore.put(pin, store)
                    if unpin, old != new { try store.remove(old.bytes, in: StoreTables.pins) }
                }
                blocks.notify([pin])
            }
        }
    }

    /// Unpins; `mode` names what the caller believes it to be. The blocks stay until a collection.
    public func remove(_ cid: CID, mode: Pin.Mode? = nil) async throws {
        try await blocks.store.write(durable: true) { writer in
            guard let pin = try PinStore.pin(cid, writer) else { throw PinError.notPinned(cid) }
            if let mode, pin.mode != mode { throw PinError.pinnedAs(cid, pin.mode) }
            try writer.remove(cid.bytes, in: StoreTables.pins)
        }
    }

    private func check(_ pin: Pin) throws {
        guard pin.name.utf8.count <= PinLimits.nameBytes else { throw PinError.nameTooLong(bytes: pin.name.utf8.count) }
        if pin.mode == .direct, try self.pin(pin.cid)?.mode == .recursive { throw PinError.alreadyPinnedRecursively(pin.cid) }
    }

    /// Sees to it that every block of the pin is protected and here, fetching what is missing a window ahead.
    private func complete(
        _ pin: Pin, _ blockGuard: BlockGuard, _ writer: BlockWriter, _ source: (any BlockSource)?, _ progress: @Sendable (Int) -> Void
    ) async throws {
        var walk = GraphWalk(blocks, roots: [pin.cid])
        var fetching = Deque<CID>()
        var done = 0
        while true {
            try Task.checkCancellation()
            let batch = walk.take(BlockStoreLimits.walkStep - min(fetching.count, BlockStoreLimits.walkStep - 1))
            if !batch.isEmpty {
                try await blockGuard.protect(batch)
                var missing: [CID] = []
                for visit in try await walk.look(at: batch) {
                    switch visit {
                    case .found: done += 1
                    case .missing(let cid): missing.append(cid)
                    case .unusable(let cid, .corrupted) where source != nil: missing.append(cid)
                    case .unusable(_, let error): throw error
                    case .unreadable(_, let error): throw error
                    }
                }
                if let first = missing.first {
                    guard let source else { throw PinError.incomplete(pin: pin.cid, missing: first) }
                    source.prefetch(missing)
                    for cid in missing { fetching.append(cid) }
                }
                progress(done)
                if pin.mode == .direct { walk = GraphWalk(blocks, roots: []) }
            }
            if batch.isEmpty || fetching.count >= BlockStoreLimits.walkStep {
                guard let source, let cid = fetching.popFirst() else { return }
                let bytes = try await source.block(cid)
                try await writer.write([Block(cid: cid, bytes: bytes)])
                done += 1
                progress(done)
                if pin.mode == .recursive { walk.push(try BlockLinks.links(of: bytes, codec: cid.codec)) }
            }
        }
    }

    // MARK: Indirect pins

    /// Calls `visit` with each block that is below a recursive pin, once; roots are not told unless they are below another one. Ends early
    /// when `visit` says false. A block that is missing or damaged is an error, or, `tolerant`, the end of its branch.
    public func forEachIndirect(tolerant: Bool = false, _ visit: (_ cid: CID, _ root: CID) async throws -> Bool) async throws {
        var told = KeySet()
        for pin in try await pins() where pin.mode == .recursive {
            var walk = GraphWalk(blocks, roots: [pin.cid])
            while true {
                let batch = walk.take()
                if batch.isEmpty { break }
                for found in try await walk.look(at: batch) {
                    switch found {
                    case .found(let cid):
                        guard cid != pin.cid, told.insert(cid.multihash) else { continue }
                        guard try await visit(cid, pin.cid) else { return }
                    case .missing, .unusable, .unreadable:
                        if tolerant { continue }
                        switch found {
                        case .unusable(_, let error): throw error
                        case .unreadable(_, let error): throw error
                        case .missing(let cid), .found(let cid): throw PinError.incomplete(pin: pin.cid, missing: cid)
                        }
                    }
                }
            }
        }
    }

    /// The first block of the graph below `root` that is missing or unsound.
    func firstMissing(below root: CID) async throws -> CID? {
        var walk = GraphWalk(blocks, roots: [root])
        while true {
            let batch = walk.take()
            if batch.isEmpty { return nil }
            for visit in try await walk.look(at: batch) {
                switch visit {
                case .found: break
                case .missing(let cid), .unusable(let cid, _), .unreadable(let cid, _): return cid
                }
            }
        }
    }

    /// How a CID is held.
    public enum Status: Hashable, Sendable {
        case pinned(Pin)
        /// Below this recursive pin.
        case indirect(root: CID)
        case notPinned
    }

    /// How each of `cids` is held. Finding out that one is not held walks over all recursive pins.
    public func status(of cids: [CID]) async throws -> [Status] {
        var statuses: [Status] = []
        var open: [Multihash: [Int]] = [:]
        for (index, cid) in cids.enumerated() {
            if let pin = try pin(cid) {
                statuses.append(.pinned(pin))
            } else {
                statuses.append(.notPinned)
                open[cid.multihash, default: []].append(index)
            }
        }
        guard !open.isEmpty else { return statuses }
        try await forEachIndirect { cid, root in
            for index in open.removeValue(forKey: cid.multihash) ?? [] { statuses[index] = .indirect(root: root) }
            return !open.isEmpty
        }
        return statuses
    }
}
