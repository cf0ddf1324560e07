import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// Everything by which a node finds others and is found.
public struct NodeRouting: Sendable {
    /// The hash tables; nil where the configuration wants none.
    public let tables: KademliaPair?
    /// All routers as one: who is asked for providers, peers and records, and told of ours.
    public let router: CompositeRouting
    /// What was learned of those who served us.
    public let providers: ProviderStatistics
    public let discovery: ContentDiscovery
    /// Tells others what this node has; nil where nothing is announced, or nobody is to be told.
    public let announcer: Announcer?

    /// Names over publish-subscribe; nil where the configuration does not want them.
    public let pubsubNames: PubSubNames?

    /// Makes the routers; `join` makes services of them. `neighbours` are asked for records besides the hash tables.
    init(
        _ type: RoutingType, _ configuration: RoutingConfiguration, _ node: Node, neighbours: (any ValueRouting)? = nil, repository: Repository
    ) throws {
        let system = node.system
        tables = KademliaPair(type, store: repository.data)
        var routers = configuration.delegates
        routers.ignored = configuration.ignoredProviders
        if let own = tables?.routers { NodeRouting.add(own, configuration.usesHashTables, to: &routers) }
        if tables != nil, let neighbours, configuration.usesHashTables.getValues { routers.getValues.append(neighbours) }
        if configuration.namesOverPubSub, let pubsub = node.pubsub, let fetch = node.fetch {
            let names = PubSubNames(pubsub, fetch, on: system)
            routers.getValues.append(names)
            routers.putValues.append(names)
            pubsubNames = names
        } else {
            pubsubNames = nil
        }
        router = CompositeRouting(routers, validators: KademliaPair.validators)
        providers = try ProviderStatistics(system: system, store: repository.data)
        discovery = ContentDiscovery(routing: router, statistics: providers, on: system.home)
        announcer = routers.provide.isEmpty ? nil : try configuration.announcing.map { [router] in try Announcer(repository, routing: router, options: $0) }
    }

    private static func add(_ own: CompositeRouting.Routers, _ uses: RoutingConfiguration.Uses, to routers: inout CompositeRouting.Routers) {
        if uses.findProviders { routers.findProviders = own.findProviders + routers.findProviders }
        if uses.provide { routers.provide = own.provide + routers.provide }
        if uses.findPeers { routers.findPeers = own.findPeers + routers.findPeers }
        if uses.getValues { routers.getValues = own.getValues + routers.getValues }
        if uses.putValues { routers.putValues = own.putValues + routers.putValues }
    }

    /// The services that a node must run for this.
    func join(_ node: Node) {
        if let tables {
            node.add(tables.wide)
            node.add(tables.local)
        }
        if let announcer { node.add(announcer) }
        if let pubsubNames { node.add(pubsubNames) }
        if !router.routers.findPeers.isEmpty { node.swarm.routing = router }
    }

    /// Writes what was learned.
    func close() async { await providers.close() }
}
