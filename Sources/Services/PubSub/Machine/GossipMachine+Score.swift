import WaggleBase
import WaggleNetwork

/// The judgement of peers. Spec: libp2p gossipsub 1.1, section "Peer Scoring".
extension GossipMachine {
    var gossipThreshold: Double { parameters.score?.gossipThreshold ?? -.infinity }
    var publishThreshold: Double { parameters.score?.publishThreshold ?? -.infinity }
    var graylistThreshold: Double { parameters.score?.graylistThreshold ?? -.infinity }
    var exchangeThreshold: Double { parameters.score?.exchangeThreshold ?? 0 }

    func scoreParameters(of topic: Int) -> ScoreParameters.Topic? {
        topicsBySerial[topic]?.configuration.score ?? parameters.score?.topic
    }

    /// The score of a peer; known until something about the peer, or a decay, changes it.
    func score(of peer: GossipPeer, at now: Instant) -> Double {
        if let known = peer.knownScore { return known }
        guard let rules = parameters.score else {
            peer.knownScore = 0
            return 0
        }
        var value = peer.score.value(rules, { scoreParameters(of: $0) }, at: now)
        if let ip = peer.ip, let count = perAddress[ip], count > rules.colocationThreshold, !rules.colocationExempt.contains(where: { $0.contains(ip) }) {
            let surplus = Double(count - rules.colocationThreshold)
            value += surplus * surplus * rules.colocationWeight
        }
        peer.knownScore = value
        return value
    }

    /// The score of a connected peer, for those who look in; nil for others.
    package func score(of id: PeerID, at now: Instant) -> Double? { connected[id].map { score(of: $0, at: now) } }

    /// P7.
    mutating func penalize(_ peer: GossipPeer, _ count: Double) {
        guard parameters.score != nil else { return }
        peer.score.behaviour += count
        peer.knownScore = nil
    }

    /// P7, and the word to the rest of the node.
    mutating func blame(_ peer: GossipPeer, _ offence: GossipOffence) {
        penalize(peer, 1)
        outputs.append(.offence(peer.number, offence))
    }

    /// One more or less on an address concerns all there.
    func noteColocation(_ peer: GossipPeer) {
        guard let ip = peer.ip, let rules = parameters.score, (perAddress[ip] ?? 0) >= rules.colocationThreshold else { return }
        for other in connected.values where other.ip == ip { other.knownScore = nil }
    }

    // MARK: Deliveries

    /// P2 for who was first, P3 for all of the mesh who brought it before it was accepted.
    mutating func scoreDelivery(_ key: MessageKey, _ topic: GossipTopic, first: GossipPeer, others: [GossipPeer], at now: Instant) {
        guard parameters.score != nil, let rules = scoreParameters(of: topic.serial) else { return }
        var counters = first.score[topic.serial]
        counters.firstDeliveries = min(counters.firstDeliveries + 1, rules.firstDeliveriesCap)
        if counters.graftedAt != nil { counters.meshDeliveries = min(counters.meshDeliveries + 1, rules.meshDeliveriesCap) }
        first.score[topic.serial] = counters
        // The sums that thresholds are compared with may lag behind good news until the next decay.
        guard rules.meshDeliveriesWeight != 0 else { return }
        for peer in others { countMeshDelivery(peer, topic, rules) }
        guard nearFirst.count < PubSubLimits.promises else { return }
        nearFirst[key] = [first] + others
        nearFirstOrder.append((now + rules.meshDeliveriesWindow, key))
        while let oldest = nearFirstOrder.first, oldest.until < now {
            nearFirstOrder.popFirst()
            nearFirst[oldest.key] = nil
        }
    }

    private func countMeshDelivery(_ peer: GossipPeer, _ topic: GossipTopic, _ rules: ScoreParameters.Topic) {
        var counters = peer.score[topic.serial]
        guard counters.graftedAt != nil else { return }
        counters.meshDeliveries = min(counters.meshDeliveries + 1, rules.meshDeliveriesCap)
        peer.score[topic.serial] = counters
    }

    /// A copy of an accepted message: it counts for P3 when it comes soon after, once for each peer.
    mutating func nearlyFirst(_ key: MessageKey, _ topic: GossipTopic, _ peer: GossipPeer, acceptedAt: Instant, at now: Instant) {
        guard let rules = scoreParameters(of: topic.serial), rules.meshDeliveriesWeight != 0, now - acceptedAt <= rules.meshDeliveriesWindow,
            let counted = nearFirst[key], !counted.contains(where: { $0 === peer })
        else { return }
        nearFirst[key]?.append(peer)
        countMeshDelivery(peer, topic, rules)
    }

    /// P4.
    mutating func scoreInvalid(_ peer: GossipPeer, _ topic: GossipTopic) {
        guard parameters.score != nil, scoreParameters(of: topic.serial) != nil else { return }
        peer.score[topic.serial].invalid += 1
        peer.knownScore = nil
    }

    // MARK: Meshes

    func scoreGraft(_ peer: GossipPeer, _ topic: GossipTopic, at now: Instant) {
        guard parameters.score != nil else { return }
        var counters = peer.score[topic.serial]
        counters.graftedAt = now
        counters.isActive = false
        peer.score[topic.serial] = counters
    }

    /// What the peer owed the mesh when it left stays with it.
    func scorePrune(_ peer: GossipPeer, _ topic: GossipTopic) {
        guard parameters.score != nil, let rules = scoreParameters(of: topic.serial) else { return }
        var counters = peer.score[topic.serial]
        let missing = counters.deficit(rules)
        counters.meshFailure += missing * missing
        counters.graftedAt = nil
        counters.isActive = false
        peer.score[topic.serial] = counters
        peer.knownScore = nil
    }

    // MARK: Time

    mutating func decay(at now: Instant) {
        guard let rules = parameters.score, now >= nextDecay else { return }
        var intervals = 0
        while nextDecay <= now, intervals < 64 {
            nextDecay = nextDecay + rules.decayInterval
            intervals += 1
        }
        if nextDecay <= now { nextDecay = now + rules.decayInterval }
        for peer in peers {
            guard let peer else { continue }
            for _ in 0..<intervals { peer.score.decay(rules, { scoreParameters(of: $0) }, at: now) }
            peer.knownScore = nil
        }
        retained = retained.filter { $0.value.until > now }
    }

    /// Who leaves with a bad score finds it again.
    mutating func retain(_ peer: GossipPeer, at now: Instant) {
        guard let rules = parameters.score else { return }
        peer.score.leaveMeshes()
        // P6 belongs to the address, P1 and P2 to being here: only what is held against the peer is kept.
        guard peer.score.value(rules, { scoreParameters(of: $0) }, at: now) < 0, retained.count < PubSubLimits.retainedScores else { return }
        retained[peer.id] = (peer.score, now + rules.retention)
    }

    /// Those who said they have a message, were asked and did not send it.
    mutating func punishBrokenPromises(at now: Instant) {
        guard promiseCount > 0 else { return }
        // In an order that does not depend on the hash table.
        var broken: [(number: UInt32, peer: GossipPeer)] = []
        for (key, entries) in promises {
            let open = entries.filter { $0.until > now }
            guard open.count < entries.count else { continue }
            for entry in entries where entry.until <= now { broken.append((entry.peer.number, entry.peer)) }
            promiseCount -= entries.count - open.count
            promises[key] = open.isEmpty ? nil : open
        }
        for (_, peer) in broken.sorted(by: { $0.number < $1.number }) where peer.isConnected {
            counters.brokenPromises += 1
            penalize(peer, 1)
        }
    }
}
