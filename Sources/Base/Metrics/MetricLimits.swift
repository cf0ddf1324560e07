/// Bounds of a report, so that no source can make a scrape large.
public enum MetricLimits {
    /// Series of one family; what comes after is summed up in a series whose label values are `MetricReport.others`.
    public static let series = 256
    /// Bytes of a label's value; longer ones are cut.
    public static let labelValue = 128
    /// Bounds of one histogram.
    public static let bounds = 64
}
