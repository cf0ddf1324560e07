import WaggleBase
import WaggleCryptography
import WaggleNetwork

extension GossipMachine {
    // MARK: In

    /// A message from a peer: drop it, wait for its validation, or take it.
    mutating func publish(_ message: GossipMessage, from peer: GossipPeer, at now: Instant) {
        counters.receivedMessages += 1
        guard let topic = topics[message.topic], topic.isJoined else { return }
        topic.counters.received += 1
        if let refusal = refusal(message, topic) {
            if refusal {
                reject(peer, topic, at: now)
                outputs.append(.offence(peer.number, .invalidMessage))
            }
            return
        }
        let (key, id) = identify(message, topic.name, from: peer.id)
        if seen.contains(key) { return duplicate(key, topic, from: peer, at: now) }
        guard hasRoom(for: message, topic, from: peer, at: now) else {
            counters.throttled += 1
            topic.counters.throttled += 1
            // It was sent all the same.
            keepPromises(key)
            return
        }
        _ = seen.insert(key, at: now)
        keepPromises(key)
        if !hintPeers.isEmpty { announced(key) }
        let kept = message.compacted()
        announce(key, id, kept, topic, from: peer, at: now)
        let delivery = PubSubMessage(message: kept, topic: topic.name, receivedFrom: peer.id)
        if policy == .strictSign || topic.hasValidator || validatesAll {
            wait(key, id, delivery, topic, from: peer)
        } else {
            accept(key, id, delivery, topic, from: peer, others: [], at: now)
        }
    }

    /// Whether the message is against the rules of the network; true when the sender is to blame. Nil for a message that may pass.
    private func refusal(_ message: GossipMessage, _ topic: GossipTopic) -> Bool? {
        switch policy {
        case .strictSign:
            guard message.signaturePart.count > 0, message.fromPart.count > 0, message.sequencePart.count == 8 else { return true }
        case .strictNoSign:
            guard !message.signaturePart.isPresent, !message.fromPart.isPresent, !message.sequencePart.isPresent, !message.keyPart.isPresent
            else { return true }
        case .authorOnly:
            guard message.signaturePart.count <= 0 else { return true }
        }
        if let limit = topic.configuration.maximumSize, Int(message.dataPart.count) > limit.bytes { return true }
        // Our own, come around.
        if message.fromPart.count == Int32(local.bytes.count), message.from == local.bytes { return false }
        return nil
    }

    /// The key of a message, and its id where it had to be made.
    private func identify(_ message: GossipMessage, _ topic: TopicID, from peer: PeerID) -> (MessageKey, Bytes?) {
        switch rule.kind {
        case .authorAndSequence: return (hasher.key(message.from, message.sequence), nil)
        case .contentHash:
            let id = SHA256.hash(message.data).withUnsafeBytes { Bytes(copying: $0) }
            return (hasher.key(id), id)
        case .custom(let body):
            let id = body(PubSubMessage(message: message, topic: topic, receivedFrom: peer)).prefix(PubSubLimits.messageID)
            return (hasher.key(id), id)
        }
    }

    private mutating func hasRoom(for message: GossipMessage, _ topic: GossipTopic, from peer: GossipPeer, at now: Instant) -> Bool {
        if peer.bucket?.take(at: now) == false { return false }
        if let rate = topic.configuration.peerRate {
            var bucket = topic.peerBuckets[peer.number] ?? TokenBucket(rate, at: now)
            let isAllowed = bucket.take(at: now)
            topic.peerBuckets[peer.number] = bucket
            if !isAllowed { return false }
        }
        if topic.bucket?.take(at: now) == false { return false }
        guard policy == .strictSign || topic.hasValidator || validatesAll else { return true }
        return pendingCount < PubSubLimits.pending && pendingBytes + message.field.count <= PubSubLimits.pendingBytes.bytes
    }

    private mutating func duplicate(_ key: MessageKey, _ topic: GossipTopic, from peer: GossipPeer, at now: Instant) {
        counters.duplicates += 1
        topic.counters.duplicates += 1
        if parameters.seenIsRefreshed { _ = seen.insert(key, at: now) }
        if let index = validating[key] {
            // Judged together with the first that brought it.
            if pending[index]?.others.contains(where: { $0 === peer }) == false, pending[index]?.sender !== peer {
                pending[index]?.others.append(peer)
            }
            return
        }
        guard parameters.score != nil, let state = seen.state(key) else { return }
        switch state.verdict {
        case .rejected: reject(peer, topic, at: now)
        case .accepted: nearlyFirst(key, topic, peer, acceptedAt: state.acceptedAt, at: now)
        case .waiting, .ignored: break
        }
    }

    // MARK: Validation

    private mutating func wait(_ key: MessageKey, _ id: Bytes?, _ message: PubSubMessage, _ topic: GossipTopic, from peer: GossipPeer) {
        nextGeneration &+= 1
        let entry = Pending(key: key, id: id, message: message, topic: topic, sender: peer, generation: nextGeneration)
        let index: Int
        if let free = freePending.popLast() {
            index = free
            pending[index] = entry
        } else {
            index = pending.count
            pending.append(entry)
        }
        pendingCount += 1
        pendingBytes += message.message.field.count
        peer.pending += 1
        validating[key] = index
        outputs.append(.validate(Ticket(index: index, generation: nextGeneration), message, topic: topic.serial))
    }

    mutating func settle(_ ticket: Ticket, _ verdict: Validation, isForged: Bool = false, at now: Instant) {
        guard ticket.index < pending.count, let entry = pending[ticket.index], entry.generation == ticket.generation else { return }
        pending[ticket.index] = nil
        freePending.append(ticket.index)
        pendingCount -= 1
        pendingBytes -= entry.message.message.field.count
        entry.sender.pending -= 1
        validating[entry.key] = nil
        defer { if !askedEarly.isEmpty { askedEarly[entry.key] = nil } }
        switch verdict {
        case .accept:
            accept(entry.key, entry.id, entry.message, entry.topic, from: entry.sender, others: entry.others, at: now)
        case .reject:
            seen.settle(entry.key, .rejected, at: now)
            for peer in [entry.sender] + entry.others {
                reject(peer, entry.topic, at: now)
                // What a validator thinks is the application's; a signature is nobody's opinion.
                if isForged, peer.isConnected { outputs.append(.offence(peer.number, .forgedMessage)) }
            }
        case .ignore:
            seen.settle(entry.key, .ignored, at: now)
            counters.ignored += 1
            entry.topic.counters.ignored += 1
        }
    }

    private mutating func reject(_ peer: GossipPeer, _ topic: GossipTopic, at now: Instant) {
        counters.rejected += 1
        topic.counters.rejected += 1
        scoreInvalid(peer, topic)
    }

    // MARK: Out

    private mutating func accept(
        _ key: MessageKey, _ id: Bytes?, _ message: PubSubMessage, _ topic: GossipTopic, from peer: GossipPeer, others: [GossipPeer],
        at now: Instant
    ) {
        seen.settle(key, .accepted, at: now)
        scoreDelivery(key, topic, first: peer, others: others, at: now)
        counters.delivered += 1
        topic.counters.delivered += 1
        guard topic.isJoined else { return }
        outputs.append(.deliver(message, topic: topic.serial))
        if parameters.router == .gossipsub { cache.put(key, message.message, id: id, topic: topic.serial) }
        forward(key, message.message, topic, from: peer, at: now)
    }

    /// Sends a message on to the mesh, to direct peers and to those who only speak floodsub, but not where it comes from.
    private mutating func forward(_ key: MessageKey, _ message: GossipMessage, _ topic: GossipTopic, from sender: GossipPeer, at now: Instant) {
        let author = message.from
        let item = Outbox.Item(key: key, field: message.field)
        var targets: [GossipPeer] = []
        if parameters.router == .floodsub {
            targets = topic.peers.filter { $0 !== sender && $0.id.bytes != author }
        } else {
            targets.reserveCapacity(topic.mesh.count)
            for peer in topic.mesh where peer !== sender && peer.id.bytes != author { targets.append(peer) }
            // Whoever is neither in a mesh nor can be: few, if any.
            if !directPeers.isEmpty || hasFloodPeers {
                for peer in topic.peers where peer !== sender && peer.id.bytes != author && (peer.isDirect || !peer.speaksGossip) {
                    if peer.isDirect || score(of: peer, at: now) >= publishThreshold { targets.append(peer) }
                }
            }
        }
        counters.lastFanout = targets.count
        guard let size = parameters.holdBackSize, Int(message.dataPart.count) >= size, parameters.router == .gossipsub,
            releases.count < PubSubLimits.heldBack
        else {
            for peer in targets { send(item, to: peer) }
            return
        }
        forwardLarge(item, to: targets, isFromAuthor: sender.id.bytes == author, at: now)
    }

    mutating func send(_ item: Outbox.Item, to peer: GossipPeer) {
        guard !peer.isUnwanted(item.key) else {
            counters.cancelledMessages += 1
            return
        }
        peer.outbox.forward(item)
        wake(peer)
    }

    /// IDONTWANT to the mesh, as soon as the first copy is here.
    private mutating func announce(
        _ key: MessageKey, _ id: Bytes?, _ message: GossipMessage, _ topic: GossipTopic, from sender: GossipPeer, at now: Instant
    ) {
        guard let size = parameters.doNotWantSize, Int(message.dataPart.count) >= size else { return }
        var field: Bytes?
        // To those who said the same too: they hold it back for us until they hear it.
        for peer in topic.mesh where peer !== sender && peer.version >= .v12 {
            let encoded = field ?? GossipEncoding.doNotWant([id ?? message.standardID])
            field = encoded
            peer.outbox.control(encoded)
            counters.sentDoNotWants += 1
            wake(peer)
        }
    }

    /// The announced message is here.
    private mutating func announced(_ key: MessageKey) { hintPeers[key] = nil }

    // MARK: Our own

    /// Publishes a message of our own; says to how many peers it goes. The shell has validated it.
    package mutating func publish(_ message: PubSubMessage, at now: Instant) -> Int {
        let topic = topic(message.topic)
        let (key, id) = identify(message.message, message.topic, from: local)
        guard seen.insert(key, at: now) else { return 0 }
        seen.settle(key, .accepted, at: now)
        counters.published += 1
        topic.counters.published += 1
        if topic.isJoined { outputs.append(.deliver(message, topic: topic.serial)) }
        if parameters.router == .gossipsub { cache.put(key, message.message, id: id, topic: topic.serial) }
        let item = Outbox.Item(key: key, field: message.message.field)
        let targets = publishTargets(topic, at: now)
        for peer in targets {
            guard !peer.isUnwanted(key) else { continue }
            peer.outbox.publish(item)
            wake(peer)
        }
        counters.lastFanout = targets.count
        forgetIfUnused(topic)
        return targets.count
    }

    private mutating func publishTargets(_ topic: GossipTopic, at now: Instant) -> [GossipPeer] {
        if parameters.router == .floodsub { return topic.peers }
        if !topic.isJoined {
            // Remembered, so that gossip tells of it whoever comes into the topic meanwhile.
            if topic.publishedAt == nil { fanoutTopics.append(topic) }
            topic.publishedAt = now
        }
        if parameters.floodPublish {
            return topic.peers.filter { $0.isDirect || score(of: $0, at: now) >= publishThreshold }
        }
        var targets = topic.peers.filter { $0.isDirect || !$0.speaksGossip && score(of: $0, at: now) >= publishThreshold }
        if topic.isJoined, !topic.mesh.isEmpty { return targets + topic.mesh }
        if topic.fanout.isEmpty || topic.isJoined {
            topic.fanout = Array(
                topic.peers.filter { $0.speaksGossip && !$0.isDirect && score(of: $0, at: now) >= publishThreshold }
                    .shuffled(using: &random).prefix(parameters.degree))
        }
        targets += topic.fanout
        if topic.isJoined { topic.fanout = [] }
        return targets
    }
}
