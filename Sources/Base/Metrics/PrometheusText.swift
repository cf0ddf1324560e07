/// The text format 0.0.4 of Prometheus.
enum PrometheusText {
    static func render(_ families: [MetricReport.Family]) -> String {
        var text = ""
        for family in families {
            text += "# HELP \(family.name) \(escapedHelp(family.help))\n# TYPE \(family.name) \(family.kind.rawValue)\n"
            for labels in family.order {
                guard let value = family.series[labels] else { continue }
                switch value {
                case .count(let value): text += "\(sample(family.name, labels)) \(value)\n"
                case .number(let value): text += "\(sample(family.name, labels)) \(number(value))\n"
                case .histogram(let histogram): append(histogram, family.name, labels, to: &text)
                }
            }
        }
        return text
    }

    private static func append(_ histogram: Histogram, _ name: String, _ labels: String, to text: inout String) {
        var total: UInt64 = 0
        let separator = labels.isEmpty ? "" : ","
        for (bound, count) in zip(histogram.bounds, histogram.counts) {
            total &+= count
            text += "\(name)_bucket{\(labels)\(separator)le=\"\(number(bound))\"} \(total)\n"
        }
        text += "\(name)_bucket{\(labels)\(separator)le=\"+Inf\"} \(histogram.count)\n"
        text += "\(sample(name + "_sum", labels)) \(number(histogram.sum))\n\(sample(name + "_count", labels)) \(histogram.count)\n"
    }

    private static func sample(_ name: String, _ labels: String) -> String { labels.isEmpty ? name : "\(name){\(labels)}" }

    /// Labels as they stand between braces, sorted by name, so that the same labels are the same text. A name that is no label name, or that comes
    /// twice, is left out.
    static func labels(_ labels: KeyValuePairs<String, String>, replacing replacement: String? = nil) -> String {
        if labels.isEmpty { return "" }
        var seen: [(name: String, value: String)] = []
        for (name, value) in labels where isLabelName(name) && !seen.contains(where: { $0.name == name }) {
            seen.append((name, replacement ?? value))
        }
        seen.sort { $0.name < $1.name }
        return seen.map { "\($0.name)=\"\(escapedValue($0.value))\"" }.joined(separator: ",")
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, !isDigit(first) else { return false }
        return text.utf8.allSatisfy { isWord($0) || $0 == UInt8(ascii: ":") }
    }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`, without the names that begin with two underscores and the bound of a bucket.
    private static func isLabelName(_ text: String) -> Bool {
        guard let first = text.utf8.first, !isDigit(first), !text.hasPrefix("__"), text != "le" else { return false }
        return text.utf8.allSatisfy(isWord)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || byte == UInt8(ascii: "_")
    }

    private static func escapedHelp(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    private static func escapedValue(_ text: String) -> String {
        var escaped = ""
        var length = 0
        for scalar in text.unicodeScalars {
            length += UTF8.width(scalar)
            if length > MetricLimits.labelValue { break }
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// As Go reads floats.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value), whole.magnitude < 1 << 53 { return whole.description }
        return value.description
    }
}
