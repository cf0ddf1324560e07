import Synchronization

/// All sources of a node. Safe from any thread.
public final class Metrics: Sendable {
    private let sources = Mutex<[any MetricSource]>([])
    private let home: any EventLoop

    public init(on home: any EventLoop) { self.home = home }

    /// Adds a source and keeps it until `remove`, or as long as the node lives. A source that is there already is not added again.
    public func add(_ source: any MetricSource) {
        sources.withLock { sources in
            if !sources.contains(where: { $0 === source }) { sources.append(source) }
        }
    }

    public func remove(_ source: any MetricSource) { sources.withLock { $0.removeAll { $0 === source } } }

    /// Asks every source, in the order in which they were added.
    public func collect() async -> MetricReport {
        await home.run { [self] in
            var report = MetricReport()
            for source in sources.withLock({ $0 }) { source.report(to: &report) }
            return report
        }
    }
}
