/// Measuring and printing.
enum Measure {
    /// Time of one call in nanoseconds: the best of nine rounds of `count` calls each, which other work on the machine disturbs least.
    @inline(never)
    static func nanoseconds(_ count: Int, _ body: () -> Void) -> Double {
        let clock = ContinuousClock()
        body()
        let rounds = (0..<9).map { _ in
            let time = clock.measure { for _ in 0..<count { body() } }
            return Double(time.components.seconds) * 1e9 + Double(time.components.attoseconds) / 1e9
        }
        return (rounds.min() ?? 0) / Double(count)
    }

    /// `value` with two decimals.
    static func text(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }

    /// One line: what, how fast, and how that compares with `limit` (above 1 is better than the limit).
    static func printTime(_ name: String, _ nanoseconds: Double, against limit: Double? = nil, _ limitName: String = "OpenSSL") {
        let value = nanoseconds >= 1000 ? "\(text(nanoseconds / 1000)) µs" : "\(text(nanoseconds)) ns"
        print(line(name, value, limit.map { ($0 / nanoseconds, limitName, $0 >= 1000 ? "\(text($0 / 1000)) µs" : "\(text($0)) ns") }))
    }

    /// One line for the speed of `bytes` in `nanoseconds`.
    static func printRate(_ name: String, bytes: Int, _ nanoseconds: Double, against limit: Double? = nil, _ limitName: String = "OpenSSL") {
        func rate(_ time: Double) -> String { "\(text(Double(bytes) / time)) GB/s" }
        print(line(name, rate(nanoseconds), limit.map { ($0 / nanoseconds, limitName, rate($0)) }))
    }

    private static func line(_ name: String, _ value: String, _ comparison: (Double, String, String)?) -> String {
        func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }
        let start = padded(name, 44) + padded(value, 14)
        guard let (ratio, name, limit) = comparison else { return start }
        return start + "\(text(ratio)) of \(name) (\(limit))"
    }
}
