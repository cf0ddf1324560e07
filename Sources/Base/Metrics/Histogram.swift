/// Counts of values below a list of bounds, with their sum: a Prometheus histogram. A value: whoever records brings the lock.
public struct Histogram: Sendable, Equatable {
    /// Upper bounds, ascending; a value belongs to the first bound that it does not exceed, else to the last, unbounded bucket.
    public let bounds: [Double]
    /// Values in each bucket, not cumulative; one more than there are bounds.
    public private(set) var counts: [UInt64]
    /// The sum of all values.
    public private(set) var sum = 0.0

    /// Bounds that are not finite are left out, the others put in order; at most `MetricLimits.bounds` are kept.
    public init(bounds: [Double]) {
        let ordered = Set(bounds.filter(\.isFinite)).sorted().prefix(MetricLimits.bounds)
        self.bounds = Array(ordered)
        counts = [UInt64](repeating: 0, count: ordered.count + 1)
    }

    /// How many values were recorded.
    public var count: UInt64 { counts.reduce(0, &+) }

    /// Records a value; anything that is not a number is left out.
    public mutating func record(_ value: Double) {
        guard !value.isNaN else { return }
        var index = 0
        while index < bounds.count, value > bounds[index] { index += 1 }
        counts[index] &+= 1
        sum += value
    }

    /// Records a time in seconds.
    public mutating func record(_ value: Duration) { record(Double(value.wholeNanoseconds) / 1e9) }

    /// Adds what another one with the same bounds counted; one with other bounds is left out.
    public mutating func merge(_ other: Histogram) {
        guard other.bounds == bounds else { return }
        for index in counts.indices { counts[index] &+= other.counts[index] }
        sum += other.sum
    }

    /// For times of the network, in seconds: 1 ms to 60 s.
    public static let latencyBounds: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
    /// For life times, in seconds: 1 s to 2 days.
    public static let lifetimeBounds: [Double] = [1, 10, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 172_800]
}
