import WaggleBase

/// What operators see of the exchange of blocks.
extension Bitswap: MetricSource {
    public func report(to report: inout MetricReport) {
        let totals = totals
        let blocks = "Blocks exchanged with peers."
        report.counter("ipfs_bitswap_blocks_total", blocks, UInt64(clamping: totals.blocksReceived), ["dir": "in"])
        report.counter("ipfs_bitswap_blocks_total", blocks, UInt64(clamping: totals.blocksSent), ["dir": "out"])
        let bytes = "Bytes of blocks exchanged with peers."
        report.counter("ipfs_bitswap_bytes_total", bytes, UInt64(clamping: totals.bytesReceived), ["dir": "in"])
        report.counter("ipfs_bitswap_bytes_total", bytes, UInt64(clamping: totals.bytesSent), ["dir": "out"])
        let messages = "Messages exchanged with peers."
        report.counter("ipfs_bitswap_messages_total", messages, UInt64(clamping: totals.messagesReceived), ["dir": "in"])
        report.counter("ipfs_bitswap_messages_total", messages, UInt64(clamping: totals.messagesSent), ["dir": "out"])
        report.counter("ipfs_bitswap_duplicate_blocks_total", "Blocks that were there already.", UInt64(clamping: totals.duplicateBlocks))
        report.counter("ipfs_bitswap_unrequested_blocks_total", "Blocks that nobody asked for.", UInt64(clamping: totals.unrequestedBlocks))
        report.gauge("ipfs_bitswap_wantlist_entries", "Blocks that are being fetched.", totals.wantlist.count)
        report.gauge("ipfs_bitswap_peers", "Connected peers that blocks may be exchanged with.", links.count)
        report.gauge("ipfs_bitswap_sessions", "Readers that are open.", readers.count)
    }
}
