import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Reads the document at a URL, at most so many bytes. Handed down by who has an HTTP client.
public typealias SeedFetch = @Sendable (_ url: String, _ limit: Int) async throws -> Bytes

/// Keeps a node in touch with its network: connects to the configured peers at the start, and looks for peers again whenever too few are left:
/// the configured ones first, then lists of seeds, then peers that it was connected to in its earlier life.
///
/// Rounds that bring nobody new come less and less often. To be alone is normal for the first node of a network: it is said once. Folder:
/// `SeedSource` an entry of the list, `SeedList` lists that others publish, `GoodPeers` what is remembered, `BootstrapLimits` the bounds.
public final class Bootstrap: Service, MetricSource {
    struct Counts {
        var rounds: UInt64 = 0
        var emptyRounds: UInt64 = 0
        var reached: [Origin: UInt64] = [:]
        var remembered = 0
        var isAlone = true
    }

    /// Where a peer was known from.
    enum Origin: String, CaseIterable { case configured, list, remembered }

    private let sources: [SeedSource]
    private let fetch: SeedFetch?
    private let store: (any KeyValueStore)?
    private let counts = Mutex(Counts())

    /// - Parameters:
    ///   - sources: whom to connect to, and where to read of others.
    ///   - fetch: how to read documents; without it, sources that are documents are left out.
    ///   - store: keeps good peers over restarts in its table "bootstrap".
    public init(_ sources: [SeedSource], fetch: SeedFetch? = nil, store: (any KeyValueStore)? = nil) {
        self.sources = Array(sources.prefix(BootstrapLimits.configured))
        self.fetch = fetch
        self.store = store
    }

    /// Peers by their addresses alone.
    public convenience init(_ addresses: [Multiaddr]) { self.init(addresses.map { .address($0) }) }

    public var protocols: [ProtocolID] { [] }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {}

    public func run(on swarm: Swarm) async throws {
        let seeker = PeerSeeker(swarm, sources, fetch, GoodPeers(store, swarm.system)) { [self] change in counts.withLock { change(&$0) } }
        do { try await seeker.run() } catch {}  // Only the end of the node.
        await seeker.close()
    }

    public func report(to report: inout MetricReport) {
        let counts = counts.withLock { $0 }
        report.counter("waggle_bootstrap_rounds_total", "Rounds of looking for peers.", counts.rounds - counts.emptyRounds, ["outcome": "found"])
        report.counter("waggle_bootstrap_rounds_total", "Rounds of looking for peers.", counts.emptyRounds, ["outcome": "nobody"])
        for origin in Origin.allCases {
            report.counter(
                "waggle_bootstrap_peers_reached_total", "Peers connected to while looking for peers.", counts.reached[origin] ?? 0, ["origin": origin.rawValue])
        }
        report.gauge("waggle_bootstrap_remembered_peers", "Peers remembered for the next start.", counts.remembered)
        report.gauge("waggle_bootstrap_alone", "1 while no peer is connected.", counts.isAlone ? 1 : 0)
    }
}
