import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `GET /metrics` and, as with Kubo, `GET /debug/metrics/prometheus`: all numbers of the node as Prometheus reads them.
struct MetricsPage: Sendable {
    static let paths: Set<String> = ["/metrics", "/debug/metrics/prometheus"]

    let node: ContentNode
    let metrics: Metrics
    let source: ProcessSource

    init(node: ContentNode, started: Instant) {
        self.node = node
        // Without a network there are only the process and the repository to tell about.
        metrics = node.online?.node.metrics ?? Metrics(on: node.system.home)
        source = ProcessSource(node: node, started: started)
    }

    func serve(_ exchange: HTTPExchange) async {
        var report = await metrics.collect()
        source.report(to: &report)
        exchange.begin(200, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8"), ("Cache-Control", "no-store")])
        exchange.endAfter(Bytes(utf8: report.text))
    }
}

/// The numbers of the process and the repository. The process' have the names that Prometheus' own clients use.
final class ProcessSource: MetricSource {
    private let node: ContentNode
    private let started: Instant
    private let startTime: WallTime

    init(node: ContentNode, started: Instant) {
        self.node = node
        self.started = started
        startTime = node.system.wallTime
    }

    func report(to report: inout MetricReport) {
        let usage = node.system.usage
        report.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", usage.residentMemory)
        report.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", usage.virtualMemory)
        report.gauge("process_open_fds", "Number of open file descriptors.", usage.descriptors)
        report.gauge("process_max_fds", "Maximum number of open file descriptors.", usage.descriptorLimit)
        report.counter(
            "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
            seconds: Double(usage.processorTime.wholeNanoseconds) / 1e9)
        report.gauge(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", Double(startTime.nanoseconds) / 1e9)
        let uptime = node.system.home.now - started
        report.gauge("waggle_uptime_seconds", "Time since the daemon was started.", Double(uptime.wholeNanoseconds) / 1e9)
        report.gauge("waggle_info", "The version of the program.", 1, ["version": WaggleVersion.number])
        do {
            let statistics = try node.repository.statistics()
            report.gauge("waggle_repo_size_bytes", "Bytes that the repository takes on the device.", statistics.bytesOnDevice)
            report.gauge("waggle_repo_objects", "Blocks in the repository.", statistics.objects)
        } catch {
            // A closing repository has no numbers; the rest is still of interest.
        }
    }
}
