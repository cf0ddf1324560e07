import WaggleBase

/// Bounds of publish-subscribe that hold whatever is configured. What a remote can reach has a test.
public enum PubSubLimits {
    /// The longest RPC, as every implementation has it. A longer length prefix resets the stream.
    public static let rpc = ByteCount.mebibytes(1)
    /// What an RPC takes besides one published message: its tag and lengths.
    static let rpcOverhead = 64
    /// The longest topic name in bytes; names of IPNS topics have about 60.
    public static let topicName = 1024
    /// Subscriptions of one peer to topics that we have not joined; more are forgotten.
    public static let foreignTopicsPerPeer = 256
    /// Topics known only from peers' subscriptions, all peers together.
    public static let foreignTopics = 16_384
    /// Subscriptions read from one RPC; the rest is ignored and counts as misbehaviour.
    public static let subscriptionsPerRPC = 2048
    /// GRAFTs, PRUNEs, IHAVEs, IWANTs and IDONTWANTs read from one RPC, each; the rest is ignored and counts as misbehaviour.
    public static let controlsPerRPC = 1024
    /// Messages of one RPC that cannot be read, after which the rest is not looked at.
    static let unreadablePerRPC = 16
    /// Longest message id taken from a remote, in bytes.
    static let messageID = 256
    /// Ids of one IWANT that are looked up.
    static let wantsPerRPC = 5000
    /// Messages of one peer that wait for validation before its stream is read no further.
    static let pendingPerPeer = 512
    /// Messages of all peers that wait for validation; more are dropped and may come again.
    static let pending = 8192
    /// Their bytes.
    static let pendingBytes = ByteCount.mebibytes(32)
    /// Message bytes kept for IWANTs, counted with the memory they keep alive.
    static let cacheBytes = ByteCount.mebibytes(48)
    /// Messages kept for IWANTs.
    static let cacheMessages = 131_072
    /// Message ids remembered as seen.
    static let seenMessages = 786_432
    /// A PRUNE's back-off is believed up to this long.
    static let longestBackOff = Duration.seconds(3600)
    /// Peers of one topic with a back-off.
    static let backOffsPerTopic = 4096
    /// Scores kept of peers that are gone.
    static let retainedScores = 4096
    /// Ids that one peer does not want, kept per heartbeat, and those of all peers together: 8 MB. Of more, second copies are sent.
    static let unwantedPerHeartbeat = 4096
    static let unwanted = 262_144
    /// Messages queued for one peer, and their bytes.
    static let queuedMessages = 4096
    static let queuedBytes = ByteCount.mebibytes(4)
    /// Gossip (IHAVE) queued for one peer.
    static let queuedGossip = 64
    /// GRAFTs, PRUNEs, IWANTs and IDONTWANTs queued for one peer.
    static let queuedControls = 4096
    /// Payload put into one batch for a peer before the stream is asked again whether it has room.
    static let batch = ByteCount.kibibytes(64)
    /// What a stream may have queued when the next batch is taken: little, so that what waits can still be cancelled.
    static let streamQueue = ByteCount.kibibytes(32)
    /// Messages held back from peers, counted once for each peer; more are sent at once.
    static let heldBack = 8192
    /// Announced messages that are waited for.
    static let hints = 1024
    /// Announced messages of one peer that are waited for, per heartbeat.
    static let hintsPerPeer = 64
    /// IWANT promises watched at once.
    static let promises = 4096
    /// Peers in one PRUNE that are looked at.
    static let exchangedPeers = 16
    /// Connections begun because of peer exchange at once.
    static let exchangeDials = 8
    /// Inbound streams of one peer, and how many of the newest are read: a peer that opened two at the same moment may go on with either.
    static let streamsPerPeer = 4
    static let readStreams = 2
    /// Times in a row that an outbound stream is opened again while the peer stays connected, and the pause before the first; each further one is
    /// twice as long: six seconds in all.
    static let reopenings = 6
    static let reopenPause = Duration.milliseconds(100)
    /// How long a stream must have stood to be no failure.
    static let steadyStream = Duration.seconds(60)
    /// How long a peer may take to identify itself before it is asked for a stream all the same.
    static let identifyPatience = Duration.seconds(5)
    /// Messages that wait for one reader of a topic.
    public static let messagesPerReader = 4096
    /// Events that wait for one reader.
    static let eventsPerReader = 256
    /// Authors whose keys are kept ready for verification.
    static let authorKeys = 1024
    /// Signatures verified by one offloaded job: about a millisecond of work.
    static let verificationsPerJob = 16
    /// Asynchronous validations at once, of all topics.
    static let validations = 1024
    /// How long one may take.
    static let validationTime = Duration.seconds(30)
    /// Topics with a label of their own in metrics; the others are summed up.
    static let topicsInMetrics = 64
    /// Authors whose sequence numbers are remembered, for how long after their last message, and how long a change waits until it is written.
    static let sequencedAuthors = 16_384
    static let sequenceLifetime = Duration.seconds(30 * 24 * 3600)
    static let sequenceDelay = Duration.seconds(1)
}
