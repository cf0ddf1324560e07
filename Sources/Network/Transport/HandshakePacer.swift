import WaggleBase

/// Spreads what inbound handshakes compute on one loop over time, so that the connections which are up get their turn in between however many
/// handshakes come at once.
///
/// A step of a handshake takes up to a quarter of a millisecond. Each step that others ask for gets a time of its own, `UpgradeLimits.stepInterval`
/// behind the one before, so that a loop spends at most about half of its time on strangers; a few in a row need not wait, so an honest peer
/// notices nothing. Belongs to its loop.
final class HandshakePacer: @unchecked Sendable {
    /// When everything that was let through would have come at the rate exactly.
    private var next: Instant?

    /// The time for one more step: now, or later.
    func reserve(at now: Instant) -> Instant {
        let begin = max(next ?? now, now)
        next = begin + UpgradeLimits.stepInterval
        return max(now, begin - UpgradeLimits.stepInterval * (UpgradeLimits.stepBurst - 1))
    }

    /// The step was none: its time goes to others.
    func giveBack() { next = next.map { $0 - UpgradeLimits.stepInterval } }
}
