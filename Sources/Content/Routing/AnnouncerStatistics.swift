import WaggleBase
import WaggleNetwork

/// How far announcing is, and what it did since the start of the node.
public struct AnnouncerStatistics: Sendable, Equatable {
    /// A part of the key space: the keys that begin with these bits.
    public struct Region: Hashable, Sendable {
        public var prefix: UInt64
        public var bits: Int

        /// The bits as text; empty for the whole key space.
        public var text: String { String((0..<bits).map { prefix >> UInt64(63 - $0) & 1 == 1 ? "1" as Character : "0" }) }
    }

    /// Whether the last call reached somebody, and since when that is so.
    public var isConnected = true
    public var connectedSince: Instant?

    /// Blocks that wait for their first announcement.
    public var queuedKeys = 0
    /// New blocks for which the queue had no room.
    public var droppedKeys = 0

    /// Blocks that are announced again and again, in so many regions with so many bits in common.
    public var scheduledKeys = 0
    public var regions = 0
    public var prefixBits = 0
    public var nextRegion: Region?
    public var nextRegionDue: Instant?
    /// Regions whose turn has passed.
    public var overdueRegions = 0

    public var interval = Duration.zero
    /// Since the turn of the first region.
    public var cycleElapsed = Duration.zero
    public var uptime = Duration.zero

    /// Under way.
    public var announcingNew = 0
    public var announcingAgain = 0

    public var keysAnnounced = 0
    public var recordsStored = 0
    public var keysFailed = 0
    public var lookups = 0
    /// Calls that reached nobody; their keys are tried again.
    public var failedCalls = 0
    public var peersTold = 0

    public var newKeys = 0
    public var newKeysTime = Duration.zero
    public var sweptKeys = 0
    public var sweptRegions = 0
    public var sweptTime = Duration.zero
    public var regionsLastCycle = 0
    private var regionsThisCycle = 0
    public var cycles = 0

    mutating func begin(_ source: ProvideMachine.Source, keys: Int) {
        if source == .queue { announcingNew = keys } else { announcingAgain = keys }
    }

    mutating func failed(_ source: ProvideMachine.Source, keys: Int, at now: Instant) {
        (announcingNew, announcingAgain) = (0, 0)
        failedCalls += 1
        if isConnected { (isConnected, connectedSince) = (false, now) }
    }

    mutating func ended(_ source: ProvideMachine.Source, keys: Int, _ outcome: ProvideOutcome, took: Duration, at now: Instant) {
        (announcingNew, announcingAgain) = (0, 0)
        if !isConnected || connectedSince == nil { (isConnected, connectedSince) = (true, now) }
        keysAnnounced += keys - outcome.failed.count
        keysFailed += outcome.failed.count
        recordsStored += outcome.records
        lookups += outcome.lookups
        peersTold = max(peersTold, outcome.peers)
        switch source {
        case .queue:
            newKeys += keys
            newKeysTime += took
        case .sweep:
            sweptKeys += keys
            sweptRegions += 1
            regionsThisCycle += 1
            sweptTime += took
        }
    }

    mutating func cycleEnded() {
        regionsLastCycle = regionsThisCycle
        regionsThisCycle = 0
        cycles += 1
    }

    /// The regions that hold `total` keys, as far as a window tells.
    static func regions(_ window: [KeyspaceKey], bits: Int, total: Int) -> Int {
        guard total > 0 else { return 0 }
        return min(total, 1 << bits)
    }
}
