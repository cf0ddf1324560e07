import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `/rendezvous/1.0.0`: peers that look for the same thing meet under a name at a server that both know.
///
/// Every node can ask; with `isServer` it also is a meeting point. What a server tells is signed by the peers that it speaks of; peers of the first
/// version of the protocol, which knew no signatures, are served too, but told of to their like only. Spec: libp2p specs, rendezvous. Folder:
/// `RendezvousRegistry` who is registered, `RendezvousStore` its store, `RendezvousMessage` the wire form, `RendezvousKeeper` registrations that are
/// kept up, `RendezvousLimits` the bounds.
public final class Rendezvous: Service, MetricSource {
    public static let protocolID: ProtocolID = "/rendezvous/1.0.0"
    /// The table of a store that a server keeps its registrations in.
    public static let table = RendezvousStore.table

    struct State {
        weak var swarm: Swarm?
        var registry: RendezvousRegistry?
        var rates: [PeerID: Allowance] = [:]
        var signed: (addresses: [Multiaddr], envelope: Bytes)?
        /// Servers that know no signatures.
        var unsignedPoints: Set<PeerID> = []
        var answers: [String: UInt64] = [:]
    }

    public let isServer: Bool
    let store: RendezvousStore?
    let state = Mutex(State())
    private let keeper = Mutex<RendezvousKeeper?>(nil)

    /// - Parameters:
    ///   - isServer: whether others may register here.
    ///   - store: keeps what is registered over restarts, in `table`.
    public init(isServer: Bool = false, store: (any KeyValueStore)? = nil) {
        self.isServer = isServer
        self.store = store.map { RendezvousStore(store: $0) }
    }

    public var protocols: [ProtocolID] { isServer ? [Rendezvous.protocolID] : [] }

    public var limits: ServiceLimits { ServiceLimits(streamsPerPeer: RendezvousLimits.streamsPerPeer, streams: RendezvousLimits.streams) }

    public func registered(on swarm: Swarm) {
        state.withLock { $0.swarm = swarm }
        keeper.withLock { $0 = $0 ?? RendezvousKeeper(self, swarm) }
    }

    public func run(on swarm: Swarm) async throws {
        if isServer { await open(swarm) }
        guard let keeper = keeper.withLock({ $0 }) else { return }
        let home = swarm.system.home
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await keeper.run() }
            group.addTask { [self] in
                guard isServer else { return }
                do {
                    while true {
                        try await home.sleep(until: home.now + RendezvousLimits.sweepInterval)
                        await sweep(swarm)
                    }
                } catch {}
            }
        }
    }

    // MARK: Keeping up

    /// Registers under `namespace` with the server at `point`, and again before the registration is over, when our addresses change and after
    /// failures, until `release`. `point` ends in `/p2p/…`. With `searching`, connects to others who are registered there.
    public func keep(_ namespace: String, at point: Multiaddr, searching: Bool = false) throws(RendezvousError) {
        guard let peer = point.peer, let keeper = keeper.withLock({ $0 }) else { throw .noPoint }
        try RendezvousError.check(namespace)
        try keeper.keep(namespace, peer, point, searching)
    }

    /// Ends `keep`, and unregisters where the server can be reached.
    public func release(_ namespace: String, at point: PeerID) { keeper.withLock({ $0 })?.release(namespace, point) }

    /// Registrations that are kept up.
    public var kept: [RendezvousKept] { keeper.withLock({ $0 })?.all ?? [] }

    // MARK: Numbers

    public func report(to report: inout MetricReport) {
        let (count, namespaces, bytes, answers) = state.withLock {
            ($0.registry?.count ?? 0, $0.registry?.namespaces ?? 0, $0.registry?.bytes ?? 0, $0.answers)
        }
        report.gauge("waggle_rendezvous_registrations", "Registrations at this server.", count)
        report.gauge("waggle_rendezvous_namespaces", "Names under which somebody is registered at this server.", namespaces)
        report.gauge("waggle_rendezvous_registration_bytes", "Bytes of the registrations at this server.", bytes)
        for (name, value) in answers.sorted(by: { $0.key < $1.key }) {
            report.counter("waggle_rendezvous_requests_total", "Requests that this server answered.", value, ["outcome": name])
        }
    }
}

/// Why a rendezvous failed.
public enum RendezvousError: Error, Hashable, Sendable {
    /// The server refused, with its own words.
    case refused(RendezvousStatus, String)
    /// The server cannot be reached, or does not speak the protocol.
    case unreachable(SwarmError)
    /// The server broke off, took too long or answered something else.
    case broken
    /// Empty, or longer than `RendezvousLimits.namespace`.
    case invalidNamespace
    /// No address of a server that ends in its PeerID.
    case noPoint
    /// More registrations than `RendezvousLimits.kept`.
    case tooMany
    case cancelled

    static func check(_ namespace: String) throws(RendezvousError) {
        guard !namespace.isEmpty, namespace.utf8.count <= RendezvousLimits.namespace else { throw .invalidNamespace }
    }
}
