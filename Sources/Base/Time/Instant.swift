/// A point on a loop's monotonic clock, in nanoseconds since an arbitrary start.
public struct Instant: Comparable, Hashable, Sendable {
    public var nanoseconds: UInt64

    @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Later than every instant a clock will show.
    public static let distantFuture = Instant(nanoseconds: .max)

    @inlinable public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Saturates at both ends of the clock.
    @inlinable public static func + (instant: Instant, duration: Duration) -> Instant {
        let delta = duration.wholeNanoseconds
        if delta >= 0 {
            let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(UInt64(delta))
            return Instant(nanoseconds: overflow ? .max : sum)
        }
        let (difference, overflow) = instant.nanoseconds.subtractingReportingOverflow(delta.magnitude)
        return Instant(nanoseconds: overflow ? 0 : difference)
    }

    @inlinable public static func - (instant: Instant, duration: Duration) -> Instant {
        instant + .nanoseconds(-duration.wholeNanoseconds)
    }

    @inlinable public static func - (left: Instant, right: Instant) -> Duration {
        left >= right
            ? .nanoseconds(Int64(clamping: left.nanoseconds - right.nanoseconds))
            : .nanoseconds(-Int64(clamping: right.nanoseconds - left.nanoseconds))
    }
}

extension Duration {
    /// The duration in nanoseconds, clamped to what 64 bits hold (292 years).
    @inlinable public var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? -Int64.max : Int64.max }
        let (sum, carry) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carry ? (seconds < 0 ? -Int64.max : Int64.max) : max(sum, -Int64.max)
    }
}

/// A time of day: nanoseconds since 1970-01-01 00:00:00 UTC.
public struct WallTime: Comparable, Hashable, Sendable {
    public var nanoseconds: Int64

    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// A time of a clock that counts seconds, clamped to what 64 bits hold (the years 1677 to 2262): files and messages have any time.
    public init(seconds: Int64, nanoseconds: Int64 = 0) {
        self.nanoseconds = Int64(clamping: Int128(seconds) * 1_000_000_000 + Int128(nanoseconds))
    }

    /// The second that the time lies in, and the nanoseconds after its beginning.
    public var parts: (seconds: Int64, nanoseconds: Int64) {
        let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return rest < 0 ? (seconds - 1, rest + 1_000_000_000) : (seconds, rest)
    }

    @inlinable public static func < (left: WallTime, right: WallTime) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Saturates at both ends of the clock.
    @inlinable public static func + (time: WallTime, duration: Duration) -> WallTime {
        let delta = duration.wholeNanoseconds
        let (sum, overflow) = time.nanoseconds.addingReportingOverflow(delta)
        return WallTime(nanoseconds: !overflow ? sum : delta < 0 ? .min : .max)
    }
}
