import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// A node with a repository: what `waggle daemon` runs, and what commands work on where no daemon does.
public final class ContentNode: Sendable {
    public let system: any System
    public let repository: Repository
    public let identity: LocalIdentity
    /// The node's keys by name, its own among them as `self`.
    public let keystore: Keystore
    /// Names that stand for content: ours are published, all are resolved.
    public let names: NameSystem
    /// The network; nil for a repository that was opened without one.
    public let online: Online?

    /// What a node with a network has more than a repository.
    public struct Online: Sendable {
        public let node: Node
        public let ping: Ping
        /// Fetches blocks from peers and serves ours: `withSession` gives readers a source.
        public let bitswap: Bitswap
        /// Finds peers, content and names.
        public let routing: NodeRouting

        public var swarm: Swarm { node.swarm }
        /// The hash tables; nil where the configuration wants none.
        public var kademlia: KademliaPair? { routing.tables }
    }

    private init(
        system: any System, repository: Repository, identity: LocalIdentity, keystore: Keystore, names: NameSystem, online: Online?
    ) {
        self.system = system
        self.repository = repository
        self.identity = identity
        self.keystore = keystore
        self.names = names
        self.online = online
    }

    /// Opens the repository at `path`; with `network` also puts a node together, which `start` brings to life.
    /// `expectedPeer` is the PeerID that the configuration names.
    public static func open(
        _ path: String, network: NodeConfiguration? = nil, routing: RoutingConfiguration = RoutingConfiguration(), expectedPeer: String? = nil,
        on system: some System
    ) async throws -> ContentNode {
        let repository = try Repository.open(path, on: system)
        do {
            // Before there are keys: they keep what they are made with.
            if let implementation = network?.postQuantum { PostQuantum.use(implementation) }
            let first = try IdentityFile.load(from: path, expecting: expectedPeer, on: system)
            let secondKey = try IdentityFile.loadSecond(from: path, on: system)
            let identity = LocalIdentity(first.key, second: secondKey.flatMap { SecondIdentity($0, of: first.key) })
            let keystore = Keystore(at: repository.path, own: identity, on: system)
            guard var configuration = network else {
                let names = names(routing, nil, repository, system)
                return ContentNode(system: system, repository: repository, identity: identity, keystore: keystore, names: names, online: nil)
            }
            configuration.identity = identity.key
            configuration.secondIdentity = identity.second?.key
            let node = try await Node(configuration, on: system, store: repository.data)
            let neighbours = node.fetch.map { FetchRouting($0, in: node.swarm, validator: IPNSValidator()) }
            let routers = try NodeRouting(configuration.routing, routing, node, neighbours: neighbours, repository: repository)
            routers.join(node)
            let finders = routers.router.routers.findProviders
            let bitswap = Bitswap(store: repository.blocks, routing: finders.isEmpty ? nil : routers.router, providers: routers.providers)
            node.add(bitswap)
            let names = names(routing, routers.router, repository, system)
            // Weak: names ask others through fetch.
            node.fetch?.handle("/ipns/") { [weak names, weak followed = routers.pubsubNames] key, _ in
                guard let names, let name = IPNSName(routingKey: key) else { return nil }
                let known = [try names.storedRecord(of: name), followed?.best(of: name)].compactMap { $0?.encoded }
                return known.isEmpty ? nil : known[IPNSValidator().best(of: known, for: key)]
            }
            node.add(NameRepublisher(names, options: routing.republishing) { try keystore.all() })
            guard let ping = node.ping else { preconditionFailure("every node has a ping service") }
            let online = Online(node: node, ping: ping, bitswap: bitswap, routing: routers)
            return ContentNode(system: system, repository: repository, identity: identity, keystore: keystore, names: names, online: online)
        } catch {
            await repository.close()
            throw error
        }
    }

    private static func names(
        _ configuration: RoutingConfiguration, _ router: CompositeRouting?, _ repository: Repository, _ system: any System
    ) -> NameSystem {
        // Without routers for values a name is ours alone.
        let routing = router.flatMap { $0.routers.getValues.isEmpty && $0.routers.putValues.isEmpty ? nil : $0 }
        return NameSystem(system: system, store: repository.data, routing: routing, options: configuration.naming) { domain in
            do throws(ResolveError) {
                return try await system.resolver.texts(of: domain).map { (text: $0.value, timeToLive: $0.timeToLive) }
            } catch {
                if error == .notFound { return [] }
                throw error
            }
        }
    }

    /// Listens and serves. `close` must follow.
    public func start() async throws { try await online?.node.start() }

    /// Ends the network, then the repository.
    public func close() async {
        await online?.node.close()
        await online?.routing.close()
        await repository.close()
    }
}
