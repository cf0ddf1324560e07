import WaggleBase

/// What a node asked others, and how that went.
struct KademliaStatistics: Sendable {
    var requests: UInt64 = 0
    var failures: UInt64 = 0
    var lookups: UInt64 = 0
    var hops: UInt64 = 0
    /// Searches that ended among suspiciously many peers.
    var crowdedLookups: UInt64 = 0
    var latency = LatencyHistogram()
}

/// Counts of answers by how long they took.
struct LatencyHistogram: Sendable {
    /// Upper bounds in seconds.
    static let bounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    private(set) var counts = [UInt64](repeating: 0, count: LatencyHistogram.bounds.count + 1)
    private(set) var sum = 0.0

    mutating func record(_ duration: Duration) {
        let seconds = Double(duration.wholeNanoseconds) / 1e9
        sum += seconds
        counts[LatencyHistogram.bounds.firstIndex { seconds <= $0 } ?? LatencyHistogram.bounds.count] += 1
    }
}
