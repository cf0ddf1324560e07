import WaggleBase
import WaggleFormats

/// Removes the blocks that no pin holds, while adds, pins and reads go on.
///
/// Mark: every block below a pin, by key, 16 bytes of memory each. Sweep: all keys in order, a few hundred in a step; what is neither
/// marked nor protected goes. `BlockProtection` says why nothing that is being added or pinned can be lost. A pinned graph that is
/// incomplete or damaged stops the collection before it removes anything: what hangs below the hole is unknown.
public final class GarbageCollector: Sendable {
    private let blocks: BlockStore
    private let pins: PinStore

    init(blocks: BlockStore, pins: PinStore) {
        self.blocks = blocks
        self.pins = pins
    }

    /// Why a collection did not run to its end.
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// Another collection is running.
        case running
        /// A pinned block is missing or damaged; nothing was removed.
        case incomplete(pin: CID, missing: CID)

        public var description: String {
            switch self {
            case .running: "a garbage collection is running already"
            case .incomplete(let pin, let missing):
                "could not collect garbage: block \(missing) of pin \(pin) cannot be read; fetch it again or remove the pin"
            }
        }
    }

    /// What a collection did.
    public struct Outcome: Hashable, Sendable {
        public var removed = 0
        public var kept = 0
    }

    /// Runs one collection. `roots` are kept like recursive pins (for example the root of the mutable files). `removed` hears of removed
    /// blocks, step by step, after their removal.
    @discardableResult
    public func collect(
        roots: [CID] = [], removed: ([Multihash]) async throws -> Void = { _ in }
    ) async throws -> Outcome {
        guard blocks.protection.beginCollection() else { throw Failure.running }
        defer { blocks.protection.endCollection() }
        let live = try await mark(roots)
        return try await sweep(live, removed)
    }

    private func mark(_ roots: [CID]) async throws -> KeySet {
        // Read after `beginCollection`; see there.
        let pins = try await pins.pins()
        var live = KeySet()
        var walk = GraphWalk(blocks, roots: [])
        for root in pins.filter({ $0.mode == .recursive }).map(\.cid) + roots {
            walk.push([root])
            while true {
                try Task.checkCancellation()
                let batch = walk.take()
                if batch.isEmpty { break }
                for visit in try await walk.look(at: batch) {
                    switch visit {
                    case .found: break
                    case .missing(let cid), .unusable(let cid, _), .unreadable(let cid, _):
                        throw Failure.incomplete(pin: root, missing: cid)
                    }
                }
            }
        }
        live = walk.reached
        for pin in pins where pin.mode == .direct { live.insert(pin.cid.multihash) }
        return live
    }

    private func sweep(_ live: KeySet, _ report: ([Multihash]) async throws -> Void) async throws -> Outcome {
        var outcome = Outcome()
        var last: Multihash?
        while true {
            try Task.checkCancellation()
            let keys = try await blocks.keys(after: last, limit: BlockStoreLimits.sweepStep)
            guard let end = keys.last else { break }
            last = end
            let dead = keys.filter { !live.contains($0) }
            let removed = try await blocks.removeUnprotected(dead, durable: false)
            outcome.removed += removed.count
            outcome.kept += keys.count - removed.count
            if !removed.isEmpty { try await report(removed) }
        }
        // One flush for all steps.
        if outcome.removed > 0 { try await blocks.synchronize() }
        return outcome
    }

    /// Removes single blocks on the user's word; throws `BlockStoreError.pinned` for those that a pin holds, directly or from above, and
    /// for those that an operation in progress protects. Says which were there.
    public func remove(_ cids: [CID]) async throws -> [CID] {
        // While this runs no pin can come into being unseen: what is protected from here on stays protected until the end.
        guard blocks.protection.beginCollection() else { throw Failure.running }
        defer { blocks.protection.endCollection() }
        let keys = Set(cids.map(\.multihash))
        var held: Multihash?
        for pin in try await pins.pins() where keys.contains(pin.cid.multihash) { held = pin.cid.multihash }
        if held == nil {
            try await pins.forEachIndirect(tolerant: true) { cid, _ in
                if keys.contains(cid.multihash) { held = cid.multihash }
                return held == nil
            }
        }
        if let held, let cid = cids.first(where: { $0.multihash == held }) { throw BlockStoreError.pinned(cid) }
        let removed = Set(try await blocks.removeUnprotected(Array(keys), durable: true))
        return cids.filter { removed.contains($0.multihash) }
    }
}
