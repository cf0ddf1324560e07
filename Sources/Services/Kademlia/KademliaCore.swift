import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// A hash table at work on one swarm: keeps the table in step with the swarm's events, asks and answers, refreshes, and writes down what shall
/// outlive the process. Everything but the responder and the client lives on the home loop.
final class KademliaCore: @unchecked Sendable {
    let configuration: KademliaConfiguration
    let system: any System
    let home: any EventLoop
    let responder: KademliaResponder
    let client: KademliaClient
    let log: Log
    let archive: KademliaArchive?
    private(set) weak var swarm: Swarm?

    // Only on the home loop.
    var latency = LatencyEstimator()
    var networkSize = NetworkSize()
    var statistics = KademliaStatistics()
    var ownValues: [KademliaKey: (key: Bytes, value: Bytes, put: Instant)] = [:]
    private let scope = TaskScope()
    private var server: KademliaServer?
    private var alarm: Alarm?
    private(set) var isRunning = false
    private var hasJoined = false
    /// When our own surroundings are searched next.
    private var nextOwnLookup = Instant.distantFuture
    private var refreshes: [Int] = []
    private var isRefreshing = false
    /// Searches under way, and who waits for a turn.
    var lookups = 0
    let lookupEnded: Waiter
    /// An inbound connection from a public address has come: others reach this node.
    private var isReached = false
    private let isSaving = Mutex(false)
    private var nextSweep: Instant
    private var nextSave: Instant

    init(_ configuration: KademliaConfiguration, on swarm: Swarm) {
        self.configuration = configuration
        self.swarm = swarm
        system = swarm.system
        home = swarm.system.home
        log = Log("kad", to: swarm.system.log)
        // The clock is the home loop's; this may be called from elsewhere, so the table gets the time with its first event.
        responder = KademliaResponder(peer: swarm.localPeer, configuration: configuration, now: Instant(nanoseconds: 0))
        if swarm.localPeer.publicKey == nil, responder.validators["pk"] != nil {
            responder.state.withLock { $0.ownKey = swarm.identity.key.publicKey.encoded }
        }
        client = KademliaClient(configuration.protocolID)
        archive = configuration.store.map { KademliaArchive($0, configuration.prefix) }
        lookupEnded = Waiter(on: home)
        nextSweep = Instant(nanoseconds: 0)
        nextSave = nextSweep
    }

    // MARK: Life

    func run(on swarm: Swarm) async throws {
        isRunning = true
        let (saved, stale) = restore()
        alarm = Alarm(on: home) { [weak self] in self?.tick() }
        let observation = swarm.observe(on: home) { [weak self] event in self?.heard(event) }
        addressesChanged(swarm)
        for connection in swarm.connections { noteReached(connection, swarm) }
        for peer in swarm.peers { consider(peer, swarm) }
        nextSweep = home.now + KademliaLimits.sweepInterval
        nextSave = home.now + KademliaLimits.saveInterval
        tick()
        scope.spawn(on: home) { [self] in await reconnect(to: saved, swarm) }
        scope.spawn(on: home) { [self] in
            do { try await archive?.remove(stale) } catch { log(.warning, "records not removed", [LogField("error", "\(error)")]) }
        }
        do { try await Waiter(on: home).wait() } catch {}
        observation.cancel()
        alarm?.stop()
        isRunning = false
        await scope.close()
        client.close()
        if let server { swarm.unregister(server) }
        server = nil
        await save(durable: true, withPeers: true)
    }

    /// Runs `body` as a task that ends with the service; says false when it does not run.
    @discardableResult
    func spawn(_ body: @escaping @Sendable () async -> Void) -> Bool { isRunning && scope.spawn(on: home, body) }

    // MARK: The swarm's events

    private func heard(_ event: SwarmEvent) {
        guard let swarm, isRunning else { return }
        switch event {
        case .identified(let peer, _): consider(peer, swarm)
        case .connected(let connection): noteReached(connection, swarm)
        case .peerConnected(let peer): tell(.connected(peer))
        case .peerDisconnected(let peer):
            client.forget(peer)
            tell(.disconnected(peer))
        case .addressesChanged: addressesChanged(swarm)
        case .missed: for peer in swarm.peers { consider(peer, swarm) }
        default: break
        }
    }

    /// A peer told who it is: it belongs into the table if it serves the protocol and has addresses of the right kind.
    private func consider(_ peer: PeerID, _ swarm: Swarm) {
        guard swarm.addressBook.protocols(of: peer).contains(configuration.protocolID) else { return tell(.left(peer)) }
        let remotes = swarm.connections(to: peer).map(\.remoteAddress)
        guard !remotes.isEmpty, let contact = contact(of: peer, remotes, swarm) else { return }
        tell(.confirmed(contact, isConnected: true, group: IPGroup(remotes)))
    }

    /// Where the peer is, as it may be told to others; nil when it is of no use in this scope.
    private func contact(of peer: PeerID, _ remotes: [Multiaddr], _ swarm: Swarm) -> KademliaContact? {
        let addresses = Array(configuration.scope.told(swarm.addressBook.addresses(of: peer)).prefix(KademliaLimits.addressesPerPeer))
        switch configuration.scope {
        case .any: break
        case .wide: guard addresses.contains(where: { !$0.contains(.p2pCircuit) }) else { return nil }
        case .local:
            guard remotes.contains(where: { $0.ip?.isPrivate == true && !$0.contains(.p2pCircuit) }) else { return nil }
        }
        return addresses.isEmpty ? nil : KademliaContact(peer: peer, addresses: addresses)
    }

    /// What FIND_NODE may say of a peer that we are connected with.
    var contactOfConnected: (PeerID) -> KademliaContact? {
        { [weak self] peer in
            guard let self, let swarm else { return nil }
            let remotes = swarm.connections(to: peer).map(\.remoteAddress)
            return remotes.isEmpty ? nil : contact(of: peer, remotes, swarm)
        }
    }

    private func noteReached(_ connection: Connection, _ swarm: Swarm) {
        guard !isReached, connection.direction == .inbound, let ip = connection.remoteAddress.ip, !ip.isPrivate else { return }
        isReached = true
        chooseMode(swarm)
    }

    private func addressesChanged(_ swarm: Swarm) {
        let told = configuration.scope.told(swarm.announcedAddresses)
        let encoded = KademliaMessage.encode(KademliaContact(peer: swarm.localPeer, addresses: told))
        responder.state.withLock { $0.encodedSelf = encoded }
        chooseMode(swarm)
    }

    /// Serves, or stops to.
    private func chooseMode(_ swarm: Swarm) {
        let serves =
            switch configuration.mode {
            case .client: false
            case .server: true
            case .automatic: configuration.scope != .wide || isReached || swarm.announcedAddresses.contains { $0.isPublic && $0.ip != nil }
            }
        if serves, server == nil {
            let server = KademliaServer(configuration.protocolID, self)
            self.server = server
            swarm.register(server)
        } else if !serves, let server {
            self.server = nil
            swarm.unregister(server)
        }
    }

    var isServer: Bool { server != nil }

    // MARK: The table

    // Handle, drain, arm.
    func tell(_ input: RoutingTableMachine.Input) {
        let now = home.now
        let (outputs, deadline) = responder.state.withLock { state in
            state.table.handle(input, at: now)
            var outputs: [RoutingTableMachine.Output] = []
            while let output = state.table.next() { outputs.append(output) }
            return (outputs, state.table.deadline)
        }
        if isRunning { alarm?.set(deadline) }
        for output in outputs { act(on: output) }
    }

    private func act(on output: RoutingTableMachine.Output) {
        guard let swarm else { return }
        switch output {
        case .added(let peer):
            swarm.tag(peer, configuration.protocolID.text, value: KademliaCore.tagValue)
            join()
        case .removed(let peer): swarm.untag(peer, configuration.protocolID.text)
        case .check(let peer): check(peer, swarm)
        case .refresh(let bucket):
            refreshes.append(bucket)
            refreshNext()
        }
    }

    /// What a place in the table is worth when connections are trimmed; as go-libp2p.
    private static let tagValue = 5

    private func tick() {
        guard isRunning else { return }
        tell(.tick)
        client.sweep(home.now)
        if home.now >= nextOwnLookup {
            nextOwnLookup = home.now + configuration.refreshInterval
            spawn { [self] in await refresh(around: responder.own) }
        }
        if home.now >= nextSave, archive != nil {
            nextSave = home.now + KademliaLimits.saveInterval
            spawn { [self] in await save(durable: false, withPeers: true) }
        }
        if home.now >= nextSweep {
            nextSweep = home.now + KademliaLimits.sweepInterval
            let now = system.wallTime
            responder.state.withLock { state in
                state.providers.sweep(at: now)
                state.values.sweep(at: now)
            }
            recordsChanged()
            republish()
        }
    }

    /// The first peers are there: finds those around us.
    private func join() {
        guard !hasJoined else { return }
        hasJoined = true
        spawn { [self] in
            // Some more may come at the same moment.
            do { try await home.sleep(until: home.now + .milliseconds(200)) } catch { return }
            nextOwnLookup = home.now + configuration.refreshInterval
            await refresh(around: responder.own)
        }
    }

    private func refreshNext() {
        guard !isRefreshing, !refreshes.isEmpty else { return }
        let bucket = refreshes.removeFirst()
        isRefreshing = spawn { [self] in
            await refresh(around: responder.own.sibling(at: bucket, rest: KademliaKey(hashing: Bytes(system.randomBytes(32)))), bits: bucket + 1)
            tell(.refreshed(bucket: bucket))
            isRefreshing = false
            refreshNext()
        }
    }

    /// A search for a place without a use of its own. Requests carry keys and not places, so only the first `bits` of the place are aimed at.
    private func refresh(around place: KademliaKey, bits: Int = 0) async {
        do {
            let isOwn = place == responder.own
            let key = isOwn ? responder.peer.bytes : KademliaAim.key(near: place, bits: bits, seed: Bytes(system.randomBytes(32)))
            let target = isOwn ? place : KademliaKey(hashing: key)
            let found = try await search(target, asking: KademliaMessage.encode(.findNode, key: key), isRefresh: true) { _, _ in true }
            let keys = found.closest.map { KademliaKey($0.peer) }
            if !isOwn {
                networkSize.record(keys, around: target)
            } else if keys.count >= configuration.k, let farthest = keys.last {
                // Whoever is closer to us than that one was found.
                tell(.surveyed(from: responder.own.commonPrefix(with: farthest) + 1))
            }
        } catch {
            log(.debug, "refresh failed", [LogField("error", "\(error)")])
        }
    }

    private func check(_ peer: PeerID, _ swarm: Swarm) {
        let contact = KademliaContact(peer: peer, addresses: responder.state.withLock { $0.table.row(of: peer)?.contact.addresses ?? [] })
        spawn { [self] in
            // Not a PING: some implementations do not answer it.
            do { _ = try await request(KademliaMessage.encode(.findNode, key: responder.peer.bytes), contact, swarm) } catch {}
        }
    }

    // MARK: Keeping

    /// A request was refused. What proves that the peer is none of ours counts against it.
    func misbehaved(_ peer: PeerID, _ violation: KademliaResponder.Violation) {
        log(.debug, "request refused", [LogField("peer", peer.short), LogField("reason", violation.rawValue)])
        switch violation {
        case .malformed: swarm?.reputation.report(peer, .malformedMessage)
        // A record may have expired on its way, so one is nothing.
        case .invalidRecord: swarm?.reputation.report(peer, KademliaCore.invalidRecord)
        case .unsupported, .noKey, .foreignProvider, .outdatedRecord, .unknownNamespace, .quota: break
        }
    }

    /// A record that its namespace's rules refuse.
    private static let invalidRecord = Offence("kad-invalid-record", weight: 1)

    /// Brings back what was written down; gives the peers that were in the table, and the keys of what is of no use any more.
    private func restore() -> (peers: [KademliaContact], stale: [Bytes]) {
        guard let archive else { return ([], []) }
        let now = system.wallTime
        do {
            return try responder.state.withLock { state in
                let contents = try archive.read(&state.providers, &state.values, at: now)
                _ = state.providers.takeChanges()
                _ = state.values.takeChanges()
                state.providers.keepsChanges = true
                state.values.keepsChanges = true
                return contents
            }
        } catch {
            log(.warning, "records not read", [LogField("error", "\(error)")])
            return ([], [])
        }
    }

    /// Records have changed, perhaps: they are written soon.
    func recordsChanged() {
        guard archive != nil else { return }
        let isFirst = isSaving.withLock { isSaving in
            defer { isSaving = true }
            return !isSaving
        }
        guard isFirst else { return }
        let started = scope.spawn(on: home) { [self] in
            do { try await home.sleep(until: home.now + KademliaLimits.writeDelay) } catch {}
            isSaving.withLock { $0 = false }
            if !Task.isCancelled { await save(durable: false, withPeers: false) }
        }
        if !started { isSaving.withLock { $0 = false } }
    }

    private func save(durable: Bool, withPeers: Bool) async {
        guard let archive else { return }
        let (providers, values, rows) = responder.state.withLock { state in
            (state.providers.takeChanges(), state.values.takeChanges(), withPeers ? state.table.rows : nil)
        }
        do { try await archive.write(providers, values, peers: rows?.map(\.contact), durable: durable) } catch {
            log(.warning, "records not written", [LogField("error", "\(error)")])
        }
    }

    /// After a restart the peers of the last run are the way back into the network.
    private func reconnect(to contacts: [KademliaContact], _ swarm: Swarm) async {
        var rest = contacts[...]
        while !rest.isEmpty, responder.state.withLock({ $0.table.count }) < configuration.k, !Task.isCancelled {
            let batch = rest.prefix(configuration.alpha)
            rest = rest.dropFirst(batch.count)
            let scope = TaskScope()
            for contact in batch where !swarm.isConnected(contact.peer) {
                scope.spawn(on: home) {
                    do { _ = try await swarm.connectDirectly(to: contact.peer, addresses: contact.addresses) } catch {}
                }
            }
            await withTaskCancellationHandler { await scope.drain() } onCancel: { scope.cancelAll() }
        }
    }

    /// Puts the values of our own again before others forget them.
    private func republish() {
        let now = home.now
        for (place, own) in ownValues.sorted(by: { $0.key < $1.key }) where now - own.put >= KademliaLimits.republishInterval {
            ownValues[place]?.put = now
            spawn { [self] in
                do { try await put(own.value, for: own.key) } catch {
                    log(.info, "value not put again", [LogField("error", "\(error)")])
                    // Invalid by now, or replaced by a better one.
                    switch error as? KademliaError {
                    case .invalidKey, .invalidValue, .outdated: ownValues[place] = nil
                    default: break
                    }
                }
            }
        }
    }
}
