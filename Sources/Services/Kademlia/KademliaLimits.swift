import WaggleBase

/// Bounds of the distributed hash table.
public enum KademliaLimits {
    // Messages.

    /// Bytes of a request that is read. The largest that honest peers send is a PUT_VALUE; names take up to 10 KiB.
    public static let request = ByteCount.kibibytes(80)
    /// Bytes of an answer that is read: some thousand providers of a popular key with all their addresses.
    public static let response = ByteCount.mebibytes(1)
    /// Bytes of a key: `/ipns/` and a PeerID, or a multihash, stay far below.
    public static let key = 256
    /// Bytes of a record's value.
    public static let value = ByteCount.kibibytes(64)
    /// Closer peers taken from one answer; k is 20 everywhere.
    public static let closerPeers = 32
    /// Providers taken from one answer, or put into one.
    public static let providerPeers = 128
    /// Addresses taken from one peer of a message; those after are ignored.
    public static let addressesPerPeer = 32
    /// Bytes of one address.
    public static let address = 512
    /// Bytes of one peer of a message that its id and its addresses may share: twice what most take. In larger ones each gets memory of its own.
    public static let sharedPeer = 1024
    /// Bytes of an answer with peers and providers: what rust-libp2p reads at most unless it is told otherwise.
    public static let answer = ByteCount.kibibytes(16)
    /// Addresses of one peer that are passed on, and the bytes that they and its id may take: 20 such peers fit into `answer`.
    public static let toldAddresses = 16
    public static let toldPeer = 780
    /// Providers of a key from which on each answer begins with another one, so that many false ones hide no true one from everybody.
    public static let providersInTurn = 32

    /// Answers that were not asked for in front of one that was.
    public static let strayAnswers = 64

    // Streams.

    /// Inbound streams of one peer at once: others keep one open and use more only under load.
    public static let streamsPerPeer = 16
    /// Inbound streams of all peers at once.
    public static let streams = 2048
    /// How long a server keeps a stream on which no request comes.
    public static let streamIdle = Duration.seconds(60)
    /// Outbound streams that wait for a next request, all peers together.
    public static let pooledStreams = 128
    /// How long an outbound stream waits for a next request; less than `streamIdle`, so that ours ends first.
    public static let pooledIdle = Duration.seconds(20)

    // Searches.

    /// The longest that one peer may take to be dialed and to answer.
    public static let requestTimeout = Duration.seconds(10)
    /// Bounds of the patience after which a slow peer does not hold others up any more.
    public static let shortestPatience = Duration.milliseconds(500)
    public static let longestPatience = Duration.seconds(5)
    /// How long one search may take.
    public static let lookupTimeout = Duration.seconds(60)
    /// Peers that one search asks.
    public static let requestsPerLookup = 300
    /// Peers that one path of a search keeps in mind.
    public static let candidatesPerPath = 256
    /// Searches at once; more wait for their turn.
    public static let lookups = 32
    /// Neighbouring parts of the key space that are searched besides when a key's surroundings look crowded.
    public static let extraLookups = 6

    // The table.

    /// Buckets that are refreshed: 2^15 · k peers are more than any network has.
    public static let refreshedBuckets = 16
    /// Peers that wait for a place in a full bucket.
    public static let waitingPerBucket = 5
    /// Peers of one IP group in the table, and in one bucket.
    public static let groupPerTable = 3
    public static let groupPerBucket = 2
    /// Peers of one IP group among those that count in a search.
    public static let groupPerLookup = 5
    /// Peers that are asked at once whether they are still there.
    public static let checks = 8
    /// Peers of the table that are written down.
    public static let savedPeers = 512

    // What is kept for others.

    /// Provider records, all together. One takes about 130 bytes.
    public static let providerRecords = 131_072
    /// Provider records of one provider: a quarter, so that no one fills the table alone.
    public static let recordsPerProvider = 32_768
    /// Providers of one key; of the IP group that has most of them the one that expires first makes room.
    public static let providersPerKey = 128
    /// Providers whose addresses are kept, in all and of one IP group. One takes about 1 KiB.
    public static let providers = 8192
    public static let providersPerGroup = 1024
    /// Values of others, all together, and their bytes.
    public static let values = 16_384
    public static let valueBytes = ByteCount.mebibytes(16)
    /// Values that one peer may have put, and their bytes: a republisher of names puts hundreds.
    public static let valuesPerPeer = 1024
    public static let valueBytesPerPeer = ByteCount.mebibytes(1)
    /// How long records are kept. Spec: ipfs kad-dht, "Provider Record Validity" and "Value expiry".
    public static let validity = Duration.seconds(48 * 3600)
    /// Between two sweeps for what has expired.
    public static let sweepInterval = Duration.seconds(3600)
    /// How long a change waits for others before it is written.
    public static let writeDelay = Duration.seconds(1)
    /// Between two times that the peers of the table are written.
    public static let saveInterval = Duration.seconds(600)
    /// Values of our own that are put again before they expire.
    public static let ownValues = 1024
    public static let republishInterval = Duration.seconds(22 * 3600)
}
