import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Whether a node answers others.
public enum KademliaMode: String, Sendable, CaseIterable {
    /// A server where others can reach this node: in a private network always, in the Internet as soon as that is known; see `Kademlia.isServer`.
    case automatic
    case client
    case server
}

/// Which addresses count.
public enum KademliaScope: String, Sendable, CaseIterable {
    /// All: a network of its own.
    case any
    /// Public addresses: the Internet. Peers without one are not asked, and private addresses are not told.
    case wide
    /// Peers that we are connected with over a private address: the local network. Loopback addresses stay on the machine.
    case local
}

/// How a hash table is set up. The defaults are those of the public IPFS network.
public struct KademliaConfiguration: Sendable {
    /// What comes before `/kad/1.0.0`: `/ipfs`, `/ipfs/lan`, or that of a private network.
    public var prefix: String
    public var mode: KademliaMode
    public var scope: KademliaScope
    /// The namespaces of records that are kept and looked for.
    public var validators: [any RecordValidator]
    /// Keeps peers, provider records and values over restarts, in the table `Kademlia.table`; nil to forget them.
    public var store: (any KeyValueStore)?

    /// Peers in a bucket, and that a record is given to.
    public var k = 20
    /// Requests of one search at once.
    public var alpha = 10
    /// Closest peers that must have answered before a path of a search ends.
    public var beta = 3
    /// Disjoint paths of a search.
    public var paths = 3
    /// Between two searches through a bucket.
    public var refreshInterval = Duration.seconds(600)

    public init(
        prefix: String = "/ipfs", mode: KademliaMode = .automatic, scope: KademliaScope = .wide,
        validators: [any RecordValidator] = [PublicKeyValidator()], store: (any KeyValueStore)? = nil
    ) {
        self.prefix = prefix
        self.mode = mode
        self.scope = scope
        self.validators = validators
        self.store = store
    }

    /// The public network.
    public static func wide(
        mode: KademliaMode = .automatic, validators: [any RecordValidator] = [PublicKeyValidator()], store: (any KeyValueStore)? = nil
    ) -> KademliaConfiguration {
        KademliaConfiguration(prefix: "/ipfs", mode: mode, scope: .wide, validators: validators, store: store)
    }

    /// The network of the machines around.
    public static func local(
        mode: KademliaMode = .automatic, validators: [any RecordValidator] = [PublicKeyValidator()], store: (any KeyValueStore)? = nil
    ) -> KademliaConfiguration {
        KademliaConfiguration(prefix: "/ipfs/lan", mode: mode, scope: .local, validators: validators, store: store)
    }

    /// The protocol that is spoken.
    public var protocolID: ProtocolID { ProtocolID(prefix + "/kad/1.0.0") }
}

extension KademliaScope {
    /// Which of a peer's addresses are kept and told to others.
    func told(_ addresses: [Multiaddr]) -> [Multiaddr] {
        switch self {
        case .any, .local: addresses
        case .wide: addresses.filter { $0.isPublic }
        }
    }

    /// Whether a peer may be asked that others named with these addresses.
    func mayAsk(_ addresses: [Multiaddr]) -> Bool {
        switch self {
        case .any, .local: true
        case .wide: addresses.contains { $0.isPublic && !$0.contains(.p2pCircuit) }
        }
    }
}

extension Multiaddr {
    /// Whether the address leads somewhere in the Internet, as far as it says.
    var isPublic: Bool {
        guard let ip else { return !isLocalName }
        return !ip.isPrivate && !ip.isUnspecified
    }

    /// Names say nothing about where they lead, except these.
    private var isLocalName: Bool {
        for kind in [MultiaddrProtocol.dns, .dns4, .dns6, .dnsaddr] {
            guard let name = first(kind)?.text else { continue }
            return name == "localhost" || name.hasSuffix(".localhost") || name.hasSuffix(".local")
        }
        return true
    }
}
