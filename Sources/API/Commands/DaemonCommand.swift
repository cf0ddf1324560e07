import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `daemon`: the node, its RPC API and its health, until it is asked to stop.
enum DaemonCommand {
    static let command: Command = Command(
        "daemon", "Run a network-connected IPFS node.",
        description: """
            Runs the node in the foreground: it listens for peers, answers the RPC API, and serves what the repository holds. The first
            interrupt or termination signal stops it cleanly, the second at once.

            While it runs, other commands work on it through the RPC API, whose address is in the file 'api' of the repository. The API gives
            full control of the node: keep it on the loopback.
            """,
        example: "> waggle daemon\n> waggle daemon --init --init-profile=server",
        options: [
            .flag("init", about: "Initialize the repository with default settings if not already initialized."),
            .string("init-profile", about: "Configuration profiles to apply for --init. See init --help for more."),
            .flag("offline", about: "Run offline. Do not connect to the rest of the network but provide local API."),
            .flag("migrate", about: "Accepted for compatibility; this version has nothing to migrate."),
            .flag("enable-gc", about: "Enable automatic periodic repo garbage collection."),
            .flag("enable-pubsub-experiment", about: "Deprecated: set Pubsub.Enabled in the configuration instead."),
            .flag("enable-namesys-pubsub", about: "Send records of names as messages too; the same as Ipns.UsePubsub."),
            .flag("manage-fdlimit", about: "Accepted for compatibility.", default: true),
            .string("init-config", about: "Path to existing configuration file to be loaded during --init."),
            .string("routing", about: "Overrides the routing option: default, auto, autoclient, dht, dhtclient, dhtserver, delegated, custom or none.", default: "default"),
            .string("agent-version-suffix", about: "Optional suffix to the AgentVersion that peers are told."),
        ],
        place: .client, needs: .nothing
    ) { request, session, _ in
        guard let console = session.console else { throw CommandError("the daemon runs in a process of its own") }
        let path = session.repositoryPath
        try checkRouting(request.string("routing") ?? "default")
        try console.print("Initializing daemon...\n\(banner)")
        if try !Repository.exists(at: path, on: session.system) {
            guard request.flag("init") else { throw CommandError("no IPFS repo found in \(path).\nplease run: '\(session.programName) init'") }
            let given = try request.string("init-config").map { file in
                try Configuration(parsing: try console.files.read(file, limit: Repository.configurationLimit), path: file)
            }
            try await InitCommand.create(at: path, KeyChoice(type: "ed25519", size: nil), profiles: request.string("init-profile"), given: given, session: session)
        }
        try checkPrivacy(path, console, session.system)
        let daemon = try await Daemon.start(request, path: path, console: console, system: session.system, programName: session.programName)
        try await daemon.run()
    }

    /// Who asks for a private network must not find himself in the public one.
    private static func checkPrivacy(_ path: String, _ console: any Console, _ system: any System) throws {
        if try system.files.status(path + "/swarm.key") != nil {
            throw CommandError("the repository has a swarm.key, but private networks are not supported; remove it to join the public network")
        }
        if console.environment["LIBP2P_FORCE_PNET"] == "1" { throw CommandError("LIBP2P_FORCE_PNET=1 asks for a private network, which is not supported") }
    }

    private static func checkRouting(_ name: String) throws(CommandError) {
        switch name {
        case "default", "none", "auto", "autoclient", "dht", "dhtclient", "dhtserver", "delegated", "custom": return
        case "supernode": throw CommandError("supernode routing was never fully implemented and has been removed")
        default: throw CommandError("unrecognized routing option: \(name)")
        }
    }

    private static var banner: String {
        "Waggle version: \(WaggleVersion.number)\nRepo version: \(WaggleVersion.repository)\nSystem version: \(WaggleVersion.system)\nSwift version: 6.3\n"
    }
}

/// A running daemon.
package final class Daemon: Sendable {
    private let node: ContentNode
    private let console: any Console
    private let path: String
    private let servers: [HTTPServer]
    private let stop: StopSignal
    private let collector: AutomaticCollection?
    private let parts: DaemonParts

    private init(
        node: ContentNode, console: any Console, path: String, servers: [HTTPServer], stop: StopSignal, collector: AutomaticCollection?,
        parts: DaemonParts
    ) {
        self.parts = parts
        self.node = node
        self.console = console
        self.path = path
        self.servers = servers
        self.stop = stop
        self.collector = collector
    }

    /// Opens everything and says where it listens; undoes what it did when something fails.
    static func start(
        _ request: Request, path: String, console: any Console, system: any System, programName: String
    ) async throws -> Daemon {
        let overrides = DaemonOverrides(console.environment)
        let configuration = try overrides.apply(to: loadConfiguration(path, system))
        var settings = try NodeSettings.make(configuration)
        settings.agentVersion = NodeSettings.agentVersion(configuration, suffix: request.string("agent-version-suffix"))
        settings.pubsub = try NodeSettings.pubsub(configuration, isForced: request.flagIfGiven("enable-pubsub-experiment"))
        settings.fetchSeeds = { url, limit in try await HTTPFetch.get(url, limit: limit, accept: "application/json, text/plain", system: system) }
        if let text = request.string("routing"), let type = RoutingType(rawValue: text) { settings.routing = type }
        var routing = try RoutingSettings.make(configuration, type: settings.routing, on: system)
        routing.namesOverPubSub = request.flagIfGiven("enable-namesys-pubsub") ?? routing.namesOverPubSub
        // They need publish-subscribe, whether it is asked for or not.
        if routing.namesOverPubSub, settings.pubsub == nil { settings.pubsub = try NodeSettings.pubsub(configuration, isForced: true) }
        let node = try await open(path, request.flag("offline") ? nil : settings, routing, configuration.peerID, system)
        var servers: [HTTPServer] = []
        do {
            // Left behind by a daemon that was killed; the repository is ours, so nobody answers there.
            for name in ["api", "gateway"] where try system.files.status("\(path)/\(name)") != nil { try system.files.remove("\(path)/\(name)") }
            try console.print("PeerID: \(node.identity.peer)\n")
            do { try await node.start() } catch { throw CommandError(SwarmText.explain(error)) }
            try printSwarm(node, console)
            let stop = StopSignal(on: system.home)
            let parts = DaemonParts(node: node, agentVersion: settings.agentVersion)
            try parts.addPeers(of: configuration)
            let session = Session(
                system: system, repositoryPath: path, console: nil, programName: programName, node: node, daemon: parts,
                shutdown: { stop.ask() })
            let started = system.home.now
            let (headers, hosts, authorizations) = (configuration.apiHeaders, configuration.apiHosts, configuration.apiAuthorizations)
            for text in configuration.apiAddresses {
                let server = try serve(text, system) { port in
                    APIFront(
                        rpc: RPCServer(
                            root: Commands.root, session: session, policy: RPCPolicy(port: port, headers: headers, hosts: hosts, authorizations: authorizations)),
                        health: Health(node: node, started: started, isOnline: node.online != nil), metrics: MetricsPage(node: node, started: started))
                }
                servers.append(server)
                try console.print("RPC API server listening on \(multiaddr(server.address))\n")
            }
            if let first = servers.first {
                try system.files.replace(path + "/api", with: Bytes(utf8: multiaddr(first.address.dialable)), mode: 0o644)
            }
            let gateways = try await DaemonGateway.listen(configuration, node, on: system)
            servers += gateways
            for gateway in gateways { try console.print("Gateway server listening on \(multiaddr(gateway.address))\n") }
            if let first = gateways.first {
                try system.files.replace(path + "/gateway", with: Bytes(utf8: "http://\(HostText.of(first.address.dialable))"), mode: 0o644)
            }
            let collector = request.flag("enable-gc") ? AutomaticCollection(node: node, configuration: configuration) : nil
            return Daemon(node: node, console: console, path: path, servers: servers, stop: stop, collector: collector, parts: parts)
        } catch {
            for server in servers { await server.close() }
            await node.close()
            throw error
        }
    }

    private static func loadConfiguration(_ path: String, _ system: any System) throws -> Configuration {
        try Configuration(parsing: try system.files.read(path + "/config", limit: Repository.configurationLimit), path: path + "/config")
    }

    private static func open(
        _ path: String, _ settings: NodeConfiguration?, _ routing: RoutingConfiguration, _ peer: String?, _ system: some System
    ) async throws -> ContentNode {
        try await ContentNode.open(path, network: settings, routing: routing, expectedPeer: peer, on: system)
    }

    private static func printSwarm(_ node: ContentNode, _ console: any Console) throws {
        let addresses = node.online?.swarm.listenAddresses ?? []
        if addresses.isEmpty { return try console.print("Swarm not listening, running in offline mode.\n") }
        // By host and port, with the transports that listen there.
        var hosts: [String: Set<String>] = [:]
        for address in addresses {
            if let socket = address.socketAddress(over: .tcp) { hosts[HostText.of(socket), default: []].insert("TCP") }
            if let socket = address.socketAddress(over: .udp) { hosts[HostText.of(socket), default: []].insert("UDP") }
        }
        for (host, kinds) in hosts.sorted(by: { $0.key < $1.key }) {
            try console.print("Swarm listening on \(host) (\(kinds.sorted().joined(separator: "+")))\n")
        }
    }

    private static func serve(_ text: String, _ system: any System, _ front: @escaping @Sendable (UInt16) -> APIFront) throws -> HTTPServer {
        guard let address = Multiaddr(text)?.socketAddress(over: .tcp) else {
            throw CommandError("Addresses.API: \(text) is not an address such as /ip4/127.0.0.1/tcp/5101")
        }
        let shared = SharedFront()
        do throws(HTTPServerError) {
            let server = try HTTPServer(on: address, system: system) { await shared.serve($0) }
            shared.set(front(server.address.port))
            return server
        } catch {
            switch error {
            case .addressInUse(let address):
                throw CommandError("serveHTTPApi: \(HostText.of(address)): address already in use; stop the other program or change Addresses.API with 'config'")
            case .permissionDenied(let address):
                throw CommandError("serveHTTPApi: \(HostText.of(address)): permission denied; ports below 1024 need privileges")
            case .failed(let address, let errno):
                throw CommandError("serveHTTPApi: cannot listen on \(HostText.of(address)) (errno \(errno))")
            }
        }
    }

    private static func multiaddr(_ address: SocketAddress) -> String { Multiaddr(address, over: .tcp).description }

    /// Says that it is ready and waits until someone asks it to stop; then ends everything in order.
    func run() async throws {
        let scope = TaskScope()
        scope.spawn(on: node.system.home) { [console, stop] in
            do {
                try await console.interrupted()
                try console.print("Received interrupt signal, shutting down...\n(Hit ctrl-c again to force-shutdown the daemon.)\n")
                stop.ask()
                try await console.interrupted()
                console.exit(1)
            } catch { stop.ask() }
        }
        if let collector { scope.spawn(on: node.system.home) { await collector.run() } }
        scope.spawn(on: node.system.home) { [parts] in await parts.peering.run() }
        do {
            try console.print("Daemon is ready\n")
            try await stop.wait()
        } catch {
            await end(scope)
            throw error
        }
        await end(scope)
    }

    private func end(_ scope: TaskScope) async {
        scope.cancelAll()
        parts.close()
        for name in ["api", "gateway"] {
            do { if try node.system.files.status("\(path)/\(name)") != nil { try node.system.files.remove("\(path)/\(name)") } } catch {
                console.writeError("Warning: \(CommandError(explaining: error).message)\n")
            }
        }
        for server in servers { await server.close() }
        await node.close()
        await scope.close()
    }
}

/// What a daemon has besides its node.
package final class DaemonParts: Sendable {
    package let bandwidth = BandwidthMeter()
    package let peering: Peering
    package let requests = RequestLog()
    package let agentVersion: String
    private let observation: SwarmObservation?

    init(node: ContentNode, agentVersion: String) {
        self.agentVersion = agentVersion
        let home = node.system.home
        peering = Peering(node.online?.swarm, on: home)
        observation = node.online?.swarm.observe(on: home) { [bandwidth] event in
            if case .disconnected(let connection, _) = event { bandwidth.closed(connection) }
        }
    }

    func close() { observation?.cancel() }

    /// `Peering.Peers`: a list of `{"ID": …, "Addrs": […]}`.
    func addPeers(of configuration: Configuration) throws(CommandError) {
        for entry in configuration["Peering.Peers"]?.array ?? [] {
            guard let text = entry["ID"]?.string, let peer = PeerText.parse(text) else {
                throw CommandError("Peering.Peers: an entry has no valid ID")
            }
            var addresses: [Multiaddr] = []
            for text in (entry["Addrs"]?.array ?? []).compactMap(\.string) {
                guard let address = Multiaddr(text) else { throw CommandError("Peering.Peers: \"\(text)\" is not an address") }
                addresses.append(address)
            }
            try peering.add(peer, addresses)
        }
    }
}

/// Hands requests to the API once it is there: its policy needs the port that the system chose.
private final class SharedFront: Sendable {
    private let front = Mutex<APIFront?>(nil)

    func set(_ new: APIFront) { front.withLock { $0 = new } }

    func serve(_ exchange: HTTPExchange) async {
        guard let front = front.withLock({ $0 }) else {
            exchange.begin(503, [])
            return exchange.end()
        }
        await front.serve(exchange)
    }
}

/// Lets any task ask a daemon to stop.
final class StopSignal: Sendable {
    private let asked = Mutex(false)
    private let waiter: Waiter
    private let home: any EventLoop

    init(on home: any EventLoop) {
        self.home = home
        waiter = Waiter(on: home)
    }

    func ask() {
        asked.withLock { $0 = true }
        home.execute { [waiter] in waiter.wake() }
    }

    func wait() async throws { while !asked.withLock({ $0 }) { try await waiter.wait() } }
}

/// The API's server: RPC, health and metrics.
struct APIFront: Sendable {
    let rpc: RPCServer
    let health: Health
    let metrics: MetricsPage

    func serve(_ exchange: HTTPExchange) async {
        let path = exchange.head.path
        let isHealth = Health.paths.contains(path)
        guard isHealth || MetricsPage.paths.contains(path) else { return await rpc.serve(exchange) }
        guard ["GET", "HEAD"].contains(exchange.head.method) else {
            exchange.begin(405, [("Allow", "GET, HEAD")])
            return exchange.end()
        }
        guard rpc.policy.admitsReading(exchange.head) else { return await rpc.refuse(exchange, 403, rpc.policy.refusal(of: exchange.head)) }
        if isHealth { await health.serve(exchange) } else { await metrics.serve(exchange) }
    }
}

/// `daemon --enable-gc`: collects when the repository is fuller than `Datastore.StorageGCWatermark` percent of `StorageMax`.
private final class AutomaticCollection: Sendable {
    private let node: ContentNode
    private let period: Duration
    private let threshold: UInt64
    private let log: Log

    init(node: ContentNode, configuration: Configuration) {
        self.node = node
        period = configuration["Datastore.GCPeriod"]?.string.flatMap { GoDuration.parse($0) } ?? .seconds(3600)
        let percent = UInt64(clamping: configuration["Datastore.StorageGCWatermark"]?.integer ?? 90)
        threshold = configuration.storageMaximum / 100 * min(percent, 100)
        log = Log("gc", to: node.system.log)
    }

    func run() async {
        let home = node.system.home
        do {
            while true {
                try await home.sleep(until: home.now + max(period, .seconds(1)))
                guard UInt64(try node.repository.statistics().blockBytes) > threshold else { continue }
                do { try await node.repository.collector.collect() } catch let error as GarbageCollector.Failure {
                    log(.warning, "collection failed", [LogField("error", error)])
                }
            }
        } catch is CancellationError {
        } catch {
            log(.error, "automatic collection ended", [LogField("error", "\(error)")])
        }
    }
}
