import WaggleBase

/// Which connections to close when there are too many.
enum TrimPlan {
    struct Candidate {
        var id: UInt64
        var peer: PeerID
        var direction: Direction
        var openedAt: Instant
        /// Sum of the peer's tags.
        var value: Int
        var streams: Int
        var isProtected: Bool
    }

    /// Connections to close so that `low` are left, the least valuable first: lower tags, then without streams, then inbound, then younger.
    /// Protected peers and connections younger than `grace` are never chosen.
    static func victims(of candidates: [Candidate], low: Int, grace: Duration, at now: Instant) -> [UInt64] {
        let excess = candidates.count - low
        guard excess > 0 else { return [] }
        let eligible = candidates.filter { !$0.isProtected && now - $0.openedAt >= grace }
        return eligible.sorted(by: isLessValuable).prefix(excess).map(\.id)
    }

    private static func isLessValuable(_ left: Candidate, _ right: Candidate) -> Bool {
        if left.value != right.value { return left.value < right.value }
        if (left.streams == 0) != (right.streams == 0) { return left.streams == 0 }
        if left.direction != right.direction { return left.direction == .inbound }
        if left.openedAt != right.openedAt { return left.openedAt > right.openedAt }
        return left.id > right.id
    }
}
