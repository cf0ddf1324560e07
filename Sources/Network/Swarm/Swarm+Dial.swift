import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats

extension Swarm {
    /// A connection with `peer`: an open one, else a new one.
    ///
    /// Dials the given and the known addresses in parallel, staggered by how likely they are to work; what failed lately is left alone for
    /// a while unless `ignoringBackOff`. Calls for one peer share an attempt. Cancelling the last of them gives it up. When no address is known,
    /// or none of them works, `routing` is asked for others.
    public func connect(
        to peer: PeerID, addresses: [Multiaddr] = [], ignoringBackOff: Bool = false
    ) async throws(SwarmError) -> Connection {
        let failure: SwarmError
        do throws(SwarmError) { return try await connectDirectly(to: peer, addresses: addresses, ignoringBackOff: ignoringBackOff) } catch {
            failure = error
        }
        let tried: Set<Multiaddr>
        switch failure {
        case .noAddresses: tried = []
        case .dialFailed(let failures): tried = Set(failures.map(\.address))
        default: throw failure
        }
        guard let routing else { throw failure }
        let found: [Multiaddr]
        do { found = try await routing.findPeer(peer) } catch {
            if Task.isCancelled { throw .cancelled }
            throw failure
        }
        let fresh = found.compactMap { $0.withoutPeer(peer) }.filter { !tried.contains($0) }
        guard !fresh.isEmpty || isConnected(peer) else { throw failure }
        return try await connectDirectly(to: peer, addresses: fresh, ignoringBackOff: true)
    }

    /// The same without asking `routing`: for those whom it would ask.
    public func connectDirectly(
        to peer: PeerID, addresses: [Multiaddr] = [], ignoringBackOff: Bool = false
    ) async throws(SwarmError) -> Connection {
        if let connection = connections(to: peer).first { return connection }
        guard !isClosed else { throw .closed }
        guard !isOurselves(peer) else { throw .refused(.ourselves) }
        if let refusal = gate.refusal(of: peer) ?? reputation.refusal(of: peer) { throw .refused(refusal) }
        let own = Set(listenAddresses)
        let candidates = (addresses.compactMap { $0.withoutPeer(peer) } + addressBook.addresses(of: peer)).filter { !own.contains($0) }
        return try await home.run { () async throws(SwarmError) -> Connection in
            try await self.reach(.peer(peer), at: candidates, force: ignoringBackOff)
        }
    }

    /// A connection at `address`: with `/p2p/…` at its end to that peer, else to whoever answers. Dials even if it failed lately.
    public func connect(_ address: Multiaddr) async throws(SwarmError) -> Connection {
        if let peer = address.peer { return try await connect(to: peer, addresses: [address], ignoringBackOff: true) }
        guard !isClosed else { throw .closed }
        guard address.contains(.dnsaddr) else {
            return try await home.run { () async throws(SwarmError) -> Connection in
                try await self.reach(.address(address), at: [address], force: true)
            }
        }
        // Such a name may stand for several peers: any of them will do.
        let found: [Multiaddr]
        do { found = try await resolver.resolve(address) } catch {
            throw error == .cancelled ? .cancelled : .dialFailed([DialFailure(address: address, cause: .unresolved(error))])
        }
        var failure = SwarmError.unsupportedAddress(address)
        for candidate in found {
            do throws(SwarmError) { return try await connect(candidate) } catch {
                if error == .cancelled || error == .closed { throw error }
                failure = error
            }
        }
        throw failure
    }

    /// Opens a stream to `peer` for the first of `protocols` that it speaks, connecting where needed.
    public func openStream(to peer: PeerID, _ protocols: [ProtocolID]) async throws(SwarmError) -> Stream {
        let existing = connections(to: peer).first
        if let existing {
            do throws(StreamError) { return try await existing.openStream(protocols) } catch {
                switch error {
                // It may have been dead for long without our knowing: a new connection deserves a try.
                case .connectionLost, .closed: break
                default: throw error == .cancelled ? .cancelled : .stream(error)
                }
            }
        }
        let connection = try await connect(to: peer)
        guard connection !== existing else { throw .stream(.connectionLost) }
        do throws(StreamError) { return try await connection.openStream(protocols) } catch {
            throw error == .cancelled ? .cancelled : .stream(error)
        }
    }

    /// Opens a stream, runs `body` on its connection's loop, and finishes the stream when `body` returns or resets it when `body` throws.
    public func withStream<R: Sendable>(
        to peer: PeerID, _ protocols: [ProtocolID], body: @Sendable (Stream) async throws -> R
    ) async throws -> R {
        let stream = try await openStream(to: peer, protocols)
        return try await stream.connection.loop.run {
            do {
                let result = try await body(stream)
                stream.finish()
                return result
            } catch {
                stream.reset()
                throw error
            }
        }
    }

    /// The same for one protocol.
    public func withStream<R: Sendable>(
        to peer: PeerID, _ protocolID: ProtocolID, body: @Sendable (Stream) async throws -> R
    ) async throws -> R {
        try await withStream(to: peer, [protocolID], body: body)
    }

    /// Dials one address and takes the connection in; its place is counted already. Runs on `loop`.
    func dial(_ address: Multiaddr, expecting peer: PeerID?, on loop: any EventLoop) async -> Result<Connection, TransportError> {
        do throws(TransportError) {
            guard let transport = transports.first(where: { $0.canDial(address) }) else { throw .unsupportedAddress }
            let connection = try await transport.dial(
                Dial(
                    address: address, peer: peer, loop: loop, listening: configuration.dialing.reusesPort ? boundAddresses : [],
                    context: context))
            if Task.isCancelled {
                // Another address won, or nobody waits any more.
                connection.close(.supplanted)
                throw .cancelled
            }
            try adopt(connection, ip: address.ip)
            let kind = identity.key.publicKey.kind
            // Who has an identity of this kind itself knows it.
            if kind.isPostQuantum, connection.peerKey.kind != kind, await connection.isTurnedAway(within: UpgradeLimits.acceptance) {
                // The connection counted as one, so only the failure is told.
                let error = TransportError.handshake(.turnedAway(kind))
                note(failure: error, .outbound, address.ip)
                return .failure(error)
            }
            return .success(connection)
        } catch {
            table.withLock { $0.ledger.abandon(.outbound, from: address.ip) }
            note(failure: error, .outbound, address.ip)
            return .failure(error)
        }
    }
}
