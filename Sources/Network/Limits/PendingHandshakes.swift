import WaggleBase

/// The inbound handshakes under way, so that those that hang do not keep others out. A value: whoever holds it brings the lock.
///
/// A handshake holds one of few places (`SwarmLimits.pendingInbound`, `pendingPerIP`) for up to ten seconds, and to hold one takes no more than a
/// connection and silence. So when all places are taken, the oldest one gives way to the next that comes, unless it is younger than
/// `UpgradeLimits.undisturbed`. An honest handshake is over by then nearly always, and strangers together may not begin so many in that time that
/// all places are held by younger ones.
struct PendingHandshakes {
    struct Entry {
        let ip: IPAddress?
        let began: Instant
        /// What `TaskScope.cancel` takes; nil before the task has begun.
        var task: UInt64?
    }

    private var entries: [UInt64: Entry] = [:]
    private var nextID: UInt64 = 0

    var count: Int { entries.count }

    /// Enters one; gives the name that it goes by.
    mutating func begin(from ip: IPAddress?, at now: Instant) -> UInt64 {
        nextID += 1
        entries[nextID] = Entry(ip: ip, began: now)
        return nextID
    }

    /// Notes the task that drives it; says false when it had to give way before.
    mutating func started(_ id: UInt64, _ task: UInt64) -> Bool {
        guard entries[id] != nil else { return false }
        entries[id]?.task = task
        return true
    }

    /// Takes one out; nil when it had to give way.
    @discardableResult
    mutating func end(_ id: UInt64) -> Entry? { entries.removeValue(forKey: id) }

    /// Which one gives way to a handshake from `ip` that would be refused otherwise: nil when there is none, or the refusal is about something else.
    func yielding(to refusal: Refusal, from ip: IPAddress?, at now: Instant) -> UInt64? {
        let candidates: [UInt64: Entry]
        switch refusal {
        case .pendingInbound: candidates = entries
        case .pendingPerIP:
            guard let ip else { return nil }
            let host = PendingHandshakes.host(ip)
            candidates = entries.filter { $0.value.ip.map { host.contains($0) } ?? false }
        default: return nil
        }
        guard let oldest = candidates.min(by: { $0.key < $1.key }), now - oldest.value.began > UpgradeLimits.undisturbed else { return nil }
        return oldest.key
    }

    /// What counts as one address.
    private static func host(_ ip: IPAddress) -> IPRange {
        switch ip.unmapped {
        case .v4: IPRange(ip, prefixLength: 32)
        case .v6: IPRange(ip, prefixLength: 64)
        }
    }
}
