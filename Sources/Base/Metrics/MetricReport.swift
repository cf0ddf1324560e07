/// The numbers of one moment, and their text for Prometheus.
///
/// What several sources report under the same name and labels is added up. A name belongs to the kind under which it came first; the same name
/// as another kind is left out.
public struct MetricReport: Sendable {
    public enum Kind: String, Sendable { case counter, gauge, histogram }

    /// The label value of what is beyond `MetricLimits.series`.
    public static let others = "(others)"

    enum Value: Sendable {
        case count(UInt64)
        case number(Double)
        case histogram(Histogram)
    }

    struct Family: Sendable {
        let name: String
        let help: String
        let kind: Kind
        /// By the text of their labels, with the order in which they came.
        var series: [String: Value] = [:]
        var order: [String] = []
    }

    /// A queue or table with a bound.
    public struct Queue: Sendable, Equatable {
        public let name: String
        public let length: Int
        public let limit: Int

        public init(name: String, length: Int, limit: Int) {
            self.name = name
            self.length = length
            self.limit = limit
        }

        /// Whether it is so full that something will be refused or dropped soon.
        public var isNearlyFull: Bool { limit > 0 && Double(length) >= Double(limit) * 0.9 }
    }

    /// What was reported with `queue`, in order.
    public private(set) var queues: [Queue] = []
    private(set) var families: [Family] = []
    private var indices: [String: Int] = [:]

    public init() {}

    /// Something that only grows. The name ends in `_total`.
    public mutating func counter(_ name: String, _ help: String, _ value: UInt64, _ labels: KeyValuePairs<String, String> = [:]) {
        add(name, help, .counter, .count(value), labels)
    }

    /// Seconds that only grow. The name ends in `_seconds_total`.
    public mutating func counter(_ name: String, _ help: String, seconds: Double, _ labels: KeyValuePairs<String, String> = [:]) {
        add(name, help, .counter, .number(seconds), labels)
    }

    /// Something that goes up and down.
    public mutating func gauge(_ name: String, _ help: String, _ value: Double, _ labels: KeyValuePairs<String, String> = [:]) {
        add(name, help, .gauge, .number(value), labels)
    }

    public mutating func gauge(_ name: String, _ help: String, _ value: Int, _ labels: KeyValuePairs<String, String> = [:]) {
        add(name, help, .gauge, .number(Double(value)), labels)
    }

    public mutating func histogram(_ name: String, _ help: String, _ value: Histogram, _ labels: KeyValuePairs<String, String> = [:]) {
        add(name, help, .histogram, .histogram(value), labels)
    }

    /// Names something that has no numbers yet, so that those who look for it know that it is not misspelled.
    public mutating func declare(_ name: String, _ help: String, _ kind: Kind) { _ = index(name, help, kind) }

    /// A queue or table with a bound: its length and its limit, in what it counts. The node's health looks at these.
    public mutating func queue(_ name: String, length: Int, limit: Int) {
        queues.append(Queue(name: name, length: length, limit: limit))
        gauge("waggle_queue_length", "What waits in queues and stands in tables that have a bound.", length, ["queue": name])
        gauge("waggle_queue_limit", "The bounds of queues and tables.", limit, ["queue": name])
    }

    // MARK: Reading

    /// Names of all families, in the order in which they came.
    public var names: [String] { families.map(\.name) }

    /// The number of a counter or gauge, or how many values a histogram has; nil where there is none.
    public func value(_ name: String, _ labels: KeyValuePairs<String, String> = [:]) -> Double? {
        guard let index = indices[name] else { return nil }
        switch families[index].series[PrometheusText.labels(labels)] {
        case nil: return nil
        case .count(let value): return Double(value)
        case .number(let value): return value
        case .histogram(let value): return Double(value.count)
        }
    }

    /// The text that Prometheus scrapes. Spec: Prometheus, "Exposition formats", text format 0.0.4.
    public var text: String { PrometheusText.render(families) }

    // MARK: Adding

    /// The place of a family, made when it is new; nil for a name that is none or belongs to another kind.
    private mutating func index(_ name: String, _ help: String, _ kind: Kind) -> Int? {
        if let known = indices[name] { return families[known].kind == kind ? known : nil }
        guard PrometheusText.isName(name) else { return nil }
        indices[name] = families.count
        families.append(Family(name: name, help: help, kind: kind))
        return families.count - 1
    }

    private mutating func add(_ name: String, _ help: String, _ kind: Kind, _ value: Value, _ labels: KeyValuePairs<String, String>) {
        guard let index = index(name, help, kind) else { return }
        families[index].add(PrometheusText.labels(labels), value, overflow: PrometheusText.labels(labels, replacing: MetricReport.others))
    }
}

extension MetricReport.Family {
    fileprivate mutating func add(_ labels: String, _ value: MetricReport.Value, overflow: @autoclosure () -> String) {
        let key = series[labels] != nil || order.count < MetricLimits.series ? labels : overflow()
        switch (series[key], value) {
        case (nil, _):
            series[key] = value
            order.append(key)
        case (.count(let old), .count(let new)): series[key] = .count(old &+ new)
        case (.number(let old), .number(let new)): series[key] = .number(old + new)
        case (.histogram(var old), .histogram(let new)):
            old.merge(new)
            series[key] = .histogram(old)
        default: break
        }
    }
}
