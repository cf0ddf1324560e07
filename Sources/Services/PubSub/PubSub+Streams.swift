import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The streams with peers: any number of inbound ones of which the newest counts, and one of our own to each peer for as long as it is connected.
extension PubSub {
    // MARK: Reading

    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        guard let version = GossipVersion(stream.protocolID), let lane = attach(stream.connection, version) else { return }
        let reading = lane.beginReading()
        var frames = FrameReader(limit: PubSubLimits.rpc)
        var batch: ContiguousArray<Bytes> = []
        while let piece = try await stream.read() {
            // A newer stream has taken over.
            guard lane.isReading(reading) else { return }
            frames.feed(piece)
            do throws(FrameError) {
                while let rpc = try frames.next() { batch.append(rpc) }
            } catch {
                step { $0.handle(.misframed(lane.number), at: $1) }
                throw error == .tooLong ? StreamError.tooLong(limit: PubSubLimits.rpc.bytes) : StreamError.malformed
            }
            guard !batch.isEmpty else { continue }
            let full = step { machine, now in
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

    /// The lane of the connection's peer; made at its first stream.
    func attach(_ connection: Connection, _ version: GossipVersion) -> PeerLane? {
        let peer = connection.peer
        let (lane, isNew) = state.withLock { state -> (PeerLane?, Bool) in
            guard state.isRunning, state.machine != nil else { return (nil, false) }
            if let lane = state.byPeer[peer] { return (lane, false) }
            let number = state.lanes.firstIndex { $0 == nil } ?? state.lanes.count
            let lane = PeerLane(UInt32(number), peer)
            if number == state.lanes.count { state.lanes.append(lane) } else { state.lanes[number] = lane }
            state.byPeer[peer] = lane
            return (lane, true)
        }
        guard let lane, isNew else { return lane }
        let traits = GossipTraits(version: version, isOutbound: connection.direction == .outbound, ip: connection.remoteAddress.ip)
        step { $0.handle(.connected(lane.number, peer, traits), at: $1) }
        if let swarm = state.withLock({ $0.swarm }) {
            // The news of its end may have come before its first stream.
            if !swarm.isConnected(peer) {
                detach(peer)
                return nil
            }
            open(peer, swarm)
        }
        return lane
    }

    func detach(_ peer: PeerID) {
        let lane = state.withLock { $0.byPeer[peer] }
        guard let lane else { return }
        step { $0.handle(.disconnected(lane.number), at: $1) }
        state.withLock { state in
            state.byPeer[peer] = nil
            state.lanes[Int(lane.number)] = nil
        }
        lane.end()
    }

    // MARK: Writing

    /// Opens our stream to a connected peer, unless there is one.
    func open(_ peer: PeerID, _ swarm: Swarm) {
        guard let connection = swarm.connections(to: peer).first else { return }
        let known = state.withLock { $0.isRunning ? $0.byPeer[peer] : nil }
        if let known, !known.beginWriting() { return }
        let started = scope.spawn(on: connection.loop) { [self] in await write(to: peer, connection, known, swarm) }
        if !started { known?.endWriting() }
    }

    /// The life of our streams to a peer.
    private func write(to peer: PeerID, _ first: Connection, _ known: PeerLane?, _ swarm: Swarm) async {
        var lane = known
        var connection = first
        var opened = 0
        while true {
            do {
                try await write(on: connection, &lane, isFirst: opened == 0 && known == nil)
            } catch {
                // The peer may speak nothing of this, or be gone.
                swarm.note(.debug, "no stream for publish-subscribe", [LogField("peer", peer.short), LogField("error", "\(error)")])
                if case StreamError.protocolNotSupported = error { break }
            }
            opened += 1
            guard opened <= PubSubLimits.reopenings, let lane, !lane.isEnded else { break }
            do { try await connection.loop.sleep(until: connection.loop.now + PubSubLimits.reopenPause) } catch { break }
            // The same loop, or the peer has to come again: the writer belongs to where it began.
            guard let next = swarm.connections(to: peer).first(where: { $0.loop === connection.loop }), !lane.isEnded else { break }
            connection = next
        }
        lane?.endWriting()
    }

    /// The life of one stream of ours: takes what waits for the peer, a little at a time, so that the rest can still be cancelled.
    private func write(on connection: Connection, _ lane: inout PeerLane?, isFirst: Bool) async throws {
        let stream = try await connection.openStream(protocols)
        do {
            guard let version = GossipVersion(stream.protocolID) else { throw StreamError.protocolNotSupported }
            let isNew = lane == nil
            if isNew {
                guard let mine = attach(connection, version), mine.beginWriting() else { return stream.reset() }
                lane = mine
            }
            guard let lane else { return stream.reset() }
            let waiter = lane.prepare(on: connection.loop)
            step { machine, _ in
                machine.setVersion(version, of: lane.number)
                if !isNew || !isFirst { machine.restart(lane.number) }
            }
            while !lane.isEnded {
                let pieces = state.withLock { $0.machine?.take(for: lane.number) ?? [] }
                if pieces.isEmpty {
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
