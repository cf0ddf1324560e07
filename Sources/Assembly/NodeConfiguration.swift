import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// How a node is set up. Start from a preset and change what differs.
/// ```swift
/// var configuration = NodeConfiguration.preset(.lan)
/// configuration.policy = .require
/// ```
public struct NodeConfiguration: Sendable {
    /// Kinds of nodes.
    public enum Preset: String, Sendable, CaseIterable {
        /// Reachable from the Internet, for anybody.
        case publicServer
        /// Among machines of one network: few peers, nothing trimmed.
        case lan
        /// Dials, does not listen.
        case client
        /// On a small device: few connections, little memory, idle ones closed soon.
        case embedded
    }

    /// The version that nodes tell others: "waggle/" and this.
    public static let version = "0.1.0"
    /// TCP and UDP port of the swarm.
    public static let defaultPort: UInt16 = 4701

    /// The node's key; nil for a new one at every start.
    public var identity: IdentityKeyPair?
    /// A post-quantum key beside a classical one: peers that can verify it know the node under both PeerIDs. Left out when the kinds do not fit.
    public var secondIdentity: IdentityKeyPair?
    /// Where to listen.
    public var listen: [Multiaddr] = []
    /// Peers to connect to at the start, best with `/p2p/…` at their ends.
    public var bootstrap: [Multiaddr] = []
    /// Lists of further peers, and how to read those that are documents.
    public var seeds: [SeedSource] = []
    public var fetchSeeds: SeedFetch?
    /// Channels in place of the catalog's, best first, for simulations; nil for the catalog's.
    package var channels: (@Sendable (LocalIdentity) -> [any SecureChannel])?
    /// Names under which this node meets others, and at which servers.
    public struct RendezvousSettings: Sendable {
        /// Whether others may register here.
        public var isServer = false
        /// Servers, each with `/p2p/…` at its end.
        public var points: [Multiaddr] = []
        /// Names to register under, and to look for others under, at every server.
        public var namespaces: [String] = []

        public init() {}
    }

    public var rendezvous = RendezvousSettings()
    /// Whether peers in the local network are found by multicast DNS, and told of this node.
    public var multicastDNS = false
    /// Which channels may be used.
    public var policy = SecurityPolicy.prefer
    /// The chain network that the node belongs to; nil for none.
    public var chain: ChainConfiguration?
    /// Who computes the post-quantum primitives, for the whole process; nil leaves that as it is.
    public var postQuantum: PostQuantum.Implementation?
    public var limits = SwarmLimits()
    /// Who may connect.
    public var gate = ConnectionGate.Rules()
    public var dialing = SwarmConfiguration.Dialing()
    public var trimming = SwarmConfiguration.Trimming()
    /// A connection without streams is closed after this long; nil for never.
    public var idleTimeout: Duration?
    /// What others are told instead of the addresses we listen on; empty for those.
    public var announce: [Multiaddr] = []
    /// What others are told besides.
    public var appendAnnounce: [Multiaddr] = []
    /// IP ranges whose addresses others are not told.
    public var noAnnounce: [IPRange] = []
    public var addressBook = AddressBookLimits()
    /// What follows from misbehaviour.
    public var reputation = ReputationLimits()
    /// Program and version, as identify tells it.
    public var agentVersion = "waggle/\(NodeConfiguration.version)"
    /// How a node with a repository takes part in routing.
    public var routing = RoutingType.automatic
    /// Whether peers may measure the connection: they can use bandwidth at will then.
    public var servesPerf = false
    /// How the node takes part in publish-subscribe; nil for not at all.
    public var pubsub: PubSubConfiguration?

    public init() {}

    /// The settings of a kind of node.
    public static func preset(_ preset: Preset) -> NodeConfiguration {
        var configuration = NodeConfiguration()
        switch preset {
        case .publicServer:
            configuration.listen = everywhere
        case .lan:
            configuration.listen = everywhere
            configuration.trimming.highWater = nil
            // Machines of one network often come from one address, for example through a virtual switch.
            configuration.limits.connectionsPerIPv4 = 128
            configuration.limits.handshakesPerIP = Rate(perSecond: 100, burst: 256)
            configuration.limits.handshakes = Rate(perSecond: 2000, burst: 2000)
            configuration.limits.connectionsPerIPv6Subnet = configuration.limits.inboundConnections
            configuration.limits.connectionsPerIPv6Site = configuration.limits.inboundConnections
        case .client:
            configuration.idleTimeout = .seconds(300)
            configuration.trimming.highWater = 64
            configuration.trimming.lowWater = 32
        case .embedded:
            configuration.limits = .embedded
            configuration.idleTimeout = .seconds(60)
            configuration.trimming.highWater = 24
            configuration.trimming.lowWater = 12
            configuration.addressBook.peers = 256
            configuration.dialing.backOffRows = 128
        }
        return configuration
    }

    private static var everywhere: [Multiaddr] {
        let port = NodeConfiguration.defaultPort
        return [
            Multiaddr(SocketAddress(ip: .v4(0), port: port), over: .tcp),
            Multiaddr(SocketAddress(ip: .v6(high: 0, low: 0, zone: 0), port: port), over: .tcp),
        ]
    }
}
