import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The streams with peers: some inbound ones of which the newest count, and one of our own to each peer for as long as it is connected.
extension PubSub {
    // MARK: Reading

    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        guard let version = GossipVersion(stream.protocolID), let lane = attach(stream.connection, version) else { return stream.reset() }
        let reading = lane.beginReading()
        // Whoever begins anew may have forgotten what we said before.
        if reading > 1 { step { $0.handle(.renewed(lane.number), at: $1) } }
        var frames = FrameReader(limit: PubSubLimits.rpc)
        var batch: ContiguousArray<Bytes> = []
        while let piece = try await stream.read() {
            // Newer streams have taken over.
            guard lane.isReading(reading) else { return stream.reset(StreamResetCode.supplanted) }
            frames.feed(piece)
            do throws(FrameError) {
                // RPCs of nothing cost whoever sends them one byte.
                while let rpc = try frames.next() { if !rpc.isEmpty { batch.append(rpc) } }
            } catch {
                step { $0.handle(.misframed(lane.number), at: $1) }
                throw error == .tooLong ? StreamError.tooLong(limit: PubSubLimits.rpc.bytes) : StreamError.malformed
            }
            guard !batch.isEmpty else { continue }
            let roundTrip = stream.connection.roundTrip
            let full = step { machine, now in
                if let roundTrip { machine.handle(.measured(lane.number, roundTrip), at: now) }
                for rpc in batch { machine.handle(.received(lane.number, rpc), at: now) }
            }
            batch.removeAll(keepingCapacity: true)
            for reader in full { await reader.room() }
            try await waitForValidation(lane, stream)
        }
    }

    /// A peer whose messages wait for validation in great number is read no further: what is too fast for us slows its sender, not the others.
    private func waitForValidation(_ lane: PeerLane, _ stream: Stream) async throws {
        let loop = stream.connection.loop
        while state.withLock({ $0.machine?.pending(of: lane.number) ?? 0 }) >= PubSubLimits.pendingPerPeer {
            try await loop.sleep(until: loop.now + .milliseconds(1))
        }
    }

    /// The lane of the connection's peer, whom the machine knows from its first stream on; nil when it is gone or nothing runs here.
    private func attach(_ connection: Connection, _ version: GossipVersion) -> PeerLane? {
        let peer = connection.peer
        let traits = GossipTraits(version: version, isOutbound: connection.direction == .outbound, ip: connection.remoteAddress.ip)
        var found: PeerLane?
        var isNew = false
        stepState { state, now in
            guard let lane = state.lane(of: peer) else { return }
            found = lane
            guard state.machine?.knows(lane.number) == false else { return }
            isNew = true
            state.machine?.handle(.connected(lane.number, peer, traits), at: now)
        }
        guard isNew, let swarm = state.withLock({ $0.swarm }) else { return found }
        // The news of its end may have come before its first stream.
        guard swarm.isConnected(peer) else {
            detach(peer)
            return nil
        }
        open(peer, swarm)
        return found
    }

    func detach(_ peer: PeerID) {
        var lane: PeerLane?
        stepState { state, now in
            lane = state.byPeer.removeValue(forKey: peer)
            guard let lane else { return }
            state.machine?.handle(.disconnected(lane.number), at: now)
            state.lanes[Int(lane.number)] = nil
        }
        lane?.end()
    }

    // MARK: Writing

    /// Opens our stream to a connected peer, unless there is one or somebody is about to.
    func open(_ peer: PeerID, _ swarm: Swarm) {
        guard let connection = swarm.connections(to: peer).first, let lane = state.withLock({ $0.lane(of: peer) }), lane.beginWriting() else { return }
        let started = scope.spawn(on: connection.loop) { [self] in await write(lane, connection, swarm) }
        if !started { lane.endWriting() }
    }

    /// The life of our streams to a peer, one after the other.
    private func write(_ lane: PeerLane, _ first: Connection, _ swarm: Swarm) async {
        let loop = first.loop
        var connection: Connection? = first
        var failures = 0
        while let current = connection, current.loop === loop, !lane.isEnded {
            let begun = loop.now
            do {
                try await write(lane, on: current)
            } catch {
                // The peer may speak nothing of this, or be gone.
                swarm.note(.debug, "no stream for publish-subscribe", [LogField("peer", lane.peer.short), LogField("error", "\(error)")])
                if case StreamError.protocolNotSupported = error { break }
            }
            if loop.now - begun >= PubSubLimits.steadyStream { failures = 0 }
            guard failures < PubSubLimits.reopenings else { break }
            do { try await loop.sleep(until: loop.now + PubSubLimits.reopenPause * (1 << failures)) } catch { break }
            failures += 1
            connection = swarm.connections(to: lane.peer).first
        }
        lane.endWriting()
        guard let connection else { return detach(lane.peer) }
        // The writer belongs to the loop of its connection: for another loop's, another writer.
        if connection.loop !== loop { open(lane.peer, swarm) }
    }

    /// The life of one stream of ours: takes what waits for the peer, a little at a time, so that the rest can still be cancelled.
    private func write(_ lane: PeerLane, on connection: Connection) async throws {
        let stream = try await connection.openStream(protocols)
        do {
            guard let version = GossipVersion(stream.protocolID) else { throw StreamError.protocolNotSupported }
            guard attach(connection, version) === lane else { return stream.reset() }
            let waiter = lane.prepare(on: connection.loop)
            // Noticed at once and not at the next message, which would be lost.
            stream.onEnd = { waiter.wake() }
            step { machine, now in machine.handle(.opened(lane.number, version), at: now) }
            while !lane.isEnded {
                let pieces = state.withLock { $0.machine?.take(for: lane.number) ?? [] }
                if pieces.isEmpty {
                    if let failure = stream.failure { throw failure }
                    try await waiter.wait()
                    continue
                }
                for piece in pieces { try await stream.write(piece) }
                try await stream.drain(to: PubSubLimits.streamQueue)
            }
            stream.finish()
            stream.stop()
        } catch {
            stream.reset()
            throw error
        }
    }
}

extension PubSub.State {
    /// The lane of a peer, made when there is none; nil when nothing runs.
    mutating func lane(of peer: PeerID) -> PeerLane? {
        guard isRunning, machine != nil else { return nil }
        if let lane = byPeer[peer] { return lane }
        let number = lanes.firstIndex { $0 == nil } ?? lanes.count
        let lane = PeerLane(UInt32(number), peer)
        if number == lanes.count { lanes.append(lane) } else { lanes[number] = lane }
        byPeer[peer] = lane
        return lane
    }
}
