import Synchronization

/// Counts the slow signatures that others make this node compute (see `Handshake.takeWork`), so that they never take all of the threads that
/// the block store and everything else work on too.
final class SlowWork: Sendable {
    private let running = Atomic<Int>(0)

    /// Whether one more may begin; `end` must follow then.
    func begin() -> Bool {
        if running.wrappingAdd(1, ordering: .relaxed).newValue <= UpgradeLimits.slowWork { return true }
        end()
        return false
    }

    func end() { running.wrappingSubtract(1, ordering: .relaxed) }
}
