import WaggleBase
import WaggleFormats
import WaggleNetwork

extension GossipMachine {
    /// How much of each kind one RPC has brought.
    struct Tally {
        var subscriptions = 0
        var haves = 0
        var wants = 0
        var wantedIDs = 0
        var grafts = 0
        var prunes = 0
        var doNotWants = 0
        var unreadable = 0
        var isBlamed = false
    }

    mutating func control(
        _ message: consuming ProtobufReader, _ rpc: Bytes, _ tally: inout Tally, from peer: GossipPeer, at now: Instant
    ) throws(ProtobufError) {
        var wanted: [Bytes] = []
        while let field = try message.next() {
            let isWithin: Bool
            switch field.number {
            case 1:
                tally.haves += 1
                isWithin = tally.haves <= PubSubLimits.controlsPerRPC
                if isWithin { try have(try field.message(), rpc, from: peer, &wanted, at: now) }
            case 2:
                tally.wants += 1
                isWithin = tally.wants <= PubSubLimits.controlsPerRPC
                if isWithin { try want(try field.message(), rpc, from: peer, &tally.wantedIDs, at: now) }
            case 3:
                tally.grafts += 1
                isWithin = tally.grafts <= PubSubLimits.controlsPerRPC
                if isWithin, let name = try topicName(try field.message(), rpc) { grafted(name, by: peer, at: now) }
            case 4:
                tally.prunes += 1
                isWithin = tally.prunes <= PubSubLimits.controlsPerRPC
                if isWithin { try pruned(try field.message(), rpc, by: peer, at: now) }
            case 5:
                tally.doNotWants += 1
                isWithin = tally.doNotWants <= PubSubLimits.controlsPerRPC
                if isWithin { try doNotWant(try field.message(), rpc, from: peer, at: now) }
            case 6:
                // What it says of itself, once on each of its streams.
                try extensions(try field.message(), of: peer)
                isWithin = !peer.saidExtensions
                peer.saidExtensions = true
            default: isWithin = true
            }
            if !isWithin, !tally.isBlamed {
                tally.isBlamed = true
                blame(peer, .flood)
            }
        }
        if !wanted.isEmpty { ask(peer, for: wanted, at: now) }
    }

    private func extensions(_ message: consuming ProtobufReader, of peer: GossipPeer) throws(ProtobufError) {
        while let field = try message.next() {
            if field.number == GossipEncoding.asksExtension { peer.asks = try field.bool() }
        }
    }

    /// The field `topicID = 1` of a message; nil when it is absent or longer than any.
    private func topicName(_ message: consuming ProtobufReader, _ rpc: Bytes) throws(ProtobufError) -> Bytes? {
        var name: Bytes?
        while let field = try message.next() {
            if field.number == 1 { name = rpc[try field.range()] }
        }
        guard let name, name.count <= PubSubLimits.topicName else { return nil }
        return name
    }

    // MARK: Gossip

    /// IHAVE: collects the ids that we have not seen.
    private mutating func have(
        _ message: consuming ProtobufReader, _ rpc: Bytes, from peer: GossipPeer, _ wanted: inout [Bytes], at now: Instant
    ) throws(ProtobufError) {
        counters.receivedHaves += 1
        peer.haves += 1
        guard parameters.router == .gossipsub, peer.haves <= parameters.haveMessages, peer.asked < parameters.haveIDs,
            score(of: peer, at: now) >= gossipThreshold
        else { return }
        var isJoined = false
        while let field = try message.next() {
            switch field.number {
            case 1: isJoined = topics[rpc[try field.range()]]?.isJoined ?? false
            case 2 where isJoined:
                let id = rpc[try field.range()]
                guard id.count <= PubSubLimits.messageID, peer.asked + wanted.count < parameters.haveIDs else { continue }
                let key = hasher.key(id)
                guard !seen.contains(key) else { continue }
                // Others were asked a moment ago: a second copy is only worth it when they do not answer.
                if let last = asked[key], now - last < .milliseconds(300) { continue }
                if asked.count < PubSubLimits.promises { asked[key] = now }
                wanted.append(id)
            default: break
            }
        }
    }

    /// IWANT for what a peer has told of; it promised one of them, which we remember.
    private mutating func ask(_ peer: GossipPeer, for ids: [Bytes], at now: Instant) {
        peer.asked += ids.count
        counters.sentWants += UInt64(ids.count)
        peer.outbox.control(GossipEncoding.want(ids))
        wake(peer)
        let promised = hasher.key(ids[Int.random(in: 0..<ids.count, using: &random)])
        if promiseCount < PubSubLimits.promises {
            promises[promised, default: []].append((peer, now + parameters.wantPatience))
            promiseCount += 1
        }
    }

    mutating func keepPromises(_ key: MessageKey) {
        guard promiseCount > 0, let kept = promises.removeValue(forKey: key) else { return }
        promiseCount -= kept.count
    }

    /// IWANT: what we have goes out, a few times at most.
    private mutating func want(
        _ message: consuming ProtobufReader, _ rpc: Bytes, from peer: GossipPeer, _ looked: inout Int, at now: Instant
    ) throws(ProtobufError) {
        counters.receivedWants += 1
        guard score(of: peer, at: now) >= gossipThreshold else { return }
        while let field = try message.next() {
            guard field.number == 1 else { continue }
            looked += 1
            guard looked <= PubSubLimits.wantsPerRPC else { return }
            let key = hasher.key(rpc[try field.range()])
            guard let entry = cache[key] else {
                // It goes out when it has been validated.
                if validating[key] != nil, peer.asks, askedEarly[key]?.contains(where: { $0 === peer }) != true {
                    askedEarly[key, default: []].append(peer)
                }
                continue
            }
            guard cache.countSending(key, to: peer.number) <= parameters.retransmissions else { continue }
            // Asking takes back what it said it does not want, and it needs no second copy from what is held back.
            unwantedCount -= peer.allow(key)
            peer.outbox.forward(Outbox.Item(key: key, field: entry.message.field))
            wake(peer)
            withdraw(key, from: peer)
        }
    }

    /// IDONTWANT: what is queued is cancelled. A mesh peer that says so has the message, so we can ask it. Spec: gossipsub 1.2.
    private mutating func doNotWant(_ message: consuming ProtobufReader, _ rpc: Bytes, from peer: GossipPeer, at now: Instant) throws(ProtobufError) {
        counters.receivedDoNotWants += 1
        peer.doNotWants += 1
        guard peer.doNotWants <= parameters.doNotWants else { return }
        var count = 0
        while let field = try message.next() {
            guard field.number == 1 else { continue }
            count += 1
            guard count <= parameters.doNotWantIDs else { return }
            let id = rpc[try field.range()]
            guard id.count <= PubSubLimits.messageID else { continue }
            let key = hasher.key(id)
            if unwantedCount < PubSubLimits.unwanted, peer.refuse(key) { unwantedCount += 1 }
            hear(id, key, of: peer, at: now)
        }
    }

    // MARK: Mesh

    private mutating func grafted(_ name: Bytes, by peer: GossipPeer, at now: Instant) {
        counters.receivedGrafts += 1
        // Silence for topics that we do not know: an answer to each would be the attacker's gain.
        guard parameters.router == .gossipsub, let topic = topics[name], topic.isJoined, peer.speaksGossip else { return }
        guard !topic.isInMesh(peer) else { return }
        if peer.isDirect {
            // Direct peers are outside of every mesh; theirs must be a mistake.
            return sendPrune(peer, topic, backOff: parameters.pruneBackOff, exchanging: false, at: now)
        }
        if let until = topic.backOff[peer.id], now < until {
            penalize(peer, 1)
            // Within moments of the PRUNE: that is no matter of clocks.
            let floodEnd = until - parameters.pruneBackOff + parameters.graftFlood
            if now < floodEnd {
                penalize(peer, 1)
                outputs.append(.offence(peer.number, .flood))
            }
            setBackOff(peer.id, topic, parameters.pruneBackOff, at: now)
            return sendPrune(peer, topic, backOff: parameters.pruneBackOff, exchanging: false, at: now)
        }
        if score(of: peer, at: now) < 0 {
            setBackOff(peer.id, topic, parameters.pruneBackOff, at: now)
            return sendPrune(peer, topic, backOff: parameters.pruneBackOff, exchanging: false, at: now)
        }
        // A full mesh opens only for those we dialed ourselves, who cannot all be an attacker's.
        if topic.mesh.count >= parameters.degreeHigh, !peer.isOutbound {
            setBackOff(peer.id, topic, parameters.pruneBackOff, at: now)
            return sendPrune(peer, topic, backOff: parameters.pruneBackOff, exchanging: true, at: now)
        }
        // A GRAFT says that it subscribes, should its announcement be lost.
        if !topic.isSubscribed(peer) {
            peer.topics.insert(topic.serial)
            topic.peers.append(peer)
            outputs.append(.event(.joined(topic.name, peer.id)))
        }
        enterMesh(peer, topic, at: now)
    }

    private mutating func pruned(_ message: consuming ProtobufReader, _ rpc: Bytes, by peer: GossipPeer, at now: Instant) throws(ProtobufError) {
        counters.receivedPrunes += 1
        var name: Bytes?
        var seconds: UInt64?
        var advice: [PeerAdvice] = []
        while let field = try message.next() {
            switch field.number {
            case 1: name = rpc[try field.range()]
            case 2 where advice.count < PubSubLimits.exchangedPeers:
                var info = try field.message()
                var id: Bytes?
                var record: Bytes?
                while let part = try info.next() {
                    switch part.number {
                    case 1: id = rpc[try part.range()]
                    case 2: record = rpc[try part.range()]
                    default: break
                    }
                }
                guard let id, let record, !record.isEmpty else { continue }
                // A name that is none is skipped; the others may be good.
                do { advice.append(PeerAdvice(peer: try PeerID(bytes: Bytes(id.span)), record: Bytes(record.span))) } catch { continue }
            case 3: seconds = try field.uint64()
            default: break
            }
        }
        guard parameters.router == .gossipsub, let name, let topic = topics[name], topic.isJoined else { return }
        if topic.isInMesh(peer) { leaveMesh(peer, topic, at: now) }
        // Clamped before it becomes a duration: the number may be anything.
        let longest = UInt64(PubSubLimits.longestBackOff.components.seconds)
        let backOff = seconds.map { Duration.seconds(Int64(min(max($0, 1), longest))) } ?? parameters.pruneBackOff
        setBackOff(peer.id, topic, backOff, at: now)
        guard !advice.isEmpty, score(of: peer, at: now) >= exchangeThreshold else { return }
        let strangers = advice.filter { connected[$0.peer] == nil && $0.peer != local }
        if !strangers.isEmpty { outputs.append(.connect(strangers)) }
    }
}
