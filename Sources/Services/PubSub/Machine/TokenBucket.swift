import WaggleBase

/// How many of something are allowed in a time.
public struct RateLimit: Hashable, Sendable {
    /// How many a second, in the long run.
    public var perSecond: Double
    /// How many at once after a quiet time.
    public var burst: Double

    /// - Parameter burst: twice the rate of a second, and one at least, when it is left out.
    public init(perSecond: Double, burst: Double? = nil) {
        self.perSecond = max(perSecond, 0)
        self.burst = burst ?? max(perSecond * 2, 1)
    }
}

/// A token bucket: refilled by time, emptied by use.
struct TokenBucket: Sendable {
    let limit: RateLimit
    private var tokens: Double
    private var filledAt: Instant

    init(_ limit: RateLimit, at now: Instant) {
        self.limit = limit
        tokens = limit.burst
        filledAt = now
    }

    /// Takes one token; says false when there is none.
    mutating func take(at now: Instant) -> Bool {
        if now > filledAt {
            tokens = min(limit.burst, tokens + Double((now - filledAt).wholeNanoseconds) / 1e9 * limit.perSecond)
            filledAt = now
        }
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
