import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// How a node takes part in routing (Kubo: `Routing.Type`).
public enum RoutingType: String, Sendable, CaseIterable {
    /// The hash tables, and delegated routers where some are configured.
    case automatic = "auto"
    /// The same as a client.
    case automaticClient = "autoclient"
    /// The hash tables; a server where others reach this node.
    case dht
    case dhtClient = "dhtclient"
    case dhtServer = "dhtserver"
    /// Delegated routers alone.
    case delegated
    /// What `RoutingConfiguration` says: hash tables for some questions, delegated routers for others.
    case custom
    /// Nothing: only connected peers are asked.
    case none

    var mode: KademliaMode {
        switch self {
        case .automatic, .dht, .delegated, .custom, .none: .automatic
        case .automaticClient, .dhtClient: .client
        case .dhtServer: .server
        }
    }
}

/// The hash tables of the public network and of the local one, as Kubo has them: what is looked for is looked for in both; what is stored is
/// stored in the public one, and in the local one while the public one knows no peer.
public struct KademliaPair: Sendable {
    public let wide: Kademlia
    public let local: Kademlia

    /// Nil for `RoutingType.none` and `delegated`. `store`, opened with the table `Kademlia.table`, keeps records and peers over restarts.
    public init?(_ type: RoutingType, store: (any KeyValueStore)?) {
        guard type != .none, type != .delegated else { return nil }
        wide = Kademlia(.wide(mode: type.mode, validators: KademliaPair.validators, store: store))
        local = Kademlia(.local(mode: type.mode, validators: KademliaPair.validators, store: store))
    }

    /// The namespaces of the public network.
    public static let validators: [any RecordValidator] = [PublicKeyValidator(), IPNSValidator()]

    /// What is found in either, and stored as said above.
    public var routers: CompositeRouting.Routers {
        var routers = CompositeRouting.Routers()
        routers.findProviders = [wide, local]
        routers.findPeers = [wide, local]
        routers.getValues = [wide, local]
        routers.provide = [ActiveKademlia(self)]
        routers.putValues = [ActiveKademlia(self)]
        return routers
    }

    /// Where records go now.
    public var active: Kademlia { wide.peerCount > 0 ? wide : local }
}

/// Asks whichever hash table is active at that moment.
struct ActiveKademlia: ContentRouting, ValueRouting {
    private let pair: KademliaPair

    init(_ pair: KademliaPair) { self.pair = pair }

    func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        try await pair.active.findProviders(of: cid, found)
    }

    func provide(_ cid: CID) async throws { try await pair.active.provide(cid) }

    func provide(many cids: [CID]) async throws -> ProvideOutcome { try await pair.active.provide(many: cids) }

    func putValue(_ value: Bytes, for key: Bytes) async throws { try await pair.active.putValue(value, for: key) }

    func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws { try await pair.active.values(for: key, found) }
}
