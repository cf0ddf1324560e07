import Synchronization
import WaggleBase
import WaggleFormats

/// All connections of a node: dials, listens, keeps within the limits, and brings inbound streams to the services.
///
/// Every member is safe from any thread. Waiting happens on the home loop and on the connections' loops.
public final class Swarm: Sendable {
    public let system: any System
    public let identity: LocalIdentity
    public let configuration: SwarmConfiguration
    public let addressBook: AddressBook
    /// Who may connect. Changes close the connections that they forbid.
    public let gate: ConnectionGate
    /// Who misbehaved: services report here.
    public let reputation: Reputation
    /// What the buffers of all streams may take.
    public let memory: MemoryBudget

    let transports: [any Transport]
    let log: Log
    let hub = EventHub()
    let scope = TaskScope()
    let table: Mutex<ConnectionTable>
    let services = Mutex(ServiceTable())
    let listeners = Mutex<[Listening]>([])
    let isRunning = Mutex(false)
    /// What this node counts, for its operators; services that are a `MetricSource` are in it.
    public let metrics: Metrics
    let counting = SwarmMetrics()
    let observed = Mutex(ObservedAddresses())
    let dialer: Dialer
    /// Finds the IP addresses of host names.
    public let resolver: AddressResolver
    let keeper: Keeper
    private let nextLoopIndex = Atomic<Int>(0)
    private let contextBox = Mutex<TransportContext?>(nil)
    private let routingBox = Mutex<(any PeerRouting)?>(nil)

    /// A listener and the addresses that reach it.
    struct Listening {
        let listener: any TransportListener
        var addresses: [Multiaddr]
    }

    public init(
        system: any System, identity: LocalIdentity, configuration: SwarmConfiguration, transports: [any Transport], addressBook: AddressBook,
        reputation: Reputation? = nil
    ) {
        self.system = system
        self.identity = identity
        self.configuration = configuration
        self.transports = transports
        self.addressBook = addressBook
        self.reputation = reputation ?? Reputation(system: system)
        gate = ConnectionGate(configuration.gate)
        memory = MemoryBudget(limit: configuration.limits.memory)
        log = Log("swarm", to: system.log)
        table = Mutex(ConnectionTable(configuration.limits))
        metrics = Metrics(on: system.home)
        dialer = Dialer(on: system.home, configuration)
        resolver = AddressResolver(system: system)
        keeper = Keeper(on: system.home, configuration)
        metrics.add(SwarmSource(self))
        metrics.add(resolver)
        self.reputation.attach(
            addresses: { [weak self] in self?.provenAddresses(of: $0) ?? [] },
            enforce: { [weak self] peer in self?.connections(to: peer).forEach { $0.close(.gated) } })
        gate.onChange { [weak self] _ in self?.enforceGate() }
        addressBook.spare { [weak self] in Set(self?.peers ?? []) }
    }

    /// Who this node is.
    public var localPeer: PeerID { identity.peer }

    /// Whether this is one of the names of this node.
    func isOurselves(_ peer: PeerID) -> Bool { peer == identity.peer || peer == identity.second?.peer }

    var home: any EventLoop { system.home }

    var isClosed: Bool { table.withLock { $0.isClosed } }

    /// Loops take turns with new connections.
    func nextLoop() -> any EventLoop {
        let index = nextLoopIndex.wrappingAdd(1, ordering: .relaxed).oldValue
        return system.loops[Int(UInt(bitPattern: index) % UInt(system.loops.count))]
    }

    /// What transports work with; made at first use, because it points back here.
    var context: TransportContext {
        contextBox.withLock { box in
            if let box { return box }
            let context = TransportContext(
                system: system,
                upgrader: Upgrader(system: system, identity: identity, configuration: configuration, router: SwarmRouter(self), budget: memory),
                admit: { [weak self] ip in self?.admits(ip) ?? false },
                accept: { [weak self] incoming in
                    if let self { accept(incoming) } else { incoming.refuse() }
                })
            box = context
            return context
        }
    }

    // MARK: Life

    /// Starts the services; `close` ends them.
    public func start() {
        let services: [any Service]? = self.services.withLock { services in
            isRunning.withLock { isRunning in
                defer { isRunning = true }
                return isRunning ? nil : services.services
            }
        }
        guard let services else { return }
        for service in services { start(service) }
        scope.spawn(on: home) { [self] in await watchSurroundings() }
    }

    /// Runs the services until the task is cancelled, then closes everything.
    public func run() async {
        start()
        await home.run { [home] in
            do { try await Waiter(on: home).wait() } catch {}
        }
        await close()
    }

    /// Stops listening and dialing, ends the services, closes the connections and ends the events. Returns when all is done.
    public func close() async {
        let wasClosed = table.withLock { table in
            defer { table.isClosed = true }
            return table.isClosed
        }
        guard !wasClosed else { return }
        for listening in listeners.withLock({ listeners in
            defer { listeners = [] }
            return listeners
        }) { listening.listener.close() }
        await dialer.close()
        await resolver.close()
        await scope.close()
        let open = connections
        for connection in open { connection.close(.shutdown) }
        await keeper.drain(open, handlers: true)
        await keeper.close()
        hub.end()
        gate.onChange(nil)
        await reputation.close()
    }

    /// Writes into the log of the swarm.
    package func note(_ level: LogLevel, _ message: StaticString, _ fields: [LogField] = []) { log(level, message, fields) }

    private func start(_ service: any Service) {
        scope.spawn(on: home) { [self] in
            do { try await service.run(on: self) } catch {
                if !Task.isCancelled { log(.warning, "service ended", [LogField("error", "\(error)")]) }
            }
        }
    }

    /// Who is asked about peers whose addresses are not known, or are all dead; nil for nobody.
    public var routing: (any PeerRouting)? {
        get { routingBox.withLock { $0 } }
        set { routingBox.withLock { $0 = newValue } }
    }

    // MARK: Services

    /// Adds a service; its protocols are served, and told to others, from now on.
    public func register(_ service: any Service) {
        service.registered(on: self)
        if let source = service as? any MetricSource { metrics.add(source) }
        let (protocols, start) = services.withLock { services in
            services.add(service)
            return (services.protocols, isRunning.withLock { $0 })
        }
        if start { self.start(service) }
        hub.emit(.protocolsChanged(protocols))
    }

    /// Takes a service back: its protocols are not served any more. Streams that it serves already go on.
    public func unregister(_ service: any Service) {
        let protocols = services.withLock { services in
            services.remove(service)
            return services.protocols
        }
        hub.emit(.protocolsChanged(protocols))
    }

    /// What this node serves, sorted.
    public var supportedProtocols: [ProtocolID] { services.withLock { $0.protocols } }

    // MARK: Connections

    /// All open connections, the oldest first.
    public var connections: [Connection] { table.withLock { $0.all.map(\.connection) } }

    /// The open connections with `peer`, the one that new streams go to first.
    public func connections(to peer: PeerID) -> [Connection] { table.withLock { $0.entries(of: peer).map(\.connection) } }

    /// Connected peers, sorted.
    public var peers: [PeerID] { table.withLock { $0.peers } }

    /// How many peers are connected; cheaper than to list them.
    public var peerCount: Int { table.withLock { $0.peerCount } }

    public func isConnected(_ peer: PeerID) -> Bool { table.withLock { $0.isConnected(peer) } }

    /// Closes all connections with `peer` and returns when they are gone.
    public func disconnect(_ peer: PeerID) async {
        let open = connections(to: peer)
        for connection in open { connection.close(.normal) }
        // Without the handlers: the caller may be one of them.
        await keeper.drain(open, handlers: false)
    }

    /// Spares the connections of `peer` from trimming and idle time-outs for as long as one tag protects it.
    public func protect(_ peer: PeerID, tag: String) { table.withLock { $0.protect(peer, tag) } }

    /// Takes one protection back; says whether another holds.
    @discardableResult
    public func unprotect(_ peer: PeerID, tag: String) -> Bool { table.withLock { $0.unprotect(peer, tag) } }

    public func isProtected(_ peer: PeerID) -> Bool { table.withLock { $0.isProtected(peer) } }

    /// Gives `peer` a value under the name `tag`, replacing an earlier one. Trimming closes the peers with the least sum first.
    public func tag(_ peer: PeerID, _ tag: String, value: Int) { table.withLock { $0.tag(peer, tag, value: value) } }

    public func untag(_ peer: PeerID, _ tag: String) { table.withLock { $0.untag(peer, tag) } }

    // MARK: Events

    /// Events from now on; see `SwarmEvents`.
    public func subscribe(capacity: Int? = nil) -> SwarmEvents {
        hub.subscribe(capacity: capacity ?? configuration.eventBuffer, on: home)
    }

    /// Calls `handle` on `loop` for every event from now on, in order, until the observation is cancelled.
    public func observe(on loop: any EventLoop, _ handle: @escaping @Sendable (SwarmEvent) -> Void) -> SwarmObservation {
        hub.observe(on: loop, handle)
    }

    /// Tells the others that `peer` identified itself. For the identify service.
    package func identified(_ information: PeerInformation, over connection: Connection) {
        addressBook.update(information, from: connection.remoteAddress)
        if let seen = information.observedAddress { observe(seen, over: connection) }
        hub.emit(.identified(information.peer, information))
    }
}
