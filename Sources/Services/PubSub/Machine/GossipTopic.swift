import WaggleBase
import WaggleNetwork

/// How a topic is treated.
public struct TopicConfiguration: Sendable {
    /// How peers are judged by what they do in this topic; nil for the node's standard.
    public var score: ScoreParameters.Topic?
    /// Messages a second taken in all, whoever sends them; nil for no bound.
    public var rate: RateLimit?
    /// Messages a second taken from one peer; nil for no bound.
    public var peerRate: RateLimit?
    /// The longest message data; nil for what fits an RPC.
    public var maximumSize: ByteCount?

    public init() {}
}

/// A topic that we joined, publish to, or know from a peer. Belongs to one machine.
final class GossipTopic {
    let name: TopicID
    /// Never used again for another.
    let serial: Int
    var configuration = TopicConfiguration()
    /// We take its messages.
    var isJoined = false
    /// A validator looks at them.
    var hasValidator = false
    /// Subscribed peers, in the order in which they came.
    var peers: [GossipPeer] = []
    var mesh: [GossipPeer] = []
    /// Peers for what we publish without having joined, and when we did last.
    var fanout: [GossipPeer] = []
    var publishedAt: Instant?
    /// Until when peers are not to be grafted.
    var backOff: [PeerID: Instant] = [:]
    var bucket: TokenBucket?
    var peerBuckets: [UInt32: TokenBucket] = [:]
    /// Messages that came, that were accepted, and that were sent.
    var counters = TopicCounters()

    // Encoded once, sent often.
    let graft: Bytes
    let subscription: Bytes
    let unsubscription: Bytes

    init(_ name: TopicID, serial: Int) {
        self.name = name
        self.serial = serial
        graft = GossipEncoding.graft(name.bytes)
        subscription = GossipEncoding.subscription(name.bytes, true)
        unsubscription = GossipEncoding.subscription(name.bytes, false)
    }

    func isInMesh(_ peer: GossipPeer) -> Bool {
        for member in mesh where member === peer { return true }
        return false
    }

    func isSubscribed(_ peer: GossipPeer) -> Bool { peer.topics.contains(serial) }
}

/// What happened in one topic so far.
public struct TopicCounters: Sendable {
    public var received: UInt64 = 0
    public var duplicates: UInt64 = 0
    public var delivered: UInt64 = 0
    public var published: UInt64 = 0
    public var rejected: UInt64 = 0
    public var ignored: UInt64 = 0
    public var throttled: UInt64 = 0
}

/// What happened in all topics so far.
public struct GossipCounters: Sendable {
    public var receivedRPCs: UInt64 = 0
    public var receivedMessages: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var duplicates: UInt64 = 0
    public var delivered: UInt64 = 0
    public var published: UInt64 = 0
    public var sentRPCs: UInt64 = 0
    public var sentMessages: UInt64 = 0
    public var cancelledMessages: UInt64 = 0
    public var droppedMessages: UInt64 = 0
    public var heldBack: UInt64 = 0
    public var rejected: UInt64 = 0
    public var ignored: UInt64 = 0
    public var throttled: UInt64 = 0
    public var malformed: UInt64 = 0
    public var graylisted: UInt64 = 0
    public var receivedGrafts: UInt64 = 0
    public var receivedPrunes: UInt64 = 0
    public var receivedHaves: UInt64 = 0
    public var receivedWants: UInt64 = 0
    public var receivedDoNotWants: UInt64 = 0
    public var sentGrafts: UInt64 = 0
    public var sentPrunes: UInt64 = 0
    public var sentHaves: UInt64 = 0
    public var sentWants: UInt64 = 0
    public var sentDoNotWants: UInt64 = 0
    public var brokenPromises: UInt64 = 0
    public var heartbeats: UInt64 = 0
    /// To how many peers the last message went.
    public var lastFanout = 0

    public init() {}
}
