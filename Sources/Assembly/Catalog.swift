import WaggleBase
import WaggleNetwork
import WaggleServices
import WaggleStack

/// Everything a node can be put together from. A thing is added with a folder of its own and a line here.
public enum Catalog {
    /// Ways to reach others.
    public static let transports: [any Transport] = [
        TCP()
    ]

    /// Ways to secure a connection, best first.
    public static func channels(
        _ keys: NoiseKeys, chain: AnimicaChannel? = nil, _ place: ChannelCatalog.ChainPlace = .first
    ) -> [any SecureChannel] { ChannelCatalog.all(keys, chain: chain, place) }

    /// Ways to carry many streams on one connection, best first.
    package static let muxers: [any Muxer] = [
        Yamux()
    ]

    /// What every node serves, as far as `configuration` asks for it.
    public static func services(_ configuration: NodeConfiguration, store: (any KeyValueStore)? = nil) -> [any Service] {
        var services: [any Service] = [
            Identify(agentVersion: configuration.agentVersion),
            Ping(),
            Fetch(),
            Bootstrap(configuration.bootstrap.map { .address($0) } + configuration.seeds, fetch: configuration.fetchSeeds, store: store),
        ]
        services.append(Rendezvous(isServer: configuration.rendezvous.isServer, store: store))
        if configuration.servesPerf { services.append(Perf()) }
        if configuration.multicastDNS { services.append(MDNS()) }
        if let pubsub = configuration.pubsub { services.append(PubSub(pubsub, store: store)) }
        return services
    }
}
