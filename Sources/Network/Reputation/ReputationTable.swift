import WaggleBase
import WaggleFormats

/// The records of all peers that misbehaved. A value without a clock: the time of day comes in with each call.
struct ReputationTable {
    /// What follows from a report.
    enum Verdict: Equatable {
        case noted
        case cooling(until: WallTime)
        case banned(until: WallTime)
    }

    struct Row: Equatable {
        /// Points at `at`.
        var score = 0.0
        var at: WallTime
        /// Offences of all times.
        var offences: UInt64 = 0
        var lastOffence = ""
        /// Bans so far.
        var bans = 0
        var bannedUntil: WallTime?
        var coolsUntil: WallTime?
        /// Addresses that the peer was connected from when it was banned.
        var groups: [IPRange] = []

        func isBanned(at now: WallTime) -> Bool { bannedUntil.map { now < $0 } ?? false }
        func isCooling(at now: WallTime) -> Bool { coolsUntil.map { now < $0 } ?? false }
    }

    /// Addresses remembered of one peer.
    static let groupsPerPeer = 4

    let limits: ReputationLimits
    private(set) var rows: [PeerID: Row] = [:]
    /// Rows to be written or removed in the store.
    private(set) var changed: Set<PeerID> = []
    /// How many banned peers each address has.
    private var groups: [IPRange: Int] = [:]

    init(_ limits: ReputationLimits) { self.limits = limits }

    // MARK: Counting

    mutating func report(_ peer: PeerID, _ offence: Offence, from addresses: [IPAddress], at now: WallTime) -> Verdict {
        if rows[peer] == nil, rows.count >= limits.peers { makeRoom(now) }
        var row = rows[peer] ?? Row(at: now)
        row.score = score(of: row, at: now) + (offence.weight > 0 ? offence.weight : 0)
        row.at = now
        row.offences &+= 1
        row.lastOffence = offence.name.description
        var verdict = Verdict.noted
        if row.isBanned(at: now) {
            // What still arrives from the connections that are being closed does not make the ban longer.
            row.score = 0
        } else if row.score >= limits.ban {
            verdict = .banned(until: ban(&row, from: addresses, at: now))
        } else if row.score >= limits.cooling, !row.isCooling(at: now) {
            let until = now + limits.coolDown
            row.coolsUntil = until
            verdict = .cooling(until: until)
        }
        set(peer, row, now)
        return verdict
    }

    private func ban(_ row: inout Row, from addresses: [IPAddress], at now: WallTime) -> WallTime {
        if let last = row.bannedUntil, now > last + limits.forgiveness { row.bans = 0 }
        let until = now + min(limits.firstBan * (1 << min(row.bans, 20)), limits.longestBan)
        row.bans += 1
        row.bannedUntil = until
        row.coolsUntil = nil
        row.score = 0
        row.groups = Array(Set(addresses.compactMap(Self.group)).sorted { $0.order < $1.order }.prefix(Self.groupsPerPeer))
        return until
    }

    /// Forgets everything about a peer; says whether it was banned or cooling down.
    mutating func pardon(_ peer: PeerID, at now: WallTime) -> Bool {
        guard let row = rows[peer] else { return false }
        set(peer, nil, now)
        return row.isBanned(at: now) || row.isCooling(at: now)
    }

    // MARK: Asking

    func score(of peer: PeerID, at now: WallTime) -> Double { rows[peer].map { score(of: $0, at: now) } ?? 0 }

    func isRefused(_ peer: PeerID, at now: WallTime) -> Bool {
        guard let row = rows[peer] else { return false }
        return row.isBanned(at: now) || row.isCooling(at: now)
    }

    /// Whether too many banned peers came from the address.
    func isRefused(_ ip: IPAddress, at now: WallTime) -> Bool {
        guard let group = Self.group(ip), let count = groups[group], count >= limits.peersPerGroup else { return false }
        // Bans may have ended since they were counted.
        return rows.values.reduce(0) { $0 + ($1.groups.contains(group) && $1.isBanned(at: now) ? 1 : 0) } >= limits.peersPerGroup
    }

    func refusedGroups(at now: WallTime) -> [IPRange] {
        groups.filter { $0.value >= limits.peersPerGroup }.keys.sorted { $0.order < $1.order }.filter { isRefused($0.base, at: now) }
    }

    /// Points fade by half in each half-life; in between along a line, which is exact at both ends.
    private func score(of row: Row, at now: WallTime) -> Double {
        let elapsed = now.nanoseconds &- row.at.nanoseconds
        // A clock that was set back makes nothing fade, and nothing grow.
        guard elapsed > 0 else { return row.score }
        let halfLife = max(1, limits.halfLife.wholeNanoseconds)
        let halvings = elapsed / halfLife
        guard halvings < 60 else { return 0 }
        let rest = Double(elapsed % halfLife) / Double(halfLife)
        return row.score / Double(1 << halvings) * (1 - rest / 2)
    }

    /// What counts as one address.
    static func group(_ ip: IPAddress) -> IPRange? {
        switch ip.unmapped {
        case .v4: IPRange(ip, prefixLength: 32)
        case .v6: IPRange(ip, prefixLength: 64)
        }
    }

    // MARK: Rows

    /// Enters a stored row.
    mutating func load(_ peer: PeerID, _ row: Row, at now: WallTime) {
        guard rows.count < limits.peers else { return }
        var row = row
        // Whatever the clock has done meanwhile, no ban is longer than the longest.
        if let until = row.bannedUntil { row.bannedUntil = min(until, now + limits.longestBan) }
        if let until = row.coolsUntil { row.coolsUntil = min(until, now + limits.coolDown) }
        set(peer, row, now)
        changed.remove(peer)
    }

    mutating func takeChanged() -> [PeerID] {
        defer { changed = [] }
        return changed.sorted()
    }

    private mutating func set(_ peer: PeerID, _ row: Row?, _ now: WallTime) {
        for group in rows[peer]?.groups ?? [] {
            let count = (groups[group] ?? 0) - 1
            groups[group] = count > 0 ? count : nil
        }
        rows[peer] = row
        for group in row?.groups ?? [] { groups[group, default: 0] += 1 }
        changed.insert(peer)
    }

    /// Drops what says the least: first peers that are not banned, then the bans that end soonest. Some at once, so that the sorting is paid rarely.
    private mutating func makeRoom(_ now: WallTime) {
        let worth = rows.map { (peer: $0.key, ban: $0.value.isBanned(at: now) ? $0.value.bannedUntil?.nanoseconds ?? 0 : 0, score: score(of: $0.value, at: now)) }
            .sorted { ($0.ban, $0.score, $0.peer) < ($1.ban, $1.score, $1.peer) }
        for entry in worth.prefix(max(1, limits.peers / 32)) { set(entry.peer, nil, now) }
    }
}

extension IPRange {
    fileprivate var order: String { base.text }
}
