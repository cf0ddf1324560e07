import Synchronization
import WaggleBase
import WaggleFormats

/// How connections come in: gate and limits first, then cryptography, then the table.
extension Swarm {
    /// Whether an inbound connection from `ip` may begin its handshake.
    func admits(_ ip: IPAddress?) -> Bool {
        let now = home.now
        // The rates before what takes longer to look up: a flood pays the least.
        let refusal = gate.refusal(of: ip) ?? table.withLock { $0.refusal(from: ip, at: now) } ?? reputation.refusal(of: ip)
        if let refusal { turnedAway(ip, refusal) }
        return refusal == nil
    }

    /// Upgrades an inbound connection and takes it in. Called on the loop of the connection.
    func accept(_ incoming: Incoming) {
        let now = incoming.loop.now
        let admitted: Result<(id: UInt64, displaced: PendingHandshakes.Entry?), Refusal> = table.withLock { table in
            do throws(Refusal) { return .success(try table.begin(from: incoming.ip, at: now)) } catch { return .failure(error) }
        }
        let handshake: UInt64
        switch admitted {
        case .success(let admitted):
            handshake = admitted.id
            if let displaced = admitted.displaced {
                turnedAway(displaced.ip, .pendingInbound)
                if let task = displaced.task { scope.cancel(task) }
            }
        case .failure(let refusal):
            turnedAway(incoming.ip, refusal)
            return incoming.refuse()
        }
        guard let task = scope.start(on: incoming.loop, { [self] in await shakeHands(incoming, handshake) }) else {
            table.withLock { table in
                if table.handshakes.end(handshake) != nil { table.ledger.abandon(.inbound, from: incoming.ip) }
            }
            return incoming.refuse()
        }
        // Made to give way before it began.
        if !table.withLock({ $0.handshakes.started(handshake, task) }) { scope.cancel(task) }
    }

    /// Sees an inbound handshake to its end.
    private func shakeHands(_ incoming: Incoming, _ handshake: UInt64) async {
        let began = incoming.loop.now
        let outcome: Result<Connection, TransportError>
        do throws(TransportError) { outcome = .success(try await incoming.upgrade()) } catch { outcome = .failure(error) }
        counting.shookHands(outcome.map { _ in }, in: incoming.loop.now - began)
        // One that had to give way is not counted any more.
        let isCounted = table.withLock { $0.handshakes.end(handshake) != nil }
        do throws(TransportError) {
            let connection = try outcome.get()
            guard isCounted else { return connection.close(.limitReached) }
            try adopt(connection, ip: incoming.ip)
        } catch {
            if isCounted { table.withLock { $0.ledger.abandon(.inbound, from: incoming.ip) } }
            note(failure: error, .inbound, incoming.ip)
            log(.debug, "inbound connection failed", [LogField("error", "\(error)")])
        }
    }

    private func turnedAway(_ ip: IPAddress?, _ refusal: Refusal) {
        counting.refused(refusal)
        hub.emit(.refused(ip, refusal))
    }

    /// Enters an upgraded connection, whose handshake is counted, and starts it. On its loop. When it throws, the connection is closed and
    /// the handshake still counted.
    func adopt(_ connection: Connection, ip: IPAddress?) throws(TransportError) {
        let peer = connection.peer
        // Rules for one name of a node hold for the other.
        var refusal: Refusal? = isOurselves(peer) ? .ourselves : gate.refusal(of: peer) ?? reputation.refusal(of: peer)
        if refusal == nil, let alias = connection.alias { refusal = gate.refusal(of: alias) ?? reputation.refusal(of: alias) }
        if let refusal {
            counting.refused(refusal)
            connection.close(refusal == .ourselves ? .normal : .gated)
            throw .refused(refusal)
        }
        let now = connection.loop.now
        let outcome: Result<Bool, Refusal> = table.withLock { table in
            if table.isClosed { return .failure(.connections) }
            do throws(Refusal) { return .success(try table.insert(connection, ip: ip, local: localPeer, at: now)) } catch { return .failure(error) }
        }
        switch outcome {
        case .failure(let refusal):
            counting.refused(refusal)
            connection.close(.limitReached)
            throw .refused(refusal)
        case .success(let isFirst):
            log(
                .debug, "connected",
                [
                    LogField("peer", peer.short), LogField("direction", connection.direction.rawValue),
                    LogField("channel", connection.security.channel), LogField("kem", connection.security.keyExchange),
                    LogField("signature", connection.security.signature), LogField("verified", connection.security.transcriptVerified),
                ])
            counting.opened(connection)
            hub.emit(.connected(connection))
            if isFirst { hub.emit(.peerConnected(peer)) }
            connection.start()
            home.execute { [self] in
                keeper.watch(self)
                if connection.direction == .inbound { dialer.arrived(connection, in: self) }
            }
        }
    }

    /// Tells the others why a handshake failed; a tampered negotiation is worth a warning.
    func note(failure: TransportError, _ direction: Direction, _ ip: IPAddress?) {
        guard case .handshake(let error) = failure else { return }
        if case .handshake(.downgraded(let expected, let negotiated)) = error {
            counting.downgraded(direction)
            log(
                .warning, "the negotiation was tampered with",
                [
                    LogField("direction", direction.rawValue), LogField("expected", expected?.text ?? "none"),
                    LogField("negotiated", negotiated),
                ])
        }
        hub.emit(.handshakeFailed(direction, ip, error))
    }

    /// Where a peer's connections come from, except ranges in which everybody shares an address.
    func provenAddresses(of peer: PeerID) -> [IPAddress] {
        table.withLock { $0.entries(of: peer).compactMap(\.ip) }
            .filter { ip in !configuration.limits.unlimitedRanges.contains { $0.contains(ip) } }
    }

    /// Closes the connections that the gate forbids now.
    func enforceGate() {
        for entry in table.withLock({ $0.all }) where gate.refusal(of: entry.peer) != nil || entry.connection.alias.map({ gate.refusal(of: $0) != nil }) ?? false || gate.refusal(of: entry.ip) != nil {
            entry.connection.close(.gated)
        }
    }
}
