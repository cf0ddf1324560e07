import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The life of the bootstrap service on one swarm. Belongs to the home loop.
final class PeerSeeker: @unchecked Sendable {
    /// Somebody to dial: a peer, or whoever answers at an address.
    private struct Candidate: Hashable {
        var peer: PeerID?
        var addresses: [Multiaddr]
    }

    /// A list that was read.
    private struct ReadList {
        var addresses: [Multiaddr]
        var until: Instant
    }

    private let swarm: Swarm
    private let system: any System
    private let loop: any EventLoop
    private let log: Log
    private let fetch: SeedFetch?
    private let good: GoodPeers
    private let count: ((inout Bootstrap.Counts) -> Void) -> Void

    private let configured: [Candidate]
    private let lists: [SeedSource]
    private var read: [SeedSource: ReadList] = [:]
    /// Who answered at addresses that name no peer.
    private var answered: [Multiaddr: PeerID] = [:]
    private let changed: Waiter
    private var observation: SwarmObservation?
    private var failures = 0
    private var nextRound: Instant
    private var wasAlone = true
    private var hasSaidAlone = false

    init(
        _ swarm: Swarm, _ sources: [SeedSource], _ fetch: SeedFetch?, _ good: GoodPeers, count: @escaping ((inout Bootstrap.Counts) -> Void) -> Void
    ) {
        self.swarm = swarm
        self.fetch = fetch
        self.good = good
        self.count = count
        system = swarm.system
        loop = system.home
        log = Log("bootstrap", to: system.log)
        changed = Waiter(on: loop)
        nextRound = loop.now
        var addresses: [Multiaddr] = []
        var lists: [SeedSource] = []
        for source in sources {
            switch source {
            case .address(let address): addresses.append(address)
            case .document where fetch == nil: log(.warning, "documents cannot be read", [LogField("source", "\(source)")])
            case .texts, .document: lists.append(source)
            }
        }
        configured = PeerSeeker.candidates(addresses)
        self.lists = lists
    }

    // MARK: Life

    func run() async throws {
        for candidate in configured {
            if let peer = candidate.peer { swarm.addressBook.add(candidate.addresses, of: peer, source: .configured) }
        }
        observation = swarm.observe(on: loop) { [weak self] event in
            switch event {
            case .peerConnected, .peerDisconnected: self?.peersChanged()
            default: break
            }
        }
        if configured.isEmpty, lists.isEmpty, good.count == 0 {
            // A node that cannot listen ends in the first moment, with a sentence of its own.
            try await loop.sleep(until: loop.now + BootstrapLimits.settling)
            if swarm.peerCount == 0 {
                hasSaidAlone = true
                log(.info, "no bootstrap peers: waiting for others to connect")
            }
        }
        var nextLook = loop.now + BootstrapLimits.rememberInterval
        while true {
            if swarm.peerCount < BootstrapLimits.enough, loop.now >= nextRound { await round() }
            try Task.checkCancellation()
            if loop.now >= nextLook {
                nextLook = loop.now + BootstrapLimits.rememberInterval
                await remember()
            }
            let needsRound = swarm.peerCount < BootstrapLimits.enough && (!configured.isEmpty || !lists.isEmpty || good.count > 0)
            let timer = loop.schedule(at: needsRound ? min(nextRound, nextLook) : nextLook) { [changed] in changed.wake() }
            defer { loop.cancel(timer) }
            try await changed.wait()
        }
    }

    func close() async {
        observation?.cancel()
        await remember()
    }

    private func peersChanged() {
        let isAlone = swarm.peerCount == 0
        if isAlone != wasAlone {
            wasAlone = isAlone
            count { $0.isAlone = isAlone }
            if isAlone {
                failures = 0
                hasSaidAlone = false
                nextRound = min(nextRound, loop.now + random(BootstrapLimits.lostPause))
            } else {
                log(.info, "in touch with the network", [LogField("peers", swarm.peerCount)])
            }
        }
        // With enough of them there is nothing to do until one goes.
        if swarm.peerCount < BootstrapLimits.enough { changed.wake() }
    }

    private func remember() async {
        var connected: [(peer: PeerID, addresses: [Multiaddr])] = []
        let own = Set(configured.compactMap(\.peer))
        // Only where we dialed: there the peer can be reached.
        for connection in swarm.connections where connection.direction == .outbound && !connection.isClosed && !own.contains(connection.peer) {
            guard !connected.contains(where: { $0.peer == connection.peer }) else { continue }
            connected.append((connection.peer, [connection.remoteAddress]))
        }
        await good.remember(connected, at: system.wallTime)
        let remembered = good.count
        count { $0.remembered = remembered }
    }

    // MARK: A round

    private func round() async {
        let before = Set(swarm.peers)
        await dial(configured, .configured, all: true)
        if isWanting {
            let listed = PeerSeeker.candidates(await readLists())
            await dial(shuffled(listed), .list)
        }
        if isWanting { await dial(shuffled(good.peers.map { Candidate(peer: $0.peer, addresses: $0.addresses) }), .remembered) }
        guard !Task.isCancelled else { return }
        let isEmpty = Set(swarm.peers).subtracting(before).isEmpty
        failures = isEmpty ? failures + 1 : 0
        count { counts in
            counts.rounds &+= 1
            if isEmpty { counts.emptyRounds &+= 1 }
        }
        let pause = PeerSeeker.pause(afterFailures: failures, random: system.random())
        nextRound = loop.now + pause
        if swarm.peerCount == 0 {
            // The first node of a network is alone: nothing to warn of, and nothing to say again and again.
            log(hasSaidAlone ? .debug : .info, "no bootstrap peer reached", [LogField("again_in_seconds", pause.wholeNanoseconds / 1_000_000_000)])
            hasSaidAlone = true
        }
    }

    private var isWanting: Bool { swarm.peerCount < BootstrapLimits.enough && !Task.isCancelled }

    /// The pause before the next round: doubles, and differs from node to node so that they do not come in waves.
    static func pause(afterFailures failures: Int, random: UInt64) -> Duration {
        let doublings = min(max(failures - 1, 0), 16)
        let pause = min(BootstrapLimits.shortestPause * (1 << doublings), BootstrapLimits.longestPause)
        let nanoseconds = pause.wholeNanoseconds
        return .nanoseconds(nanoseconds - nanoseconds / 4 + Int64(random % UInt64(nanoseconds / 2 + 1)))
    }

    private func random(_ range: ClosedRange<Duration>) -> Duration {
        range.lowerBound + .nanoseconds(Int64(system.random(UInt32.self)) % ((range.upperBound - range.lowerBound).wholeNanoseconds + 1))
    }

    private func shuffled(_ candidates: [Candidate]) -> [Candidate] {
        var rest = candidates
        var mixed: [Candidate] = []
        while !rest.isEmpty { mixed.append(rest.remove(at: Int(system.random(UInt32.self)) % rest.count)) }
        return mixed
    }

    /// One candidate for each peer and for each address without one, in the order of their first addresses.
    private static func candidates(_ addresses: [Multiaddr]) -> [Candidate] {
        var found: [Candidate] = []
        for address in addresses {
            if let peer = address.peer, let index = found.firstIndex(where: { $0.peer == peer }) {
                found[index].addresses.append(address)
            } else {
                found.append(Candidate(peer: address.peer, addresses: [address]))
            }
        }
        return found
    }

    // MARK: Dials

    /// Dials some at a time: all of them, or until there are enough peers.
    private func dial(_ candidates: [Candidate], _ origin: Bootstrap.Origin, all: Bool = false) async {
        await withTaskGroup(of: Void.self) { group in
            var running = 0
            for candidate in candidates {
                if running >= BootstrapLimits.dials {
                    await group.next()
                    running -= 1
                }
                if Task.isCancelled || (!all && !isWanting) { break }
                if isConnected(candidate) || candidate.peer == swarm.localPeer { continue }
                group.addTask { await self.dial(candidate, origin) }
                running += 1
            }
        }
    }

    private func isConnected(_ candidate: Candidate) -> Bool {
        if let peer = candidate.peer { return swarm.isConnected(peer) }
        return candidate.addresses.contains { answered[$0].map(swarm.isConnected) ?? false }
    }

    private func dial(_ candidate: Candidate, _ origin: Bootstrap.Origin) async {
        do {
            if let peer = candidate.peer {
                // The back-off is this service's own, and nobody else is asked for addresses.
                _ = try await swarm.connectDirectly(to: peer, addresses: candidate.addresses, ignoringBackOff: true)
            } else if let address = candidate.addresses.first {
                let connection = try await swarm.connect(address)
                answered[address] = connection.peer
            }
            count { $0.reached[origin, default: 0] &+= 1 }
        } catch {
            let name = candidate.peer?.short ?? candidate.addresses.first?.description ?? ""
            log(.debug, "peer not reached", [LogField("peer", name), LogField("origin", origin.rawValue), LogField("error", "\(error)")])
        }
    }

    // MARK: Lists

    private func readLists() async -> [Multiaddr] {
        var all: [Multiaddr] = []
        for source in lists {
            if Task.isCancelled { break }
            if let known = read[source], known.until > loop.now {
                all += known.addresses
                continue
            }
            do {
                let addresses = try await load(source)
                if addresses.isEmpty { throw SeedSource.Invalid(description: "no peer in it") }
                read[source] = ReadList(addresses: addresses, until: loop.now + BootstrapLimits.listTime)
                all += addresses
            } catch {
                log(.debug, "list not read", [LogField("source", "\(source)"), LogField("error", "\(error)")])
                // An old list is better than none.
                all += read[source]?.addresses ?? []
            }
        }
        return Array(all.prefix(BootstrapLimits.seeds))
    }

    private func load(_ source: SeedSource) async throws -> [Multiaddr] {
        try await withThrowingTaskGroup(of: [Multiaddr]?.self) { group in
            let (system, fetch) = (system, fetch)
            group.addTask {
                switch source {
                case .address(let address): return [address]
                case .texts(let name): return SeedList.addresses(inTexts: try await system.resolver.texts(of: name).map(\.value))
                case .document(let url):
                    guard let fetch else { return [] }
                    return SeedList.addresses(inDocument: try await fetch(url, BootstrapLimits.listBytes))
                }
            }
            group.addTask { [loop] in
                try await loop.sleep(until: loop.now + BootstrapLimits.fetchTime)
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let addresses = first else { throw ResolveError.timedOut }
            return addresses
        }
    }
}
