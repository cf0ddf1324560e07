import Synchronization
import WaggleBase
import WaggleNetwork

/// What publish-subscribe tells the node about itself and its peers.
extension PubSub: MetricSource {
    public func report(to report: inout MetricReport) {
        let (counters, topics, peers, seen, cached, pending) = state.withLock { state in
            guard let machine = state.machine.take() else { return (GossipCounters(), [], 0, 0, 0, 0) }
            let result = (machine.counters, machine.topicCounters, machine.peerCount, machine.seenCount, machine.cachedCount, machine.pendingCount)
            state.machine = consume machine
            return result
        } as (GossipCounters, [(topic: TopicID, mesh: Int, peers: Int, counters: TopicCounters)], Int, Int, Int, Int)

        report.declare("p2p_msgs_total", "Messages of a topic, received and published", .counter)
        report.declare("gossipsub_mesh_peers", "Peers in the mesh of a topic", .gauge)
        report.declare("gossipsub_duplicate_messages_total", "Messages that came again", .counter)
        // The busiest topics have a label of their own; the rest is one sum.
        let busiest = topics.sorted { $0.counters.received + $0.counters.published > $1.counters.received + $1.counters.published }
        for (index, row) in busiest.enumerated() {
            let label = index < PubSubLimits.topicsInMetrics ? row.topic.description : MetricReport.others
            report.counter("p2p_msgs_total", "Messages of a topic, received and published", row.counters.received &+ row.counters.published, ["topic": label])
            report.gauge("gossipsub_mesh_peers", "Peers in the mesh of a topic", row.mesh, ["topic": label])
            report.gauge("gossipsub_topic_peers", "Connected peers that subscribe to a topic", row.peers, ["topic": label])
            report.counter("gossipsub_duplicate_messages_total", "Messages that came again", row.counters.duplicates, ["topic": label])
            report.counter("gossipsub_delivered_messages_total", "Messages delivered and forwarded", row.counters.delivered, ["topic": label])
            report.counter("gossipsub_rejected_messages_total", "Messages that validation rejected", row.counters.rejected, ["topic": label])
            report.counter("gossipsub_throttled_messages_total", "Messages dropped for lack of room or tokens", row.counters.throttled, ["topic": label])
        }
        report.gauge("p2p_gossip_fanout", "Peers that the last message went to", counters.lastFanout)
        report.gauge("gossipsub_peers", "Connected peers that speak publish-subscribe", peers)
        report.gauge("gossipsub_topics", "Topics that are joined", topics.count)
        report.gauge("gossipsub_seen_messages", "Message ids remembered", seen)
        report.gauge("gossipsub_cached_messages", "Messages kept for those who ask", cached)
        report.gauge("gossipsub_pending_validations", "Messages that wait for validation", pending)
        report.counter("gossipsub_rpcs_total", "RPCs", counters.receivedRPCs, ["dir": "in"])
        report.counter("gossipsub_rpcs_total", "RPCs", counters.sentRPCs, ["dir": "out"])
        report.counter("gossipsub_messages_total", "Messages in RPCs", counters.receivedMessages, ["dir": "in"])
        report.counter("gossipsub_messages_total", "Messages in RPCs", counters.sentMessages, ["dir": "out"])
        for (kind, received, sent) in [
            ("graft", counters.receivedGrafts, counters.sentGrafts), ("prune", counters.receivedPrunes, counters.sentPrunes),
            ("ihave", counters.receivedHaves, counters.sentHaves), ("iwant", counters.receivedWants, counters.sentWants),
            ("idontwant", counters.receivedDoNotWants, counters.sentDoNotWants),
        ] {
            report.counter("gossipsub_control_messages_total", "Control messages; IWANTs sent are counted by ids", received, ["kind": kind, "dir": "in"])
            report.counter("gossipsub_control_messages_total", "Control messages; IWANTs sent are counted by ids", sent, ["kind": kind, "dir": "out"])
        }
        report.counter("gossipsub_cancelled_messages_total", "Messages not sent because the peer has them", counters.cancelledMessages)
        report.counter("gossipsub_dropped_messages_total", "Messages not sent because a peer is too slow", counters.droppedMessages)
        report.counter("gossipsub_broken_promises_total", "Messages that a peer said it has and did not send", counters.brokenPromises)
        report.counter("gossipsub_heartbeats_total", "Heartbeats", counters.heartbeats)
        for (reason, count) in [
            ("gossip-rejected", counters.rejected), ("gossip-malformed", counters.malformed), ("gossip-graylisted", counters.graylisted),
            ("gossip-throttled", counters.throttled),
        ] {
            report.counter("p2p_rejects_total", "What was turned away", count, ["reason": reason])
        }
    }

    /// Tells the node's reputation of what a peer alone is to blame for.
    func report(_ peer: PeerID, _ offence: GossipOffence, _ swarm: Swarm) {
        swarm.note(.debug, "a peer misbehaves in publish-subscribe", [LogField("peer", peer.short), LogField("offence", "\(offence)")])
        switch offence {
        case .malformed: swarm.reputation.report(peer, .malformedMessage)
        case .forgedMessage: swarm.reputation.report(peer, .forgedMessage)
        case .invalidMessage: swarm.reputation.report(peer, .unlawfulMessage)
        case .flood: swarm.reputation.report(peer, .gossipFlood)
        }
    }
}

extension Offence {
    /// A message with a wrong signature: whoever speaks the protocol verifies before forwarding.
    public static let forgedMessage = Offence("forged-message", weight: 20)
    /// A message signed where the network's messages are not, or the reverse: a node that is set up wrongly, or worse.
    public static let unlawfulMessage = Offence("unlawful-message", weight: 1)
    /// Subscriptions or control messages beyond all need, or GRAFTs against the rules.
    public static let gossipFlood = Offence("gossip-flood", weight: 5)
}

extension GossipMachine {
    var peerCount: Int { connected.count }
    var seenCount: Int { seen.count }
    var cachedCount: Int { cache.count }
}
