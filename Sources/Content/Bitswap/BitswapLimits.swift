import WaggleBase

/// Bounds of bitswap: what a remote may make us read, hold, look up or send, and what we ask of remotes.
public enum BitswapLimits {
    // MARK: Messages

    /// Longest message that is read, in bytes; the limit of the other implementations. Two of the largest blocks fit.
    public static let message = ByteCount.mebibytes(4)
    /// Payload after which a message of ours is closed. Large, so that per-message costs vanish; a quarter of what others accept.
    static let targetMessage = ByteCount.mebibytes(1)
    /// Most entries, presences or blocks taken from one message; each takes at least 4 bytes on the wire but about 200 here.
    static let messageItems = 16_384
    /// Entries in one message of ours (about 50 bytes each).
    static let entriesPerMessage = 1024

    /// Streams at once of one peer: others open one for each message they send, about ten at once. Each may hold a message in the making.
    static let streamsPerPeer = 32
    /// Payload of a message in bytes up to which hashing is not worth a hop off the loop.
    static let hashedInPlace = 16 << 10

    // MARK: Server

    /// Wants kept for one peer; more are dropped, those of low priority first. The same as in other implementations.
    static let wantsPerPeer = 1024
    /// Wants beyond that which one peer may send before they count as a flood: large wantlists of other implementations are none.
    static let excessWants = 16_384
    /// Wants kept for all peers together (about 300 bytes each): beyond, a peer may only hold its share.
    static let wants = 131_072
    /// Messages to one peer being loaded or written.
    static let messagesInFlightPerPeer = 2
    /// Bytes of blocks being loaded or written for all peers; one more message may begin below it.
    static let bytesInFlight = ByteCount.mebibytes(16)
    /// A want-have for a block of at most this size is answered with the block: it costs little more than the HAVE.
    static let inlineBlock = 1024
    /// HAVEs and DONT_HAVEs waiting for one peer that reads slowly; more are dropped, which the protocol allows.
    static let presencesPerPeer = 4096

    // MARK: Client

    /// Wants told to one peer: what others keep of us.
    static let toldPerPeer = 1024
    /// Blocks asked of one peer at once: at first, at least and at most.
    static let initialWindow = 32
    static let smallestWindow = 4
    static let largestWindow = 256
    /// Of every so many wants of a session the first few are also asked of peers that are no members, of so many at most.
    static let discoveryInterval = 64
    static let discoveryRun = 4
    static let discoveryPeers = 16
    /// A session with so many members looks for no more.
    static let membersPerSession = 16
    /// Wants of one session that are active; more wait in line.
    static let wantsPerSession = 512
    /// Wants of one session waiting in line; announcements beyond are forgotten, as they are only hints.
    static let backlogPerSession = 8192
    /// Blocks that came after they were cancelled or arrived elsewhere are forgiven while they are among so many latest ones.
    static let rememberedWants = 8192
    /// Unrequested blocks that one peer may send before it is ignored.
    static let unrequestedBlocks = 64
    /// How long a misbehaving peer is ignored.
    static let ban = Duration.seconds(600)

    /// A peer that owes blocks and sends nothing for so long is slow: others are asked too.
    static let shortestStall = Duration.seconds(2)
    static let longestStall = Duration.seconds(10)
    /// A peer that stalled is avoided for a while, longer each time, at most so long.
    static let longestAvoidance = Duration.seconds(60)
    /// Without others to ask, it is asked again after so long.
    static let repeatAfter = Duration.seconds(30)
    /// A block that no connected peer has is looked for elsewhere after so long, and asked for again in growing intervals.
    static let searchAfter = Duration.seconds(1)
    static let firstBroadcastInterval = Duration.seconds(5)
    static let longestBroadcastInterval = Duration.seconds(60)

    /// Searches for providers at once, and connections that one search makes.
    static let searches = 4
    static let providersPerSearch = 8
    /// Connections that one search tries at once, and providers that wait for their turn; those that are found later are not tried.
    static let dialsPerSearch = 4
    static let providersWaiting = 64

    /// Failures of streams to one peer in a row, after which it is left alone for a while.
    static let failuresInARow = 3
    static let restAfterFailures = Duration.seconds(60)

    /// Fetched blocks are stored when they are so many bytes, or after so long; and made durable when none has come for longer.
    static let intakeBatch = ByteCount.mebibytes(2)
    static let intakeDelay = Duration.milliseconds(20)
    static let intakeRest = Duration.seconds(1)
    /// Fetched bytes that may be lost in a crash; they can be fetched again.
    static let unsynced = ByteCount.mebibytes(256)
    /// Fetched bytes waiting to be stored; a sender waits beyond.
    static let unstored = ByteCount.mebibytes(8)
    /// Fetched blocks kept in memory for a reader that asked for them ahead.
    static let fetchedAhead = ByteCount.mebibytes(32)
    /// Write to a peer that takes nothing for so long fails.
    static let sendTimeout = Duration.seconds(60)
    /// An outgoing stream without traffic is closed after so long.
    static let idleStream = Duration.seconds(120)
}
