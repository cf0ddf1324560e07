import WaggleFormats

/// The configuration that `init` writes, and the profiles that change it.
package enum ConfigurationDefaults {
    /// Ports that collide with no Kubo on the same machine: swarm 4701, RPC API 5101, gateway 8101.
    package static func make(peerID: String) -> Configuration {
        Configuration([
            "Identity": ["PeerID": .string(peerID)],
            "Datastore": [
                "StorageMax": "10GB", "StorageGCWatermark": 90, "GCPeriod": "1h",
                "Spec": ["type": "lmdb", "path": "blocks"],
                "HashOnRead": true, "BloomFilterSize": 0,
            ],
            "Addresses": addresses,
            "Discovery": ["MDNS": ["Enabled": true]],
            "Routing": [:],
            "Ipns": ["RepublishPeriod": "", "RecordLifetime": "", "ResolveCacheSize": 128],
            "Bootstrap": .strings(bootstrap),
            "Gateway": ["HTTPHeaders": [:], "RootRedirect": "", "NoFetch": false, "NoDNSLink": false],
            "API": ["HTTPHeaders": [:]],
            "Swarm": [
                "AddrFilters": nil, "DisableBandwidthMetrics": false, "DisableNatPortMap": false,
                "ConnMgr": [:], "ResourceMgr": [:],
            ],
            "AutoNAT": [:],
            "Pubsub": ["Router": "", "DisableSigning": false],
            "Peering": ["Peers": nil],
            "DNS": ["Resolvers": [:]],
            "Pinning": ["RemoteServices": [:]],
            "Import": [
                "CidVersion": nil, "UnixFSRawLeaves": nil, "UnixFSChunker": nil, "HashFunction": nil, "UnixFSFileMaxLinks": nil,
                "UnixFSDirectoryMaxLinks": nil, "UnixFSHAMTDirectoryMaxFanout": nil, "UnixFSHAMTDirectorySizeThreshold": nil,
            ],
            "Internal": [:],
            "Waggle": ["Security": "prefer"],
        ])
    }

    /// What stands for the public list.
    static let automatic = "auto"

    /// A bootstrap list with the public one in place of `auto`.
    static func expanded(_ list: [String]) -> [String] { list.flatMap { $0 == automatic ? bootstrap : [$0] } }

    /// The nodes by which one gets to know the public network.
    package static let bootstrap = [
        "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
        "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
        "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
        "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
        "/dnsaddr/va1.bootstrap.libp2p.io/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8",
        "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
    ]

    static let addresses: JSON = [
        "Swarm": ["/ip4/0.0.0.0/tcp/4701", "/ip6/::/tcp/4701"],
        "Announce": [], "AppendAnnounce": [], "NoAnnounce": [],
        "API": "/ip4/127.0.0.1/tcp/5101", "Gateway": "/ip4/127.0.0.1/tcp/8101",
    ]

    /// Networks that no public address is in.
    private static let privateNetworks: JSON = [
        "/ip4/10.0.0.0/ipcidr/8", "/ip4/100.64.0.0/ipcidr/10", "/ip4/127.0.0.0/ipcidr/8", "/ip4/169.254.0.0/ipcidr/16",
        "/ip4/172.16.0.0/ipcidr/12", "/ip4/192.0.0.0/ipcidr/24", "/ip4/192.0.2.0/ipcidr/24", "/ip4/192.168.0.0/ipcidr/16",
        "/ip4/198.18.0.0/ipcidr/15", "/ip4/198.51.100.0/ipcidr/24", "/ip4/203.0.113.0/ipcidr/24", "/ip4/240.0.0.0/ipcidr/4",
        "/ip6/::/ipcidr/3", "/ip6/::1/ipcidr/128", "/ip6/100::/ipcidr/64", "/ip6/2001:2::/ipcidr/48", "/ip6/2001:db8::/ipcidr/32",
        "/ip6/fc00::/ipcidr/7", "/ip6/fe80::/ipcidr/10",
    ]

    /// Profiles by name: what each sets. A change is a path and a value.
    package static let profiles: [(name: String, description: String, changes: [(String, JSON)])] = [
        (
            "server", "Disables local host discovery, recommended on machines with public addresses.",
            [
                ("Addresses.NoAnnounce", privateNetworks), ("Swarm.AddrFilters", privateNetworks), ("Discovery.MDNS.Enabled", false),
                ("Swarm.DisableNatPortMap", true),
            ]
        ),
        (
            "local-discovery", "Restores what the server profile changed: discovery in local networks.",
            [("Addresses.NoAnnounce", []), ("Swarm.AddrFilters", []), ("Discovery.MDNS.Enabled", true), ("Swarm.DisableNatPortMap", false)]
        ),
        (
            "test", "Keeps the node to itself: loopback addresses with ports that the system chooses, no bootstrap, no discovery.",
            [
                ("Addresses.API", "/ip4/127.0.0.1/tcp/0"), ("Addresses.Gateway", "/ip4/127.0.0.1/tcp/0"),
                ("Addresses.Swarm", ["/ip4/127.0.0.1/tcp/0"]), ("Swarm.DisableNatPortMap", true), ("Routing.LoopbackAddressesOnLanDHT", true),
                ("Bootstrap", []), ("Discovery.MDNS.Enabled", false),
            ]
        ),
        (
            "default-networking", "Restores the network settings that init wrote.",
            [("Addresses", addresses), ("Bootstrap", .strings(bootstrap)), ("Swarm.DisableNatPortMap", false), ("Discovery.MDNS.Enabled", true)]
        ),
        (
            "lowpower", "Uses less of the machine: few connections.",
            [("Swarm.ConnMgr.LowWater", 20), ("Swarm.ConnMgr.HighWater", 40), ("Swarm.ConnMgr.GracePeriod", "1m0s")]
        ),
        ("post-quantum", "Refuses peers that cannot agree on keys with a post-quantum algorithm.", [("Waggle.Security", "require")]),
    ]

    /// Applies profiles, named in a list with commas.
    package static func apply(_ names: String, to configuration: inout Configuration) throws(CommandError) {
        for name in names.split(separator: ",") {
            guard let profile = profiles.first(where: { $0.name == name }) else {
                throw CommandError("invalid configuration profile: \(name)")
            }
            for (path, value) in profile.changes { try configuration.set(path, to: value) }
        }
    }
}
