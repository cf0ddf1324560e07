import WaggleBase
import WaggleFormats

extension Swarm {
    /// Dials addresses, those with host names as soon as they are resolved. On the home loop.
    func reach(_ target: DialTarget, at addresses: [Multiaddr], force: Bool) async throws(SwarmError) -> Connection {
        let named = Array(addresses.filter(\.hasName).prefix(NameLimits.namesPerDial))
        if named.isEmpty { return try await dialer.connect(to: target, at: addresses, force: force, in: self) }
        let plain = addresses.filter { !$0.hasName }
        if plain.isEmpty { return try await reach(target, named: named, force: force, continuing: false) }
        if !force, let peer = target.peer, dialer.leavesAlone(peer) {
            return try await dialer.connect(to: target, at: plain, force: false, in: self)
        }
        // What needs no answer does not wait for one; what is found later joins the attempt.
        let outcomes = await withTaskGroup(of: Result<Connection, SwarmError>.self) { group in
            group.addTask { await Swarm.outcome { () async throws(SwarmError) in try await self.dialer.connect(to: target, at: plain, force: force, in: self) } }
            group.addTask { await Swarm.outcome { () async throws(SwarmError) in try await self.reach(target, named: named, force: force, continuing: true) } }
            var outcomes: [Result<Connection, SwarmError>] = []
            for await outcome in group {
                outcomes.append(outcome)
                if case .success = outcome {
                    group.cancelAll()
                    return [outcome]
                }
            }
            return outcomes
        }
        var failures: [DialFailure] = []
        var other: SwarmError?
        for outcome in outcomes {
            switch outcome {
            case .success(let connection): return connection
            case .failure(.dialFailed(let causes)): failures += causes.filter { !failures.contains($0) }
            case .failure(.noAddresses), .failure(.unsupportedAddress): continue
            case .failure(let error): other = other ?? error
            }
        }
        if let other { throw other }
        if !failures.isEmpty { throw .dialFailed(failures) }
        switch target {
        case .peer(let peer): throw .noAddresses(peer)
        case .address(let address): throw .unsupportedAddress(address)
        }
    }

    private static func outcome(_ body: () async throws(SwarmError) -> Connection) async -> Result<Connection, SwarmError> {
        do throws(SwarmError) { return .success(try await body()) } catch { return .failure(error) }
    }

    private func reach(_ target: DialTarget, named: [Multiaddr], force: Bool, continuing: Bool) async throws(SwarmError) -> Connection {
        var found: [Multiaddr] = []
        var failures: [DialFailure] = []
        for (address, outcome) in await resolveAll(named, of: target.peer) {
            switch outcome {
            case .success(let addresses): found += addresses
            case .failure(.cancelled): throw .cancelled
            case .failure(let error): failures.append(DialFailure(address: address, cause: .unresolved(error)))
            }
        }
        if found.isEmpty, !failures.isEmpty { throw .dialFailed(failures) }
        do throws(SwarmError) { return try await dialer.connect(to: target, at: found, force: force, continuing: continuing, in: self) } catch {
            guard case .dialFailed(let causes) = error else { throw error }
            throw .dialFailed(failures + causes)
        }
    }

    /// What each address stands for, without a PeerID at the end; with `peer`, only what leads to it.
    private func resolveAll(_ addresses: [Multiaddr], of peer: PeerID?) async -> [(Multiaddr, Result<[Multiaddr], ResolveError>)] {
        await withTaskGroup(of: (Int, Result<[Multiaddr], ResolveError>).self) { group in
            for (index, address) in addresses.enumerated() {
                // With the PeerID at its end again, because it chooses among the records of a `/dnsaddr`.
                let question = peer.map { address.with(peer: $0) } ?? address
                group.addTask {
                    do throws(ResolveError) {
                        let found = try await self.resolver.resolve(question)
                        return (index, .success(peer.map { peer in found.compactMap { $0.withoutPeer(peer) } } ?? found.compactMap(\.withoutPeerID)))
                    } catch { return (index, .failure(error)) }
                }
            }
            var outcomes = [Result<[Multiaddr], ResolveError>](repeating: .failure(.cancelled), count: addresses.count)
            for await (index, outcome) in group { outcomes[index] = outcome }
            return Array(zip(addresses, outcomes))
        }
    }
}
