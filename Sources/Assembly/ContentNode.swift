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
    /// The network; nil for a repository that was opened without one.
    public let online: Online?

    /// What a node with a network has more than a repository.
    public struct Online: Sendable {
        public let node: Node
        public let ping: Ping
        /// Fetches blocks from peers and serves ours: `withSession` gives readers a source.
        public let bitswap: Bitswap
        /// The hash tables; nil where the configuration wants none.
        public let kademlia: KademliaPair?
        /// Who is asked for providers, peers and records, and told of ours.
        public let routing: CompositeRouting

        public var swarm: Swarm { node.swarm }
    }

    private init(system: any System, repository: Repository, identity: LocalIdentity, online: Online?) {
        self.system = system
        self.repository = repository
        self.identity = identity
        keystore = Keystore(at: repository.path, own: identity, on: system)
        self.online = online
    }

    /// Opens the repository at `path`; with `network` also puts a node together, which `start` brings to life.
    /// `expectedPeer` is the PeerID that the configuration names.
    public static func open(
        _ path: String, network: NodeConfiguration? = nil, expectedPeer: String? = nil, on system: some System
    ) async throws -> ContentNode {
        let repository = try Repository.open(path, on: system)
        do {
            // Before there are keys: they keep what they are made with.
            if let implementation = network?.postQuantum { PostQuantum.use(implementation) }
            let first = try IdentityFile.load(from: path, expecting: expectedPeer, on: system)
            let secondKey = try IdentityFile.loadSecond(from: path, on: system)
            let identity = LocalIdentity(first.key, second: secondKey.flatMap { SecondIdentity($0, of: first.key) })
            guard var configuration = network else {
                return ContentNode(system: system, repository: repository, identity: identity, online: nil)
            }
            configuration.identity = identity.key
            configuration.secondIdentity = identity.second?.key
            let node = try await Node(configuration, on: system, store: repository.data)
            let kademlia = KademliaPair(configuration.routing, store: repository.data)
            let routing = CompositeRouting(kademlia?.routers ?? CompositeRouting.Routers(), validators: KademliaPair.validators)
            if let kademlia {
                node.add(kademlia.wide)
                node.add(kademlia.local)
                node.swarm.routing = routing
            }
            let bitswap = Bitswap(store: repository.blocks, routing: kademlia == nil ? nil : routing)
            node.add(bitswap)
            guard let ping = node.ping else { preconditionFailure("every node has a ping service") }
            let online = Online(node: node, ping: ping, bitswap: bitswap, kademlia: kademlia, routing: routing)
            return ContentNode(system: system, repository: repository, identity: identity, online: online)
        } catch {
            await repository.close()
            throw error
        }
    }

    /// Listens and serves. `close` must follow.
    public func start() async throws { try await online?.node.start() }

    /// Ends the network, then the repository.
    public func close() async {
        await online?.node.close()
        await repository.close()
    }
}
