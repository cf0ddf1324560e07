import Synchronization
import WaggleBase
import WaggleNetwork

extension Kademlia: MetricSource {
    /// The numbers of this node's part in the network, each with the network's prefix as label.
    public func report(to report: inout MetricReport) {
        guard let core = registered else { return }
        let network = configuration.prefix
        let (peers, records, values, asked) = core.responder.state.withLock { state in
            (state.table.count, state.providers.count, state.values.count, state.counters)
        }
        report.gauge("libp2p_kad_routing_table_peers", "Peers in the routing table.", peers, ["network": network])
        report.gauge("libp2p_kad_provider_records", "Provider records kept for others.", records, ["network": network])
        report.gauge("libp2p_kad_values", "Values kept for others.", values, ["network": network])
        report.gauge("libp2p_kad_server", "Whether this node answers others.", core.isServer ? 1 : 0, ["network": network])
        report.gauge(
            "libp2p_kad_network_size_estimate", "Servers that the network seems to have.", core.networkSize.estimate ?? 0, ["network": network])
        let help = "Requests received, by type."
        let name = "libp2p_kad_received_requests_total"
        report.counter(name, help, asked.findNode, ["network": network, "type": "FIND_NODE"])
        report.counter(name, help, asked.getProviders, ["network": network, "type": "GET_PROVIDERS"])
        report.counter(name, help, asked.addProvider, ["network": network, "type": "ADD_PROVIDER"])
        report.counter(name, help, asked.getValue, ["network": network, "type": "GET_VALUE"])
        report.counter(name, help, asked.putValue, ["network": network, "type": "PUT_VALUE"])
        report.counter(name, help, asked.pings, ["network": network, "type": "PING"])
        report.counter("libp2p_kad_refused_requests_total", "Requests that were malformed or against a rule.", asked.refused, ["network": network])
        let own = core.statistics
        report.counter("libp2p_kad_sent_requests_total", "Requests answered by others.", own.requests, ["network": network])
        report.counter("libp2p_kad_failed_requests_total", "Requests that others did not answer.", own.failures, ["network": network])
        report.counter("libp2p_kad_lookups_total", "Searches.", own.lookups, ["network": network])
        report.counter("libp2p_kad_lookup_hops_total", "Steps of all searches.", own.hops, ["network": network])
        report.counter("libp2p_kad_crowded_lookups_total", "Searches that met a suspicious crowd.", own.crowdedLookups, ["network": network])
        report.histogram("libp2p_kad_request_seconds", "Time to an answer, dialing included.", own.latency, ["network": network])
    }
}
