import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The exchange of blocks with connected peers: fetches what sessions want, and serves what others want.
///
/// Speaks `/ipfs/bitswap/1.2.0`, 1.1.0, 1.0.0 and the bare id. Spec: ipfs/specs, bitswap-protocol.
/// Map of the folder: this type and its extensions are the shell, with all state on the home loop. `SessionMachine` decides what is asked of
/// whom, `LedgerMachine` who is served next, `BitswapSession` is a reader's view, `PeerLink` and the pumps carry messages out,
/// `BlockIntake` takes fetched blocks to the store.
public final class Bitswap: Service, @unchecked Sendable {
    let store: BlockStore
    let system: any System
    let home: any EventLoop
    let log: Log
    /// Where providers of blocks are looked for that no connected peer has; nil for nowhere.
    let routing: (any ContentRouting)?
    /// How peers served us before, and where what they do now is noted.
    let providers: ProviderStatistics?

    // All below only on the home loop.
    var client = SessionMachine()
    var server = LedgerMachine()
    var links: [PeerID: PeerLink] = [:]
    var readers: [SessionMachine.SessionID: BitswapSession] = [:]
    var statisticsSoFar = BitswapStatistics()
    private(set) weak var swarm: Swarm?
    private(set) var isRunning = false
    var scope = TaskScope()
    let intake: BlockIntake
    var searches = 0
    /// The verified blocks of the message at hand.
    var arriving: [Multihash: Block] = [:]
    private var nextSession: SessionMachine.SessionID = 0
    private var alarm: Alarm?

    /// Peers whose blocks are thrown away unread, and until when. Read on every loop.
    let ignored = Mutex<[PeerID: Instant]>([:])

    /// All versions, best first, as they are offered and asked for.
    public let protocols: [ProtocolID]

    public convenience init(store: BlockStore, routing: (any ContentRouting)? = nil, providers: ProviderStatistics? = nil) {
        self.init(store: store, routing: routing, providers: providers, protocols: BitswapVersion.protocols)
    }

    /// With fewer protocols than all.
    init(store: BlockStore, routing: (any ContentRouting)? = nil, providers: ProviderStatistics? = nil, protocols: [ProtocolID]) {
        self.store = store
        self.protocols = protocols
        self.routing = routing
        self.providers = providers
        system = store.system
        home = store.system.home
        log = Log("bitswap", to: store.system.log)
        intake = BlockIntake(store: store)
    }

    public var limits: ServiceLimits { ServiceLimits(streamsPerPeer: BitswapLimits.streamsPerPeer) }

    // MARK: Life

    public func run(on swarm: Swarm) async throws {
        self.swarm = swarm
        isRunning = true
        scope = TaskScope()
        alarm = Alarm(on: home) { [weak self] in self?.tell(client: .tick) }
        let observation = swarm.observe(on: home) { [weak self] event in
            switch event {
            case .peerConnected(let peer): self?.connected(peer)
            case .peerDisconnected(let peer): self?.disconnected(peer)
            default: break
            }
        }
        store.observe("bitswap") { [weak self] blocks in self?.noticeStored(blocks) }
        for peer in swarm.peers { connected(peer) }
        do { try await Waiter(on: home).wait() } catch {}
        store.observe("bitswap", nil)
        observation.cancel()
        isRunning = false
        alarm?.stop()
        alarm = nil
        for peer in links.keys.sorted() { disconnected(peer) }
        for id in readers.keys.sorted() { readers[id]?.stop() }
        await scope.close()
        await intake.drain()
    }

    func connected(_ peer: PeerID) {
        guard isRunning, links[peer] == nil else { return }
        links[peer] = PeerLink(peer, on: home)
        tell(server: .connected(peer))
        tell(client: .connected(peer))
        if let record = providers?.record(of: peer) { tell(client: .remembered(peer, record)) }
    }

    func disconnected(_ peer: PeerID) {
        guard let link = links.removeValue(forKey: peer) else { return }
        ignored.withLock { $0[peer] = nil }
        swarm?.untag(peer, Bitswap.tag)
        tell(server: .disconnected(peer))
        tell(client: .disconnected(peer))
        link.dropChanges()
        link.envelopes.removeAll()
        link.wants.work.wake()
        link.blocks.work.wake()
    }

    /// Peers that blocks are exchanged with are the last to be trimmed.
    func exchanged(_ bytes: Int, with peer: PeerID) {
        guard bytes > 0, let link = links[peer], link.exchange(bytes) else { return }
        swarm?.tag(peer, Bitswap.tag, value: link.value)
    }

    private static let tag = "bitswap"

    // MARK: Machines

    func tell(client input: SessionMachine.Input) {
        client.handle(input, at: home.now)
        while let output = client.next() { perform(output) }
        alarm?.set(client.deadline)
    }

    func tell(server input: LedgerMachine.Input) {
        server.handle(input, at: home.now)
        while let output = server.next() {
            switch output {
            case .locate(let peer, let cids): locate(cids, for: peer)
            case .send(let peer, let envelope): send(envelope, to: peer)
            case .flood(let peer): swarm?.reputation.report(peer, .wantlistFlood)
            }
        }
    }

    private func perform(_ output: SessionMachine.Output) {
        switch output {
        case .open(let peer): open(peer)
        case .tell(let peer, let entry): send(entry, to: peer)
        case .accept(let key, let sessions): accept(key, sessions)
        case .search(let cid, _): search(cid)
        case .stalled(let peer): providers?.update(peer, success: false)
        case .violation(let peer):
            log(.warning, "a peer sends blocks that nobody asked for", [LogField("peer", peer)])
            swarm?.reputation.report(peer, .unrequestedBlocks)
            ignored.withLock { $0[peer] = home.now + BitswapLimits.ban }
        }
    }

    private func locate(_ cids: [CID], for peer: PeerID) {
        scope.spawn(on: home) { [self] in
            do {
                let sizes = try await store.sizes(of: cids)
                tell(server: .located(peer, Array(zip(cids, sizes)).map { (cid: $0.0, size: $0.1) }))
            } catch {
                // The store is closing or broken: the wants stay unanswered.
                log(.warning, "the store cannot be read", [LogField("error", "\(error)")])
            }
        }
    }

    /// Blocks came into the store, ours or fetched.
    private func noticeStored(_ blocks: [(key: Multihash, size: Int)]) {
        home.execute { [self] in
            guard isRunning else { return }
            tell(server: .stored(blocks))
            guard !readers.isEmpty else { return }
            let keys = blocks.map(\.key)
            for id in readers.keys.sorted() { readers[id]?.lookAgain(keys) }
            if !client.isIdle { tell(client: .stored(keys)) }
        }
    }

    // MARK: Sessions

    /// Runs `body` with a source that reads the local store first and fetches the rest from peers; best one for each graph. Not `storing`,
    /// fetched blocks are left to the caller, who puts them where they belong.
    public func withSession<R>(storing: Bool = true, _ body: (BitswapSession) async throws -> R) async rethrows -> R {
        let session = await makeSession(storing: storing)
        do {
            let result = try await body(session)
            await session.close()
            return result
        } catch {
            await session.close()
            throw error
        }
    }

    /// A session that the caller must close.
    public func makeSession(storing: Bool = true) async -> BitswapSession {
        await home.run {
            self.nextSession += 1
            let session = BitswapSession(self.nextSession, of: self, isStoring: storing)
            self.readers[self.nextSession] = session
            self.tell(client: .opened(self.nextSession))
            return session
        }
    }

    func close(_ id: SessionMachine.SessionID) {
        guard readers.removeValue(forKey: id) != nil else { return }
        tell(client: .closed(id))
    }

    // MARK: Looking in

    /// What was exchanged with a connected peer; nil for others.
    public func ledger(of peer: PeerID) async -> BitswapLedger? { await home.run { self.server.ledger(of: peer) } }

    /// What a connected peer wants from us.
    public func wantlist(of peer: PeerID) async -> [CID] { await home.run { self.server.wantlist(of: peer) } }

    public func statistics() async -> BitswapStatistics {
        await home.run {
            var statistics = self.totals
            statistics.peers = self.links.keys.sorted()
            return statistics
        }
    }

    /// All but the peers. On the home loop.
    var totals: BitswapStatistics {
        var statistics = statisticsSoFar
        statistics.wantlist = client.wantlist
        statistics.duplicateBlocks = client.duplicates
        statistics.unrequestedBlocks = client.unrequested
        return statistics
    }
}
