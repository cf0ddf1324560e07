import WaggleBase

/// Large messages: most of the mesh hears that they are here and asks, instead of getting copies that it need not have.
///
/// That needs peers who ask, and they say so in the extensions of gossipsub 1.3; everybody else gets every message at once. The extension and its
/// reasons: `docs/specs/gossip-announced.md`.
extension GossipMachine {
    /// Forwards a message: to a few of those who ask, and to all of the others, at once.
    mutating func forwardLarge(_ item: Outbox.Item, to targets: [GossipPeer], isFromAuthor: Bool, at now: Instant) {
        var asking: [GossipPeer] = []
        var sent = 0
        var isKnown = false
        for peer in targets {
            if peer.isUnwanted(item.key) { isKnown = true }
            if !peer.asks || askedEarly[item.key]?.contains(where: { $0 === peer }) == true {
                send(item, to: peer)
                sent += 1
            } else if !peer.isUnwanted(item.key) {
                asking.append(peer)
            }
        }
        var eager = 0
        if isFromAuthor {
            eager = parameters.eagerPeersFirst
        } else if !isKnown {
            // Once somebody in the mesh has said that he has it, most of the network does, and pushing would mostly send second copies.
            eager = Int(parameters.eagerPeers)
            if Double.random(in: 0..<1, using: &random) < parameters.eagerPeers - Double(eager) { eager += 1 }
        }
        eager = max(0, eager - sent)
        let order = asking.shuffled(using: &random)
        for peer in order.prefix(eager) { send(item, to: peer) }
        let rest = Array(order.dropFirst(eager))
        guard !rest.isEmpty else { return }
        counters.heldBack += UInt64(rest.count)
        heldBack[item.key] = HeldBack(field: item.field, peers: rest)
        for peer in rest { releases.insert(Release(key: item.key, peer: peer), due: now + holdBack(peer)) }
    }

    /// How long a message waits for a peer to ask for it: longer than it takes the peer to hear of it, ask, get it, and say that it is here.
    func holdBack(_ peer: GossipPeer) -> Duration {
        min(parameters.holdBackLimit, (peer.roundTrip ?? parameters.assumedRoundTrip) * 5 / 2 + .milliseconds(10))
    }

    /// The time of a message that was held back has come: it goes out unless the peer got it or has said that it has it.
    mutating func release(_ release: Release) {
        guard let held = withdraw(release.key, from: release.peer), release.peer.isConnected else { return }
        send(Outbox.Item(key: release.key, field: held.field), to: release.peer)
    }

    /// Nothing is held back for the peer any more; nil when nothing was.
    @discardableResult
    mutating func withdraw(_ key: MessageKey, from peer: GossipPeer) -> HeldBack? {
        guard let held = heldBack[key], let index = held.peers.firstIndex(where: { $0 === peer }) else { return nil }
        heldBack[key]?.peers.remove(at: index)
        if held.peers.count == 1 { heldBack[key] = nil }
        return held
    }

    // MARK: Asking

    /// A mesh peer has a large message, and would hold it back from us.
    mutating func hear(_ id: Bytes, _ key: MessageKey, of peer: GossipPeer, at now: Instant) {
        guard parameters.holdBackSize != nil, peer.asks, !seen.contains(key), isMeshPeer(peer) else { return }
        if let known = hintPeers[key] {
            if !known.contains(where: { $0 === peer }) { hintPeers[key]?.append(peer) }
        } else if hints.count < PubSubLimits.hints, peer.hints < PubSubLimits.hintsPerPeer {
            peer.hints += 1
            hintPeers[key] = [peer]
            hints.insert(Hint(key: key, id: Bytes(id.span)), due: now + parameters.announcedPatience)
        }
    }

    private func isMeshPeer(_ peer: GossipPeer) -> Bool {
        for topic in joinedTopics where topic.isInMesh(peer) { return true }
        return false
    }

    /// A message that mesh peers have, and that has not come by any way: asks one of them for it.
    mutating func ask(_ hint: Hint, at now: Instant) {
        guard let announcers = hintPeers.removeValue(forKey: hint.key), !seen.contains(hint.key) else { return }
        let live = announcers.filter { $0.isConnected }
        guard let peer = live.randomElement(using: &random) else { return }
        asked[hint.key] = now
        counters.sentWants += 1
        peer.outbox.control(GossipEncoding.want([hint.id]))
        wake(peer)
        // The next time somebody else is asked.
        let others = live.filter { $0 !== peer }
        guard !others.isEmpty, hints.count < PubSubLimits.hints else { return }
        hintPeers[hint.key] = others
        hints.insert(hint, due: now + holdBack(peer))
    }
}
