import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

extension Bitswap {
    /// Reads messages one after the other; the next one is not read before this one's blocks have found room, so a fast sender is slowed.
    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        while let bytes = try await stream.readMessage(limit: BitswapLimits.message) {
            var message: BitswapMessage
            do throws(BitswapError) { message = try BitswapMessage(bytes) } catch {
                if error == .malformed { home.execute { [self] in swarm?.reputation.report(peer, .malformedMessage) } }
                throw error
            }
            // Known after the first read for certain.
            let version = BitswapVersion(stream.protocolID)
            let isIgnored = ignored.withLock { $0[peer].map { $0 > stream.connection.loop.now } ?? false }
            if isIgnored { message.payloads = [] }
            let blocks = try await verify(message.payloads)
            let received = message
            try await home.run { try await self.take(received, blocks, version, from: peer) }
        }
    }

    /// The blocks under the hashes that their bytes have. Those with an unknown or no hash function are dropped.
    private func verify(_ payloads: [BitswapMessage.Payload]) async throws -> [Block] {
        let size = payloads.reduce(0) { $0 + $1.data.count }
        guard size > 0 || !payloads.isEmpty else { return [] }
        // Hashing a few KiB costs less than the hop.
        if size <= BitswapLimits.hashedInPlace { return Bitswap.hash(payloads) }
        return try await system.offload { Bitswap.hash(payloads) }
    }

    private static func hash(_ payloads: [BitswapMessage.Payload]) -> [Block] {
        payloads.compactMap { payload in
            guard payload.data.count <= BlockStoreLimits.exchangedBlock.bytes, let hash = payload.prefix.multihash(of: payload.data) else {
                return nil
            }
            // The codec does not matter from here on: everything goes by the hash.
            do { return Block(cid: try CID(codec: payload.prefix.codec, hash: hash), bytes: payload.data) } catch { return nil }
        }
    }

    /// On the home loop.
    private func take(_ message: BitswapMessage, _ blocks: [Block], _ version: BitswapVersion, from peer: PeerID) async throws {
        guard isRunning else { throw BitswapError.stopped }
        // A message may overtake the news of its connection.
        if links[peer] == nil, swarm?.isConnected(peer) == true { connected(peer) }
        guard links[peer] != nil else { return }
        statisticsSoFar.messagesReceived += 1
        if !message.entries.isEmpty || message.isFull {
            tell(server: .wantlist(peer, message.entries, isFull: message.isFull, hasPresences: version.hasPresences))
        }
        if !message.presences.isEmpty { tell(client: .presences(peer, message.presences)) }
        guard !blocks.isEmpty || !message.payloads.isEmpty else { return }
        arriving = Dictionary(blocks.map { ($0.cid.multihash, $0) }) { first, _ in first }
        let before = intake.accepted
        tell(client: .blocks(peer, blocks.map { (key: $0.cid.multihash, size: $0.bytes.count) }))
        arriving = [:]
        let accepted = intake.accepted - before
        if accepted.blocks > 0 {
            statisticsSoFar.blocksReceived += accepted.blocks
            statisticsSoFar.bytesReceived += accepted.bytes
            tell(server: .credited(peer, blocks: accepted.blocks, bytes: accepted.bytes))
            exchanged(accepted.bytes, with: peer)
            learn(from: peer, accepted.bytes)
        }
        try await intake.room()
    }

    /// A block of the message at hand is wanted: to those who wait, and to the store.
    func accept(_ key: Multihash, _ sessions: [SessionMachine.SessionID]) {
        guard let block = arriving[key] else { return }
        var isStored = false
        for id in sessions {
            guard let reader = readers[id] else { continue }
            reader.deliver(key, block.bytes)
            isStored = isStored || reader.isStoring
        }
        intake.take(block, isStored: isStored)
    }

    /// Notes that a peer sent what was wanted.
    private func learn(from peer: PeerID, _ bytes: Int) {
        guard let providers else { return }
        let measured = client.measured(of: peer)
        let time = measured.rate.flatMap { $0 > 0 ? Duration.seconds(min(Double(bytes) / $0, 3600)) : nil }
        providers.update(peer, success: true, latency: measured.delay.map { .seconds(min($0, 3600)) }, bytes: bytes, over: time)
    }

    /// Asks the routing who has the block, and connects to them; their connection is what the session waits for.
    func search(_ cid: CID) {
        guard let routing, let swarm, searches < BitswapLimits.searches else { return }
        searches += 1
        scope.spawn(on: home) { [self] in
            let search = ProviderSearch(on: swarm, providers, in: scope)
            do {
                try await routing.findProviders(of: cid) { [home] provider in await home.run { search.found(provider) } }
            } catch {
                log(.debug, "a search for providers failed", [LogField("cid", cid), LogField("error", "\(error)")])
            }
            await search.drain()
            searches -= 1
        }
    }
}
