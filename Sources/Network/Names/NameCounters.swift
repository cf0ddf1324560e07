import Synchronization
import WaggleBase

/// What became of questions for names.
final class NameCounters: Sendable {
    enum Outcome: String, CaseIterable { case found, missing, failed, remembered }

    private let counts = Mutex<[Outcome: UInt64]>([:])

    func count(_ outcome: Outcome) { counts.withLock { $0[outcome, default: 0] &+= 1 } }

    func report(to report: inout MetricReport) {
        let counts = counts.withLock { $0 }
        for outcome in Outcome.allCases {
            report.counter(
                "waggle_name_lookups_total", "Questions for host names in addresses, by outcome.", counts[outcome] ?? 0, ["outcome": outcome.rawValue])
        }
    }
}
