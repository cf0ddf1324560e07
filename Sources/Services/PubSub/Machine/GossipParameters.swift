import WaggleBase

/// How messages spread. The defaults are those of the specification, which all implementations share.
///
/// Spec: libp2p gossipsub 1.0, section "Parameters", and the later versions' additions.
public struct GossipParameters: Sendable {
    /// How messages find their way.
    public enum Router: String, Sendable {
        /// A mesh for each topic, and gossip around it.
        case gossipsub
        /// Everything to everybody.
        case floodsub
    }

    public var router = Router.gossipsub

    /// D: peers wanted in a mesh; D_lo and D_hi: when it is mended and cut.
    public var degree = 6
    public var degreeLow = 5
    public var degreeHigh = 12
    /// D_out: of these, how many at least we dialed ourselves.
    public var degreeOutbound = 2
    /// D_score: how many of the best survive a cut.
    public var degreeScore = 4
    /// D_lazy: to how many peers outside the mesh gossip goes at least, and to which part of them.
    public var degreeLazy = 6
    public var gossipFactor = 0.25

    public var heartbeat = Duration.seconds(1)
    /// Heartbeats for which messages are kept, and for which gossip tells of them.
    public var historyLength = 5
    public var historyGossip = 3
    /// How often one peer is sent a message that it asks for.
    public var retransmissions = 3
    /// How long peers of a topic that we only publish to are kept.
    public var fanoutLifetime = Duration.seconds(60)
    /// How long a pruned peer stays away, and after we left the topic.
    public var pruneBackOff = Duration.seconds(60)
    public var leaveBackOff = Duration.seconds(10)
    /// A GRAFT this soon after a PRUNE counts twice.
    public var graftFlood = Duration.seconds(10)
    /// Peers that a PRUNE tells of; 0 to tell of none.
    public var exchangedPeers = 16
    /// Heartbeats between two looks at a mesh that brings little, and how many better peers are taken then.
    public var opportunisticTicks = 60
    public var opportunisticPeers = 2
    /// Our own messages go to everybody in the topic.
    public var floodPublish = true

    /// Ids taken from one peer's IHAVEs in a heartbeat, and IHAVEs.
    public var haveIDs = 5000
    public var haveMessages = 10
    /// How long a peer may take to send what it said it has.
    public var wantPatience = Duration.seconds(3)

    /// Messages of at least this many bytes are announced with IDONTWANT; nil for none. Spec: gossipsub 1.2.
    public var doNotWantSize: Int? = 1024
    /// IDONTWANTs taken from one peer in a heartbeat, and ids in each.
    public var doNotWants = 1000
    public var doNotWantIDs = 10
    /// Heartbeats for which they hold.
    public var doNotWantLifetime = 3

    /// Messages of at least this many bytes are sent at once to a part of those mesh peers who ask for what they hear of; the rest of these gets
    /// them after a wait that follows the round trip, unless it asked or got them elsewhere. Nil to send to all at once, and not to ask.
    public var holdBackSize: Int? = 8 << 10
    /// To how many peers at once by those who have it from its author, and by the others as long as nobody else of their mesh has it; a fraction is
    /// a chance.
    public var eagerPeersFirst = 8
    public var eagerPeers = 1.75
    /// The longest such wait, and what is taken for the round trip until one is measured. The wait is two and a half round trips and 10 ms.
    public var holdBackLimit = Duration.milliseconds(500)
    public var assumedRoundTrip = Duration.milliseconds(100)
    /// How long after a peer announced a large message it is asked for it, if it has not come.
    public var announcedPatience = Duration.milliseconds(5)

    /// How long a message counts as seen, and whether that starts anew when it is seen again.
    public var seenLifetime = Duration.seconds(120)
    public var seenIsRefreshed = false

    /// Messages a second taken from one peer, all topics together; nil for no bound.
    public var peerRate: RateLimit?

    /// The score; nil for none.
    public var score: ScoreParameters? = ScoreParameters()

    public init() {}
}
