import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// A node of a distributed hash table: finds peers, providers of content and signed records, and keeps them for others.
///
/// Speaks `<prefix>/kad/1.0.0`. Spec: libp2p kad-dht; ipfs/specs, routing/kad-dht. A node that is in the public network and in the local one has
/// two of these.
///
/// Map of the folder: this type and its extensions are what programs use. `KademliaCore` is the shell; `RoutingTableMachine` and
/// `LookupMachine` decide, `KademliaResponder` answers, with `ProviderTable` and `ValueTable`; `KademliaServer` and `KademliaClient` carry
/// `KademliaMessage`s over streams, `LookupRun` drives one search, `KademliaArchive` keeps what outlives the process. `NetworkSize` notices
/// crowds around a key, `IPGroup` keeps one party from filling tables and searches.
public final class Kademlia: Service, Sendable {
    /// The table of the store that everything is kept in.
    public static let table = Table("kad")

    public let configuration: KademliaConfiguration
    private let box = Mutex<KademliaCore?>(nil)

    public init(_ configuration: KademliaConfiguration) { self.configuration = configuration }

    /// None: while this node is a server, the swarm has a service of its own for the protocol.
    public var protocols: [ProtocolID] { [] }

    public func registered(on swarm: Swarm) { box.withLock { $0 = KademliaCore(configuration, on: swarm) } }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {}

    public func run(on swarm: Swarm) async throws { try await core.run(on: swarm) }

    var registered: KademliaCore? { box.withLock { $0 } }

    var core: KademliaCore {
        get throws(KademliaError) {
            guard let core = registered else { throw .closed }
            return core
        }
    }

    // MARK: State

    /// Whether this node answers others.
    ///
    /// In the automatic mode of the public network it does so as soon as it announces a public address, or a connection from a public address has
    /// come in. (There is no AutoNAT service yet that would let others confirm it.)
    public var isServer: Bool {
        get async {
            guard let core = registered else { return false }
            return await core.home.run { core.isServer }
        }
    }

    /// Peers in the table.
    public var peerCount: Int { registered?.responder.state.withLock { $0.table.count } ?? 0 }

    /// The table, bucket by bucket, for people to look at.
    public func snapshot() async -> KademliaSnapshot {
        guard let core = registered else { return KademliaSnapshot() }
        return await core.home.run { KademliaSnapshot(core) }
    }

    // MARK: Peers

    /// The peers closest to the place of `key` that answered, the closest first: at most k, more where a crowd around the key was noticed.
    public func closestPeers(to key: Bytes) async throws -> [KademliaContact] {
        guard !key.isEmpty, key.count <= KademliaLimits.key else { throw KademliaError.invalidKey }
        let core = try core
        return try await core.home.run {
            try await core.search(KademliaKey(hashing: key), asking: KademliaMessage.encode(.findNode, key: key)) { _, _ in true }.closest
        }
    }

    /// Puts peers into the table, as far as it has places for them, that are known from elsewhere to serve the protocol. On the home loop.
    package func learn(_ contacts: [KademliaContact]) throws {
        let core = try core
        for contact in contacts { core.tell(.confirmed(contact, isConnected: false)) }
    }

    /// Asks one peer whether it is there.
    public func ping(_ contact: KademliaContact) async throws {
        let core = try core
        try await core.home.run {
            guard let swarm = core.swarm else { throw KademliaError.closed }
            guard let answer = try await core.request(KademliaMessage.encode(.ping), contact, swarm), answer.kind == .ping else {
                throw KademliaError.badAnswer(contact.peer)
            }
        }
    }
}

extension Kademlia: PeerRouting {
    /// What others say where `peer` is. A search ends when two of them agree, or the peer itself answered.
    public func findPeer(_ peer: PeerID) async throws -> [Multiaddr] {
        let core = try core
        return try await core.home.run { try await core.find(peer) }
    }
}

extension KademliaCore {
    /// Answers that name a peer before a search for it ends: one alone may be wrong.
    private static let agreeing = 2

    func find(_ peer: PeerID) async throws -> [Multiaddr] {
        guard peer != responder.peer, let swarm else { throw KademliaError.notFound }
        if swarm.isConnected(peer) { return swarm.addressBook.addresses(of: peer) }
        var addresses = responder.state.withLock { $0.table.row(of: peer)?.contact.addresses ?? [] }
        var voices = 0
        _ = try await search(KademliaKey(peer), asking: KademliaMessage.encode(.findNode, key: peer.bytes)) { contact, answer in
            if contact.peer == peer {
                addresses = contact.addresses + addresses.filter { !contact.addresses.contains($0) }
                return false
            }
            for named in answer.contacts(providers: false) where named.peer == peer {
                let usable = configuration.scope.told(named.addresses)
                guard !usable.isEmpty else { continue }
                for address in usable where !addresses.contains(address) && addresses.count < 2 * KademliaLimits.addressesPerPeer {
                    addresses.append(address)
                }
                voices += 1
            }
            return voices < KademliaCore.agreeing
        }
        guard !addresses.isEmpty else { throw KademliaError.notFound }
        return addresses
    }
}
