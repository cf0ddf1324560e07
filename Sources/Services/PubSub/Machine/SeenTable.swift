import WaggleBase

/// Which messages were seen, for how long that counts, and what became of them: an open-addressing table with a bound.
struct SeenTable {
    /// What became of a message.
    enum Verdict: UInt8 {
        case waiting, accepted, rejected, ignored
    }

    private struct Slot {
        var key = MessageKey(low: 0, high: 0)
        /// 0 for a free slot.
        var expiry: UInt64 = 0
        /// When it was accepted.
        var acceptedAt: UInt64 = 0
        var verdict = Verdict.waiting
    }

    private var slots: ContiguousArray<Slot>
    private var mask: Int
    private(set) var count = 0
    /// In order of arrival, which is that of expiry unless a duplicate moved it.
    private var order = Deque<MessageKey>()
    private let limit: Int
    private let lifetime: UInt64
    private let isRefreshed: Bool

    /// - Parameter isRefreshed: whether a duplicate starts the lifetime anew.
    init(limit: Int, lifetime: Duration, isRefreshed: Bool) {
        slots = ContiguousArray(repeating: Slot(), count: SeenTable.smallest)
        mask = SeenTable.smallest - 1
        self.limit = limit
        self.lifetime = UInt64(max(lifetime.wholeNanoseconds, 1))
        self.isRefreshed = isRefreshed
    }

    private func find(_ key: MessageKey) -> Int? {
        var index = Int(truncatingIfNeeded: key.low) & mask
        while slots[index].expiry != 0 {
            if slots[index].key == key { return index }
            index = (index + 1) & mask
        }
        return nil
    }

    /// Slots in memory.
    var capacity: Int { slots.count }

    func contains(_ key: MessageKey) -> Bool { find(key) != nil }

    /// What became of the message, and when it was accepted; nil when it was not seen.
    func state(_ key: MessageKey) -> (verdict: Verdict, acceptedAt: Instant)? {
        find(key).map { (slots[$0].verdict, Instant(nanoseconds: slots[$0].acceptedAt)) }
    }

    /// Adds a message; says false when it was there.
    mutating func insert(_ key: MessageKey, at now: Instant) -> Bool {
        let expiry = now.nanoseconds &+ lifetime
        if let index = find(key) {
            if isRefreshed { slots[index].expiry = expiry }
            return false
        }
        if count >= limit, let oldest = order.popFirst() { remove(oldest) }
        if (count + 1) * 4 > slots.count * 3 { resize(to: slots.count * 2) }
        place(Slot(key: key, expiry: expiry))
        count += 1
        order.append(key)
        return true
    }

    mutating func settle(_ key: MessageKey, _ verdict: Verdict, at now: Instant) {
        guard let index = find(key) else { return }
        slots[index].verdict = verdict
        slots[index].acceptedAt = now.nanoseconds
    }

    /// Forgets a message, so that it may come again.
    mutating func remove(_ key: MessageKey) {
        guard var hole = find(key) else { return }
        count -= 1
        // Later entries of the run move back, so that no search ends early.
        var index = (hole + 1) & mask
        while slots[index].expiry != 0 {
            let home = Int(truncatingIfNeeded: slots[index].key.low) & mask
            if (index &- home) & mask >= (index &- hole) & mask {
                slots[hole] = slots[index]
                hole = index
            }
            index = (index + 1) & mask
        }
        slots[hole] = Slot()
    }

    /// Forgets what is too old.
    mutating func expire(at now: Instant) {
        var moves = SeenTable.moves
        while let key = order.first {
            guard let index = find(key) else {
                order.popFirst()
                continue
            }
            if slots[index].expiry > now.nanoseconds {
                guard isRefreshed, slots[index].expiry > now.nanoseconds &+ lifetime / 2, moves > 0 else { break }
                // It was seen again: back to the end.
                moves -= 1
                order.popFirst()
                order.append(key)
                continue
            }
            order.popFirst()
            remove(key)
        }
        // A flood that is over leaves no large table behind.
        if slots.count > SeenTable.smallest, count * 8 < slots.count { resize(to: max(SeenTable.smallest, slots.count / 4)) }
    }

    /// Entries that are put back at once, so that a table of entries that were all seen again takes no long look.
    private static let moves = 4096
    private static let smallest = 64

    private mutating func place(_ slot: Slot) {
        var index = Int(truncatingIfNeeded: slot.key.low) & mask
        while slots[index].expiry != 0 { index = (index + 1) & mask }
        slots[index] = slot
    }

    private mutating func resize(to count: Int) {
        let old = slots
        slots = ContiguousArray(repeating: Slot(), count: count)
        mask = slots.count - 1
        for slot in old where slot.expiry != 0 { place(slot) }
    }
}
