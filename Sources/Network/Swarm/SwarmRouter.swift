import Synchronization
import WaggleBase

/// What the connections of a swarm ask and tell it.
final class SwarmRouter: StreamRouter {
    private weak let swarm: Swarm?

    init(_ swarm: Swarm) { self.swarm = swarm }

    func admitStream(on connection: Connection) -> Bool {
        guard let swarm else { return false }
        let refusal: Refusal? = swarm.table.withLock { table in
            do throws(Refusal) { try table.ledger.openStream(of: connection.peer) } catch { return error }
            return nil
        }
        if let refusal {
            swarm.counting.refused(refusal)
            if refusal == .streamsPerPeer { swarm.reputation.report(connection.peer, .streamFlood) }
        }
        return refusal == nil
    }

    func releaseStream(on connection: Connection) {
        swarm?.table.withLock { $0.ledger.closeStream(of: connection.peer) }
    }

    func speaks(_ protocolID: ProtocolID) -> Bool { swarm?.services.withLock { $0.supports(protocolID) } ?? false }

    func handler(for protocolID: ProtocolID, on connection: Connection) -> StreamHandler? {
        guard let swarm else { return nil }
        return { [swarm] stream in try await swarm.serve(stream, protocolID) }
    }

    func streamBeyondLimit(on connection: Connection) {
        guard let swarm else { return }
        swarm.counting.refused(.streamsPerConnection)
        swarm.reputation.report(connection.peer, .streamFlood)
    }

    func muxerViolated(on connection: Connection) { swarm?.reputation.report(connection.peer, .muxerViolation) }

    func measured(_ roundTrip: Duration, on connection: Connection) { swarm?.counting.measured(roundTrip) }

    func connectionClosed(_ connection: Connection, _ reason: CloseReason) { swarm?.closed(connection, reason) }
}

extension Swarm {
    /// Hands an inbound stream to its service, within the service's limits.
    func serve(_ stream: Stream, _ protocolID: ProtocolID) async throws {
        let peer = stream.peer
        let begun: Result<(any Service)?, Refusal> = services.withLock { services in
            do throws(Refusal) { return .success(try services.begin(protocolID, of: peer)) } catch { return .failure(error) }
        }
        switch begun {
        case .failure(let refusal):
            counting.refused(refusal)
            stream.reset(StreamResetCode.resourceLimitExceeded)
        case .success(nil): stream.reset(StreamResetCode.protocolNegotiationFailed)
        case .success(let service?):
            defer { services.withLock { $0.end(protocolID, of: peer) } }
            try await service.serve(stream, from: peer)
        }
    }

    /// A connection is gone, for whatever reason.
    func closed(_ connection: Connection, _ reason: CloseReason) {
        let removed = table.withLock { table in
            let removed = table.remove(connection)
            if removed != nil { counting.closed(connection, at: connection.loop.now) }
            return removed
        }
        guard let (entry, isLast) = removed else { return }
        stopObserving(connection)
        log(.debug, "disconnected", [LogField("peer", entry.peer.short), LogField("reason", "\(reason)")])
        hub.emit(.disconnected(connection, reason))
        if isLast { hub.emit(.peerDisconnected(entry.peer)) }
    }
}
