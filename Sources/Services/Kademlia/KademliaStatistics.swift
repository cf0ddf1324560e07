import WaggleBase

/// What a node asked others, and how that went.
struct KademliaStatistics: Sendable {
    var requests: UInt64 = 0
    var failures: UInt64 = 0
    var lookups: UInt64 = 0
    var hops: UInt64 = 0
    /// Searches that ended among suspiciously many peers.
    var crowdedLookups: UInt64 = 0
    /// Seconds until an answer.
    var latency = Histogram(bounds: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10])
}
