import WaggleBase
import WaggleFormats

/// Remembers what failed lately, so that the same dead address or peer is not dialed again and again.
///
/// Each failure doubles the pause, from `base` to `longest`; a success forgets. The table is bounded: when it is full, the row that
/// ends soonest goes.
struct DialBackOff<Key: Hashable & Sendable> {
    private struct Row {
        var failures: Int
        var until: Instant
    }

    let base: Duration
    let longest: Duration
    let capacity: Int
    private var rows: [Key: Row] = [:]

    init(base: Duration, longest: Duration, capacity: Int) {
        self.base = base
        self.longest = longest
        self.capacity = capacity
    }

    var count: Int { rows.count }

    /// Until when `key` is to be left alone; nil when it may be dialed.
    func pause(of key: Key, at now: Instant) -> Instant? {
        guard let row = rows[key], row.until > now else { return nil }
        return row.until
    }

    mutating func failed(_ key: Key, at now: Instant) {
        var row = rows[key] ?? Row(failures: 0, until: now)
        // After a pause twice as long as the longest the past no longer counts.
        if now > row.until + longest + longest { row.failures = 0 }
        let doublings = min(row.failures, 16)
        row.until = now + min(base * (1 << doublings), longest)
        row.failures += 1
        if rows[key] == nil, rows.count >= capacity { makeRoom(now) }
        rows[key] = row
    }

    mutating func succeeded(_ key: Key) { rows[key] = nil }

    private mutating func makeRoom(_ now: Instant) {
        rows = rows.filter { $0.value.until > now }
        guard rows.count >= capacity, let soonest = rows.min(by: { $0.value.until < $1.value.until }) else { return }
        rows[soonest.key] = nil
    }
}
