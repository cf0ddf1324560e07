import WaggleBase

/// How long peers take to answer, smoothed, and how patient that makes us (as TCP's retransmission timer, RFC 6298).
package struct LatencyEstimator {
    package init() {}

    private var mean: Double?
    private var deviation = 0.0

    /// A request took this long.
    package mutating func record(_ duration: Duration) {
        let seconds = Double(duration.wholeNanoseconds) / 1e9
        guard let mean else {
            self.mean = seconds
            deviation = seconds / 2
            return
        }
        deviation += (abs(seconds - mean) - deviation) / 4
        self.mean = mean + (seconds - mean) / 8
    }

    /// The smoothed time; nil before the first.
    var average: Duration? { mean.map { .nanoseconds(Int64($0 * 1e9)) } }

    /// After this a peer counts as slow.
    package var patience: Duration {
        guard let mean else { return .seconds(2) }
        let seconds = mean + 4 * deviation
        return min(max(.nanoseconds(Int64(seconds * 1e9)), KademliaLimits.shortestPatience), KademliaLimits.longestPatience)
    }
}
