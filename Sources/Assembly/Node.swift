import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleStack

/// A libp2p node: an identity, a swarm and its services.
/// ```swift
/// let node = try await Node(.preset(.publicServer), on: .linux())
/// node.add(Echo())
/// try await node.run { node in
///     try await node.withStream(to: peer, "/echo/1.0.0") { stream in
///         try await stream.write("hello")
///         stream.finish()
///         print(try await stream.readAll(limit: .kibibytes(64)))
///     }
/// }
/// ```
/// In a test only `on:` changes: `world.system(for: host)`.
public final class Node: Sendable {
    public let configuration: NodeConfiguration
    public let system: any System
    public let swarm: Swarm
    public let identify: Identify?
    public let ping: Ping?
    /// Topics; nil unless the configuration asks for them.
    public let pubsub: PubSub?
    public let fetch: Fetch?
    public let rendezvous: Rendezvous?

    /// The tables of a store that a node works with.
    public static let tables = [AddressBook.table, Reputation.table, IdentityBindings.table, GoodPeers.table, Rendezvous.table, PubSub.table]

    /// Puts a node together; nothing listens before `run` or `start`.
    ///
    /// `store`, opened with `tables`, keeps what is known of peers over restarts; without one it is forgotten at the end.
    public init(_ configuration: NodeConfiguration, on system: some System, store: (any KeyValueStore)? = nil) async throws {
        self.configuration = configuration
        self.system = system
        if let implementation = configuration.postQuantum { PostQuantum.use(implementation) }
        let key = try (configuration.identity ?? Node.generateKey(system)).hedged(on: system)
        let second = configuration.secondIdentity.flatMap { SecondIdentity($0.hedged(on: system), of: key) }
        let identity = LocalIdentity(key, second: second)
        let identities = try IdentityBindings(system: system, store: store)
        let chain = try configuration.chain.map { try $0.channel(identity, identities) }
        let channels =
            try configuration.channels?(identity)
            ?? Catalog.channels(
                NoiseKeys(identity: identity, secret: Node.secret(system), bindings: identities), chain: chain, configuration.chain?.place ?? .first)
        var settings = SwarmConfiguration(channels: channels, muxers: Catalog.muxers)
        settings.policy = configuration.policy
        settings.limits = configuration.limits
        // Each handshake costs a signature, of which SLH-DSA takes 60 ms and a long RSA key 10. They are computed off the loops, so all together
        // may take most of one core: 12 a second, and one in two seconds for each address.
        if key.isSlow { settings.limits.slowHandshakes(by: 40) }
        settings.gate = configuration.gate
        settings.dialing = configuration.dialing
        settings.trimming = configuration.trimming
        settings.idleTimeout = configuration.idleTimeout
        settings.announce = configuration.announce
        settings.appendAnnounce = configuration.appendAnnounce
        settings.noAnnounce = configuration.noAnnounce
        let book = try AddressBook(system: system, store: store, limits: configuration.addressBook, identities: identities)
        let reputation = try Reputation(system: system, store: store, limits: configuration.reputation)
        swarm = Swarm(
            system: system, identity: identity, configuration: settings, transports: Catalog.transports, addressBook: book, reputation: reputation)
        let services = Catalog.services(configuration, store: store)
        identify = services.lazy.compactMap { $0 as? Identify }.first
        ping = services.lazy.compactMap { $0 as? Ping }.first
        pubsub = services.lazy.compactMap { $0 as? PubSub }.first
        fetch = services.lazy.compactMap { $0 as? Fetch }.first
        rendezvous = services.lazy.compactMap { $0 as? Rendezvous }.first
        for service in services { swarm.register(service) }
        for point in configuration.rendezvous.points {
            for namespace in configuration.rendezvous.namespaces { try rendezvous?.keep(namespace, at: point, searching: true) }
        }
    }

    // MARK: Life

    /// Listens and runs the services while `body` runs, and closes everything when it returns or throws.
    public func run<R: Sendable>(_ body: (Node) async throws -> R) async throws -> R {
        do {
            try await start()
            let result = try await body(self)
            await close()
            return result
        } catch {
            await close()
            throw error
        }
    }

    /// Listens and runs the services until the task is cancelled.
    public func run() async throws {
        try await run { node in
            await node.system.home.run { [home = node.system.home] in
                do { try await Waiter(on: home).wait() } catch {}
            }
        }
    }

    /// Starts listening and the services. `close` must follow; `run` does both.
    public func start() async throws(SwarmError) {
        swarm.start()
        var failure: SwarmError?
        for address in configuration.listen {
            do throws(SwarmError) { try await swarm.listen(on: address) } catch {
                switch error {
                case .listenFailed(_, .network(.addressInUse)), .listenFailed(_, .network(.permissionDenied)), .unsupportedAddress: throw error
                // A host without IPv6, say.
                default: failure = error
                }
                swarm.note(.warning, "not listening", [LogField("address", address), LogField("error", "\(error)")])
            }
        }
        if let failure, swarm.listenAddresses.isEmpty { throw failure }
    }

    /// Closes the swarm and writes the address book.
    public func close() async {
        await swarm.close()
        await swarm.addressBook.close()
    }

    // MARK: Use

    /// What this node counts: add sources of your own, or `collect` the numbers.
    public var metrics: Metrics { swarm.metrics }

    /// Who this node is.
    public var peer: PeerID { swarm.localPeer }

    /// Where this node listens.
    public var listenAddresses: [Multiaddr] { swarm.listenAddresses }

    /// Adds a service.
    public func add(_ service: any Service) { swarm.register(service) }

    /// Connects to an address, best with `/p2p/…` at its end, and returns when the peer has also said what it speaks, so that services know it.
    /// `swarm.connect` returns as soon as there is a connection.
    @discardableResult
    public func connect(_ address: Multiaddr) async throws(SwarmError) -> Connection { try await settled(try await swarm.connect(address)) }

    /// The same with a peer, at these addresses and those that are known; what failed lately is left alone for a while unless `ignoringBackOff`.
    @discardableResult
    public func connect(to peer: PeerID, addresses: [Multiaddr] = [], ignoringBackOff: Bool = false) async throws(SwarmError) -> Connection {
        try await settled(try await swarm.connect(to: peer, addresses: addresses, ignoringBackOff: ignoringBackOff))
    }

    private func settled(_ connection: Connection) async throws(SwarmError) -> Connection {
        do { try await identify?.settle(connection) } catch { throw .cancelled }
        return connection
    }

    /// Opens a stream, runs `body` on its connection's loop, and finishes the stream when `body` returns or resets it when `body` throws.
    public func withStream<R: Sendable>(
        to peer: PeerID, _ protocols: ProtocolID..., body: @Sendable (Stream) async throws -> R
    ) async throws -> R {
        try await swarm.withStream(to: peer, protocols, body: body)
    }

    // MARK: Keys

    /// A new Ed25519 key.
    public static func generateKey(_ system: any System) throws(KeyError) -> IdentityKeyPair {
        try IdentityKeyPair(ed25519Seed: secret(system))
    }

    private static func secret(_ system: any System) -> SecureBytes { SecureBytes(count: 32) { system.fillRandom($0) } }
}
