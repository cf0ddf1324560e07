import Synchronization
import WaggleBase
import WaggleFormats

/// Keeps blocks that are about to be pinned away from those who remove blocks.
///
/// The rules, from which follows that a collection never loses a block of a pin or of an operation in progress:
/// 1. Whoever will pin a block *protects* its key first, under a `BlockGuard`, and only then looks for it or writes it. The guard is
///    released after the pin is committed.
/// 2. Whoever removes blocks *claims* their keys first. A protected key cannot be claimed. A key that is claimed cannot be protected
///    until the removal is committed: `protect` waits, and its caller then sees that the block is gone and writes it again.
/// 3. A collection reads the pins after `beginCollection`. From then on nothing that was protected becomes claimable before the
///    collection ends, even when its guard is released: a pin committed in between is not in what the collection read.
final class BlockProtection: Sendable {
    private struct State {
        var guards: [UInt64: Keys] = [:]
        var nextID: UInt64 = 0
        /// What released guards protected during the collection that is running.
        var retained: Keys?
        var claimed: Set<Multihash> = []
    }

    /// Protected keys; too many of them protect everything, so that memory stays bounded.
    private struct Keys {
        var set = KeySet()
        var everything = false

        func contains(_ key: Multihash) -> Bool { everything || set.contains(key) }

        mutating func insert(_ key: Multihash) {
            guard !everything else { return }
            set.insert(key)
            if set.count > BlockStoreLimits.protectedKeys { becomeEverything() }
        }

        mutating func formUnion(_ other: Keys) {
            if other.everything { return becomeEverything() }
            guard !everything else { return }
            set.formUnion(other.set)
            if set.count > BlockStoreLimits.protectedKeys { becomeEverything() }
        }

        private mutating func becomeEverything() {
            everything = true
            set = KeySet()
        }
    }

    private let state = Mutex(State())
    private let home: any EventLoop
    /// Woken on the home loop when claims end.
    private let unclaimed: Waiter

    init(home: any EventLoop) {
        self.home = home
        unclaimed = Waiter(on: home)
    }

    /// Guards in use.
    var guardCount: Int { state.withLock { $0.guards.count } }

    func makeGuard() -> BlockGuard {
        let id = state.withLock { state in
            state.nextID += 1
            state.guards[state.nextID] = Keys()
            return state.nextID
        }
        return BlockGuard(id: id, protection: self)
    }

    func protect(_ keys: [Multihash], by id: UInt64) async throws(CancellationError) {
        if tryProtect(keys, by: id) { return }
        try await home.run { () async throws(CancellationError) in
            while !self.tryProtect(keys, by: id) { try await self.unclaimed.wait() }
        }
    }

    private func tryProtect(_ keys: [Multihash], by id: UInt64) -> Bool {
        state.withLock { state in
            guard state.claimed.isEmpty || !keys.contains(where: { state.claimed.contains($0) }) else { return false }
            for key in keys { state.guards[id]?.insert(key) }
            return true
        }
    }

    func release(_ id: UInt64) {
        state.withLock { state in
            guard let keys = state.guards.removeValue(forKey: id) else { return }
            state.retained?.formUnion(keys)
        }
    }

    /// Says false when a collection is running already.
    func beginCollection() -> Bool {
        state.withLock { state in
            guard state.retained == nil else { return false }
            state.retained = Keys()
            return true
        }
    }

    func endCollection() { state.withLock { $0.retained = nil } }

    /// Those of `keys` that may be removed now; the caller must end the claim with `unclaim` whatever happens.
    func claim(_ keys: [Multihash]) -> [Multihash] {
        state.withLock { state in
            let free = keys.filter { key in
                state.retained?.contains(key) != true && !state.claimed.contains(key)
                    && !state.guards.values.contains { $0.contains(key) }
            }
            state.claimed.formUnion(free)
            return free
        }
    }

    func unclaim(_ keys: [Multihash]) {
        state.withLock { $0.claimed.subtract(keys) }
        home.execute { self.unclaimed.wake() }
    }
}

/// Protects the blocks of one operation, from before it looks at them until its pin is committed.
///
/// Made by `BlockStore.guarded`, which also releases it.
public final class BlockGuard: Sendable {
    private let id: UInt64
    private let protection: BlockProtection

    init(id: UInt64, protection: BlockProtection) {
        self.id = id
        self.protection = protection
    }

    /// Protects the blocks, present or not; returns once no removal of any of them is under way.
    public func protect(_ cids: [CID]) async throws(CancellationError) {
        try await protection.protect(cids.map(\.multihash), by: id)
    }

    func release() { protection.release(id) }
}
