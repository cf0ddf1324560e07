import WaggleBase
import WaggleFormats

/// The blocks that a strategy announces.
struct ProvideKeys: Sendable {
    let strategy: ProvideStrategy
    let blocks: BlockStore
    let pins: PinStore

    /// The first keys from `start` on in the order of the key space, whether there are none behind them, and how many there are in all.
    func window(from start: UInt64, capacity: Int = ProvideLimits.window) async throws -> (keys: [KeyspaceKey], isWhole: Bool, total: Int) {
        var window = KeyspaceWindow(from: start, capacity: capacity)
        switch strategy.scope {
        case .all: try await gatherAll(&window)
        case .roots: try await gatherRoots(&window)
        case .pinned: try await gatherPinned(&window)
        }
        let (keys, isWhole) = window.finish()
        return (keys, isWhole, window.total)
    }

    private func gatherAll(_ window: inout KeyspaceWindow) async throws {
        let scan = Scan(window)
        while true {
            let isWhole = try await blocks.system.offload { [store = blocks.store] in try scan.step(store) }
            if isWhole { break }
            try Task.checkCancellation()
        }
        window = scan.window
    }

    /// Goes through all keys, some in each job; used by one job at a time.
    private final class Scan: @unchecked Sendable {
        var window: KeyspaceWindow
        private var last: Multihash?

        init(_ window: KeyspaceWindow) { self.window = window }

        /// Says whether it was the last step.
        func step(_ store: any KeyValueStore) throws -> Bool {
            var count = 0
            try store.read { reader in
                try BlockStore.scan(reader, after: last) { key, _ in
                    window.insert(key)
                    last = key
                    count += 1
                    return count < ProvideLimits.scanStep
                }
            }
            return count < ProvideLimits.scanStep
        }
    }

    private func gatherRoots(_ window: inout KeyspaceWindow) async throws {
        var last: CID?
        while true {
            let some = try await pins.pins(after: last, limit: ProvideLimits.scanStep)
            for pin in some where pin.cid.hashCode != .identity { window.insert(pin.cid.multihash) }
            last = some.last?.cid
            if some.count < ProvideLimits.scanStep { return }
        }
    }

    private func gatherPinned(_ window: inout KeyspaceWindow) async throws {
        let all = try await pins.pins()
        for pin in all where pin.mode == .direct && pin.cid.hashCode != .identity { window.insert(pin.cid.multihash) }
        try await walk(all.filter { $0.mode == .recursive }.map(\.cid)) { for hash in $0 { window.insert(hash) } }
    }

    /// Every block of some graphs that is here, once, some at a time.
    func walk(_ roots: [CID], _ visit: ([Multihash]) async throws -> Void) async throws {
        var walk = GraphWalk(blocks, roots: roots)
        while true {
            let batch = walk.take()
            if batch.isEmpty { return }
            try Task.checkCancellation()
            try await visit(try await walk.look(at: batch).compactMap { found in
                switch found {
                case .found(let cid), .unreadable(let cid, _): cid.hashCode == .identity ? nil : cid.multihash
                case .missing, .unusable: nil
                }
            })
        }
    }
}
