import Synchronization
import WaggleBase

/// What other threads may know about a connection, written by its loop.
final class ConnectionCounters: Sendable {
    let bytesIn = Atomic<Int>(0)
    let bytesOut = Atomic<Int>(0)
    let streams = Atomic<Int>(0)
    /// Nanoseconds; 0 before the first measurement.
    let roundTrip = Atomic<Int64>(0)
    let lastActivity: Atomic<UInt64>
    let reason = Mutex<CloseReason?>(nil)

    init(now: Instant) { lastActivity = Atomic(now.nanoseconds) }
}
