import Testing
@testable import WaggleBase

@Suite struct MetricsTests {
    @Test func textHasEachFamilyOnceWithItsSeriesTogether() {
        var report = MetricReport()
        report.counter("a_total", "All of a.", 3, ["dir": "in"])
        report.gauge("b", "Some b.", 1.5)
        report.counter("a_total", "All of a.", 4, ["dir": "out"])
        #expect(
            report.text == """
                # HELP a_total All of a.
                # TYPE a_total counter
                a_total{dir="in"} 3
                a_total{dir="out"} 4
                # HELP b Some b.
                # TYPE b gauge
                b 1.5

                """)
    }

    @Test func whatHasNoNumbersYetIsNamed() {
        var report = MetricReport()
        report.declare("a_total", "A.", .counter)
        report.declare("a_total", "A.", .gauge)
        #expect(report.text == "# HELP a_total A.\n# TYPE a_total counter\n" && report.value("a_total") == nil)
        report.counter("a_total", "A.", 1)
        #expect(report.value("a_total") == 1)
    }

    @Test func queuesTellLengthAndLimit() {
        var report = MetricReport()
        report.queue("dials", length: 9, limit: 10)
        report.queue("streams", length: 8, limit: 10)
        #expect(report.queues.map(\.isNearlyFull) == [true, false])
        #expect(report.value("waggle_queue_length", ["queue": "dials"]) == 9 && report.value("waggle_queue_limit", ["queue": "streams"]) == 10)
    }

    @Test func sameSeriesAddsUp() {
        var report = MetricReport()
        report.counter("a_total", "A.", 3, ["x": "1", "y": "2"])
        report.counter("a_total", "A.", 4, ["y": "2", "x": "1"])
        report.gauge("a_total", "Another kind.", 9)
        #expect(report.value("a_total", ["x": "1", "y": "2"]) == 7)
        #expect(report.text.split(separator: "\n").last == "a_total{x=\"1\",y=\"2\"} 7")
    }

    @Test func escapes() {
        var report = MetricReport()
        report.gauge("a", "One \\ two\nthree \"four\"", 1, ["v": "a\\b\"c\nd"])
        #expect(report.text == "# HELP a One \\\\ two\\nthree \"four\"\n# TYPE a gauge\na{v=\"a\\\\b\\\"c\\nd\"} 1\n")
    }

    @Test(arguments: [
        (0.0, "0"), (-1.0, "-1"), (0.1, "0.1"), (1e-9, "1e-09"), (1e300, "1e+300"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
        (9_007_199_254_740_991, "9007199254740991"),
    ])
    func floats(_ value: Double, _ text: String) { #expect(PrometheusText.number(value) == text) }

    @Test func histogramsAreCumulative() {
        var histogram = Histogram(bounds: [1, 0.5, .infinity, 2])
        for value in [0.25, 0.5, 0.75, 3, .nan] { histogram.record(value) }
        histogram.record(.milliseconds(1500))
        var report = MetricReport()
        report.histogram("h_seconds", "H.", histogram, ["k": "v"])
        #expect(
            report.text == """
                # HELP h_seconds H.
                # TYPE h_seconds histogram
                h_seconds_bucket{k="v",le="0.5"} 2
                h_seconds_bucket{k="v",le="1"} 3
                h_seconds_bucket{k="v",le="2"} 4
                h_seconds_bucket{k="v",le="+Inf"} 5
                h_seconds_sum{k="v"} 6
                h_seconds_count{k="v"} 5

                """)
        #expect(report.value("h_seconds", ["k": "v"]) == 5)
    }

    @Test func seriesOfAFamilyAreBounded() {
        var report = MetricReport()
        for number in 0..<MetricLimits.series * 4 { report.counter("a_total", "A.", 1, ["topic": "t\(number)", "dir": "in"]) }
        #expect(report.text.split(separator: "\n").count == 2 + MetricLimits.series + 1)
        #expect(report.value("a_total", ["topic": MetricReport.others, "dir": MetricReport.others]) == Double(MetricLimits.series * 3))
    }

    @Test func labelValuesAreBoundedAndNamesChecked() {
        var report = MetricReport()
        report.gauge("a", "A.", 1, ["v": String(repeating: "é", count: 1000), "1x": "no", "le": "no", "__r": "no", "v": "twice"])
        report.gauge("bad name", "Never.", 1)
        report.gauge("", "Never.", 1)
        #expect(report.names == ["a"])
        #expect(report.text.hasSuffix("a{v=\"\(String(repeating: "é", count: MetricLimits.labelValue / 2))\"} 1\n"))
    }
}
