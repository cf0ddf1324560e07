import WaggleBase
import WaggleNetwork

/// What a peer speaks, from its protocol.
package enum GossipVersion: Int, Comparable, Sendable {
    case floodsub, v10, v11, v12, v13

    package static func < (left: GossipVersion, right: GossipVersion) -> Bool { left.rawValue < right.rawValue }

    /// All protocols, best first, as they are offered.
    static let all: [(version: GossipVersion, protocolID: ProtocolID)] = [
        (.v13, "/meshsub/1.3.0"), (.v12, "/meshsub/1.2.0"), (.v11, "/meshsub/1.1.0"), (.v10, "/meshsub/1.0.0"), (.floodsub, "/floodsub/1.0.0"),
    ]

    init?(_ protocolID: ProtocolID) {
        guard let found = GossipVersion.all.first(where: { $0.protocolID == protocolID }) else { return nil }
        self = found.version
    }
}

/// What the machine has to know of a peer's connection.
package struct GossipTraits: Sendable {
    package var version: GossipVersion
    /// Whether we dialed it.
    package var isOutbound: Bool
    /// For P6; IPv6 addresses count by /64.
    package var ip: IPAddress?

    package init(version: GossipVersion, isOutbound: Bool, ip: IPAddress?) {
        self.version = version
        self.isOutbound = isOutbound
        self.ip = ip
    }
}

/// A connected peer. Belongs to one machine.
final class GossipPeer {
    let number: UInt32
    let id: PeerID
    var version: GossipVersion
    let isOutbound: Bool
    let ip: IPAddress?
    let isDirect: Bool
    var isConnected = true

    /// Topics that it subscribes to, by serial, and how many of them we have not joined.
    var topics: Set<Int> = []
    var foreignTopics = 0

    var outbox = Outbox()
    /// A stream of ours to it stands, or stood.
    var hasStream = false
    /// It has begun a new stream since the last heartbeat.
    var isRenewed = false
    /// The shell was told that something waits, and has not come to the end of it.
    var isAwake = false

    var score = PeerScore()
    var knownScore: Double?

    /// Ids that it does not want: a set for each of the last heartbeats.
    var unwanted: [Set<MessageKey>] = []

    // Per heartbeat.
    var haves = 0
    var asked = 0
    var doNotWants = 0
    var hints = 0

    var bucket: TokenBucket?
    /// Its messages that are being validated.
    var pending = 0
    var saidExtensions = false
    /// It asks for large messages that it hears of; see `GossipMachine+Large`.
    var asks = false
    /// As far as it is known.
    var roundTrip: Duration?

    init(_ number: UInt32, _ id: PeerID, _ traits: GossipTraits, isDirect: Bool) {
        self.number = number
        self.id = id
        version = traits.version
        isOutbound = traits.isOutbound
        ip = traits.ip?.groupedForScore
        self.isDirect = isDirect
    }

    var speaksGossip: Bool { version != .floodsub }

    func isUnwanted(_ key: MessageKey) -> Bool {
        for set in unwanted where set.contains(key) { return true }
        return false
    }

    /// Notes that it does not want a message; says whether that is new.
    func refuse(_ key: MessageKey) -> Bool {
        if unwanted.isEmpty { unwanted.append([]) }
        return unwanted[0].count < PubSubLimits.unwantedPerHeartbeat && unwanted[0].insert(key).inserted
    }

    /// It asked for the message after all; says how often it had refused it.
    func allow(_ key: MessageKey) -> Int {
        unwanted.indices.reduce(0) { $0 + (unwanted[$1].remove(key) == nil ? 0 : 1) }
    }
}

extension IPAddress {
    /// One /64 is one host's.
    fileprivate var groupedForScore: IPAddress {
        switch unmapped {
        case .v4(let value): .v4(value)
        case .v6(let high, _, _): .v6(high: high, low: 0, zone: 0)
        }
    }
}
