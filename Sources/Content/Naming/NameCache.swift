import WaggleBase
import WaggleNetwork

/// Resolved names and until when they may be used again. At most `capacity` of them; the one used longest ago goes first.
struct NameCache: Sendable {
    private struct Entry {
        var path: ContentPath
        var expires: WallTime
        var used: UInt64
    }

    private var entries: [String: Entry] = [:]
    private var clock: UInt64 = 0
    let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { entries.count }

    /// What the name led to, and for how long that still holds.
    mutating func path(of name: String, at now: WallTime) -> (path: ContentPath, timeToLive: Duration)? {
        guard let entry = entries[name] else { return nil }
        guard now < entry.expires else {
            entries[name] = nil
            return nil
        }
        clock += 1
        entries[name]?.used = clock
        return (entry.path, .nanoseconds(entry.expires.nanoseconds - now.nanoseconds))
    }

    mutating func remember(_ name: String, _ path: ContentPath, for timeToLive: Duration, at now: WallTime) {
        guard timeToLive > .zero, capacity > 0 else {
            entries[name] = nil
            return
        }
        if entries[name] == nil, entries.count >= capacity, let oldest = entries.min(by: { $0.value.used < $1.value.used })?.key { entries[oldest] = nil }
        clock += 1
        entries[name] = Entry(path: path, expires: now + timeToLive, used: clock)
    }

    mutating func forget(_ name: String) { entries[name] = nil }
}
