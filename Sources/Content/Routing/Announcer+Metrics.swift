import WaggleBase

/// What operators see of announcing.
extension Announcer: MetricSource {
    public func report(to report: inout MetricReport) {
        let now = current
        report.gauge("ipfs_provide_queue_entries", "Blocks that wait for their first announcement.", now.queuedKeys)
        report.gauge("ipfs_provide_scheduled_keys", "Blocks that are announced again and again.", now.scheduledKeys)
        report.gauge("ipfs_provide_overdue_regions", "Regions of the key space whose turn has passed.", now.overdueRegions)
        let keys = "Blocks announced, new ones and again."
        report.counter("ipfs_provide_keys_total", keys, UInt64(clamping: now.newKeys), ["source": "new"])
        report.counter("ipfs_provide_keys_total", keys, UInt64(clamping: now.sweptKeys), ["source": "sweep"])
        report.counter("ipfs_provide_records_total", "Provider records that others took.", UInt64(clamping: now.recordsStored))
        report.counter("ipfs_provide_failed_keys_total", "Blocks that nobody could be told of.", UInt64(clamping: now.keysFailed))
        report.counter("ipfs_provide_dropped_keys_total", "New blocks for which the queue had no room; the sweep finds them.", UInt64(clamping: now.droppedKeys))
        report.counter("ipfs_provide_lookups_total", "Searches that announcing took.", UInt64(clamping: now.lookups))
    }
}
