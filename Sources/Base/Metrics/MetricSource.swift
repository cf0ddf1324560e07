/// Something that counts. The counters live where they are counted; a report is made when somebody asks.
public protocol MetricSource: AnyObject, Sendable {
    /// Adds the numbers of this moment. Called on the home loop; must not block.
    func report(to report: inout MetricReport)
}
