import WaggleBase
import WaggleFormats
import WaggleNetwork

extension GossipMachine {
    /// Reads an RPC field by field, without copying or keeping anything but the messages.
    mutating func receive(_ rpc: Bytes, from peer: GossipPeer, at now: Instant) {
        counters.receivedRPCs += 1
        counters.receivedBytes += UInt64(rpc.count)
        guard isHeard(peer, at: now) else {
            counters.graylisted += 1
            return
        }
        var tally = Tally()
        var reader = ProtobufReader(rpc.span)
        do throws(ProtobufError) {
            while let field = try reader.next() {
                switch field.number {
                case 1:
                    tally.subscriptions += 1
                    guard tally.subscriptions <= PubSubLimits.subscriptionsPerRPC else {
                        if !tally.isBlamed { blame(peer, .flood) }
                        tally.isBlamed = true
                        continue
                    }
                    try subscription(try field.message(), rpc, from: peer, at: now)
                case 2:
                    // What one RPC brings may be enough to hear no more of it.
                    guard isHeard(peer, at: now), tally.unreadable <= PubSubLimits.unreadablePerRPC else { return }
                    let range = try field.range()
                    do throws(ProtobufError) {
                        publish(try GossipMessage(rpc, range), from: peer, at: now)
                    } catch {
                        // One message that cannot be read says nothing of the next, but it is the sender's fault.
                        counters.malformed += 1
                        tally.unreadable += 1
                        blame(peer, .malformed)
                    }
                case 3: try control(try field.message(), rpc, &tally, from: peer, at: now)
                default: break
                }
            }
        } catch {
            counters.malformed += 1
            blame(peer, .malformed)
        }
    }

    private func isHeard(_ peer: GossipPeer, at now: Instant) -> Bool { peer.isDirect || score(of: peer, at: now) >= graylistThreshold }

    private mutating func subscription(_ message: consuming ProtobufReader, _ rpc: Bytes, from peer: GossipPeer, at now: Instant) throws(ProtobufError) {
        var isSubscribed = false
        var name = Bytes()
        while let field = try message.next() {
            switch field.number {
            case 1: isSubscribed = try field.bool()
            case 2: name = rpc[try field.range()]
            default: break
            }
        }
        guard !name.isEmpty, name.count <= PubSubLimits.topicName else { return }
        if !isSubscribed {
            guard let topic = topics[name], peer.topics.remove(topic.serial) != nil else { return }
            if !topic.isJoined {
                peer.foreignTopics -= 1
                foreignTopics -= 1
            }
            remove(peer, from: topic, at: now)
            return forgetIfUnused(topic)
        }
        let topic: GossipTopic
        if let known = topics[name] {
            topic = known
        } else {
            // Checked before anything is kept of it.
            guard peer.foreignTopics < PubSubLimits.foreignTopicsPerPeer, foreignTopics < PubSubLimits.foreignTopics else { return }
            let name = TopicID(bytes: Bytes(name.span))
            guard allowsTopic?(name) ?? true else { return }
            topic = self.topic(name)
        }
        guard !topic.isSubscribed(peer) else { return }
        if !topic.isJoined {
            guard peer.foreignTopics < PubSubLimits.foreignTopicsPerPeer, foreignTopics < PubSubLimits.foreignTopics else {
                return forgetIfUnused(topic)
            }
            peer.foreignTopics += 1
            foreignTopics += 1
        }
        peer.topics.insert(topic.serial)
        topic.peers.append(peer)
        outputs.append(.event(.joined(topic.name, peer.id)))
        // A mesh that is too small takes the newcomer at once, not at the next heartbeat.
        if topic.isJoined, parameters.router == .gossipsub, topic.mesh.count < parameters.degree, isCandidate(peer, for: topic, at: now) {
            graft(peer, topic, at: now)
        }
    }
}
