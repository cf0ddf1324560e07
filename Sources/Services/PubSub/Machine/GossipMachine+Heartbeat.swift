import WaggleBase
import WaggleNetwork

/// The upkeep of meshes, once a second. Spec: libp2p gossipsub 1.0, section "Heartbeat", and 1.1, section "Heartbeat Maintenance".
extension GossipMachine {
    mutating func heartbeat(at now: Instant) {
        ticks += 1
        counters.heartbeats += 1
        decay(at: now)
        seen.expire(at: now)
        for peer in peers {
            guard let peer else { continue }
            // Once a heartbeat at most, however often it begins anew.
            if peer.isRenewed { introduce(peer, at: now) }
            peer.isRenewed = false
            counters.droppedMessages += UInt64(peer.outbox.takeDropped())
            peer.haves = 0
            peer.asked = 0
            peer.doNotWants = 0
            peer.hints = 0
            guard !peer.unwanted.isEmpty else { continue }
            peer.unwanted.insert([], at: 0)
            if peer.unwanted.count > parameters.doNotWantLifetime { unwantedCount -= peer.unwanted.removeLast().count }
            if peer.unwanted.allSatisfy(\.isEmpty) { peer.unwanted = [] }
        }
        if !asked.isEmpty { asked = asked.filter { now - $0.value < parameters.wantPatience } }
        punishBrokenPromises(at: now)
        guard parameters.router == .gossipsub else { return }
        if ticks % 15 == 0 {
            for topic in joinedTopics where !topic.backOff.isEmpty { topic.backOff = topic.backOff.filter { $0.value > now } }
        }
        if ticks % 300 == 1, !directPeers.isEmpty {
            let missing = directPeers.filter { connected[$0] == nil }.sorted()
            if !missing.isEmpty { outputs.append(.dial(missing)) }
        }
        for topic in joinedTopics {
            maintain(topic, at: now)
            gossip(topic, besides: topic.mesh, at: now)
        }
        for topic in fanoutTopics { maintainFanout(topic, at: now) }
        fanoutTopics.removeAll { $0.publishedAt == nil }
        cache.shift()
    }

    private mutating func maintain(_ topic: GossipTopic, at now: Instant) {
        // Who has a negative score leaves, and hears of no others.
        for peer in topic.mesh where score(of: peer, at: now) < 0 { prune(peer, topic, exchanging: false, at: now) }
        if topic.mesh.count < parameters.degreeLow {
            for peer in candidates(parameters.degree - topic.mesh.count, for: topic, at: now) { graft(peer, topic, at: now) }
        }
        if topic.mesh.count > parameters.degreeHigh { cut(topic, at: now) }
        if topic.mesh.count >= parameters.degreeLow {
            let outbound = topic.mesh.reduce(0) { $0 + ($1.isOutbound ? 1 : 0) }
            if outbound < parameters.degreeOutbound {
                for peer in candidates(parameters.degreeOutbound - outbound, for: topic, at: now, isDialed: true) { graft(peer, topic, at: now) }
            }
        }
        guard let rules = parameters.score, ticks % max(1, parameters.opportunisticTicks) == 0, topic.mesh.count > 1 else { return }
        // A mesh that brings little is stuck with the wrong peers: better ones join it.
        let scores = topic.mesh.map { score(of: $0, at: now) }.sorted()
        let median = scores[scores.count / 2]
        guard median < rules.opportunisticThreshold else { return }
        let better = candidates(parameters.opportunisticPeers, for: topic, at: now, above: median)
        for peer in better { graft(peer, topic, at: now) }
    }

    /// Too many: the best stay, then whom chance chooses, with enough of those we dialed among them.
    private mutating func cut(_ topic: GossipTopic, at now: Instant) {
        var order = topic.mesh.shuffled(using: &random)
        // Sorted with the shuffled position as tie-break, so that equals are chosen by chance.
        order = order.enumerated().map { ($0.offset, $0.element, score(of: $0.element, at: now)) }
            .sorted { $0.2 > $1.2 || $0.2 == $1.2 && $0.0 < $1.0 }.map { $0.1 }
        let best = Array(order.prefix(parameters.degreeScore))
        let rest = Array(order.dropFirst(parameters.degreeScore)).shuffled(using: &random)
        var kept = best + rest.prefix(max(0, parameters.degree - best.count))
        var outbound = kept.reduce(0) { $0 + ($1.isOutbound ? 1 : 0) }
        for peer in rest.dropFirst(max(0, parameters.degree - best.count)) where outbound < parameters.degreeOutbound && peer.isOutbound {
            // In place of the last one that we did not dial and that is not among the best.
            guard let index = kept.indices.dropFirst(best.count).last(where: { !kept[$0].isOutbound }) else { break }
            kept[index] = peer
            outbound += 1
        }
        for peer in topic.mesh where !kept.contains(where: { $0 === peer }) { prune(peer, topic, exchanging: true, at: now) }
    }

    // MARK: Choosing

    func isCandidate(_ peer: GossipPeer, for topic: GossipTopic, at now: Instant) -> Bool {
        guard peer.speaksGossip, !peer.isDirect, peer.isConnected, !topic.isInMesh(peer) else { return false }
        // With some slack: the other side's clock may lag behind ours by a heartbeat.
        if let until = topic.backOff[peer.id], now < until + parameters.heartbeat { return false }
        return score(of: peer, at: now) >= 0
    }

    /// At most `count` peers of the topic that may come into the mesh, by chance: with `isDialed` of those we dialed, with `above` of those who score
    /// better.
    mutating func candidates(
        _ count: Int, for topic: GossipTopic, at now: Instant, isDialed: Bool = false, above least: Double = -.infinity
    ) -> [GossipPeer] {
        guard count > 0 else { return [] }
        let fit = topic.peers.filter { peer in
            isCandidate(peer, for: topic, at: now) && (!isDialed || peer.isOutbound) && (least == -.infinity || score(of: peer, at: now) > least)
        }
        return choose(count, of: fit)
    }

    private mutating func choose(_ count: Int, of peers: [GossipPeer]) -> [GossipPeer] {
        var peers = peers
        let count = min(count, peers.count)
        for index in 0..<count {
            let other = Int.random(in: index..<peers.count, using: &random)
            peers.swapAt(index, other)
        }
        return Array(peers.prefix(count))
    }

    // MARK: In and out

    mutating func graft(_ peer: GossipPeer, _ topic: GossipTopic, at now: Instant) {
        enterMesh(peer, topic, at: now)
        peer.outbox.graft(topic.serial, topic.graft)
        counters.sentGrafts += 1
        wake(peer)
    }

    mutating func enterMesh(_ peer: GossipPeer, _ topic: GossipTopic, at now: Instant) {
        topic.mesh.append(peer)
        scoreGraft(peer, topic, at: now)
        outputs.append(.event(.grafted(topic.name, peer.id)))
    }

    private mutating func prune(_ peer: GossipPeer, _ topic: GossipTopic, exchanging: Bool, at now: Instant) {
        leaveMesh(peer, topic, at: now)
        setBackOff(peer.id, topic, parameters.pruneBackOff, at: now)
        sendPrune(peer, topic, backOff: parameters.pruneBackOff, exchanging: exchanging, at: now)
    }

    mutating func leaveMesh(_ peer: GossipPeer, _ topic: GossipTopic, at now: Instant) {
        topic.mesh.removeAll { $0 === peer }
        scorePrune(peer, topic)
        outputs.append(.event(.pruned(topic.name, peer.id)))
    }

    func setBackOff(_ id: PeerID, _ topic: GossipTopic, _ duration: Duration, at now: Instant) {
        let until = now + duration
        if let known = topic.backOff[id], known >= until { return }
        if topic.backOff[id] == nil, topic.backOff.count >= PubSubLimits.backOffsPerTopic { return }
        topic.backOff[id] = until
    }

    mutating func sendPrune(_ peer: GossipPeer, _ topic: GossipTopic, backOff: Duration, exchanging: Bool, at now: Instant) {
        counters.sentPrunes += 1
        var exchanged: [Outbox.PeerExchange] = []
        if exchanging, parameters.exchangedPeers > 0, peer.version >= .v11, score(of: peer, at: now) >= 0 {
            let good = topic.peers.filter { $0 !== peer && $0.speaksGossip && score(of: $0, at: now) >= 0 }
            exchanged = choose(parameters.exchangedPeers, of: good).map { Outbox.PeerExchange(peer: $0.id.bytes, record: records($0.id)) }
        }
        let seconds = peer.version >= .v11 ? UInt64(max(1, backOff.components.seconds)) : nil
        peer.outbox.prune(topic.serial, topic.name, backOff: seconds, exchanged: exchanged)
        wake(peer)
    }

    // MARK: Gossip

    /// IHAVE to a part of those outside the mesh.
    private mutating func gossip(_ topic: GossipTopic, besides members: [GossipPeer], at now: Instant) {
        let messages = cache.gossip(of: topic.serial)
        guard !messages.isEmpty else { return }
        let fit = topic.peers.filter { peer in !peer.isDirect && !members.contains { $0 === peer } && hearsGossip(peer, at: now) }
        let count = max(parameters.degreeLazy, Int(Double(fit.count) * parameters.gossipFactor))
        tell(messages, of: topic, to: choose(count, of: fit))
    }

    func hearsGossip(_ peer: GossipPeer, at now: Instant) -> Bool { peer.speaksGossip && score(of: peer, at: now) >= gossipThreshold }

    /// IHAVE with these messages.
    mutating func tell(_ messages: [(key: MessageKey, entry: MessageCache.Entry)], of topic: GossipTopic, to chosen: [GossipPeer]) {
        guard !messages.isEmpty, !chosen.isEmpty else { return }
        func ids(_ messages: some Sequence<(key: MessageKey, entry: MessageCache.Entry)>) -> [Bytes] {
            messages.map { $0.entry.id ?? $0.entry.message.standardID }
        }
        if messages.count <= parameters.haveIDs {
            // One field for all.
            let field = GossipEncoding.have(topic.name.bytes, ids(messages))
            for peer in chosen { tell(field, peer) }
        } else {
            // Each hears of others, so that together they hear of all.
            for peer in chosen {
                let some = messages.shuffled(using: &random).prefix(parameters.haveIDs)
                tell(GossipEncoding.have(topic.name.bytes, ids(some)), peer)
            }
        }
    }

    private mutating func tell(_ field: Bytes, _ peer: GossipPeer) {
        counters.sentHaves += 1
        peer.outbox.tell(field)
        wake(peer)
    }

    private mutating func maintainFanout(_ topic: GossipTopic, at now: Instant) {
        guard let publishedAt = topic.publishedAt, now - publishedAt <= parameters.fanoutLifetime else {
            topic.fanout = []
            topic.publishedAt = nil
            return forgetIfUnused(topic)
        }
        // All got it who were there; those who came since have to be told.
        if parameters.floodPublish { return gossip(topic, besides: [], at: now) }
        topic.fanout.removeAll { score(of: $0, at: now) < publishThreshold }
        if topic.fanout.count < parameters.degree {
            let members = topic.fanout
            let fit = topic.peers.filter { peer in
                peer.speaksGossip && !peer.isDirect && !members.contains { $0 === peer } && score(of: peer, at: now) >= publishThreshold
            }
            topic.fanout += choose(parameters.degree - members.count, of: fit)
        }
        gossip(topic, besides: topic.fanout, at: now)
    }
}
