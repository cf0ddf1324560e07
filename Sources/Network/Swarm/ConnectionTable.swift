import WaggleBase

/// The open connections of a swarm, what is counted, and which peers matter. A value: the swarm brings the lock.
struct ConnectionTable {
    struct Entry {
        let id: UInt64
        let connection: Connection
        let peer: PeerID
        let direction: Direction
        let ip: IPAddress?
        let openedAt: Instant
        /// The surplus one after both sides dialed at once: no new streams, closed when the ones in flight are done.
        var surplusSince: Instant?
    }

    /// Two connections in opposite directions that were opened this close to each other come from simultaneous dials. Farther apart, the newer one
    /// may mean that the peer restarted and the older one is dead.
    static let simultaneousWindow = Duration.seconds(10)
    /// Peers with tags, and tags of one peer.
    static let taggedPeers = 4096
    static let tagsPerPeer = 32

    var ledger: ResourceLedger
    var meter: HandshakeMeter
    var handshakes = PendingHandshakes()
    private(set) var entries: [UInt64: Entry] = [:]
    private var byConnection: [ObjectIdentifier: UInt64] = [:]
    private var byPeer: [PeerID: [UInt64]] = [:]
    private var tags: [PeerID: [String: Int]] = [:]
    private var protections: [PeerID: Set<String>] = [:]
    /// Both names of connected peers that proved two, each with the other.
    private var partners: [PeerID: PeerID] = [:]
    private var nextID: UInt64 = 0
    var isClosed = false
    var lastTrim: Instant?

    init(_ limits: SwarmLimits) {
        ledger = ResourceLedger(limits)
        meter = HandshakeMeter(limits)
    }

    /// Entries in the order in which they were opened.
    var all: [Entry] { entries.values.sorted { $0.id < $1.id } }

    /// Connected peers, sorted.
    var peers: [PeerID] { byPeer.keys.sorted() }

    var peerCount: Int { byPeer.count }

    func isConnected(_ peer: PeerID) -> Bool { byPeer[peer] != nil || partners[peer] != nil }

    /// The connections with `peer`, the one for new streams first: not surplus, then the newest.
    func entries(of peer: PeerID) -> [Entry] {
        // Under an alias only those that proved it.
        let ids = byPeer[peer] ?? partners[peer].flatMap { byPeer[$0] } ?? []
        return ids.compactMap { entries[$0] }.filter { $0.peer == peer || $0.connection.alias == peer }
            .sorted { ($0.surplusSince == nil ? 1 : 0, $0.id) > ($1.surplusSince == nil ? 1 : 0, $1.id) }
    }

    func entry(of connection: Connection) -> Entry? {
        byConnection[ObjectIdentifier(connection)].flatMap { entries[$0] }
    }

    // MARK: Handshakes

    /// Whether an inbound handshake from `ip` could begin now, if need be in the place of one that hangs; nil when it could. Changes nothing.
    func refusal(from ip: IPAddress?, at now: Instant) -> Refusal? {
        if isClosed { return .connections }
        if let refusal = meter.refusal(from: ip, at: now) { return refusal }
        guard let refusal = ledger.refusal(.inbound, from: ip) else { return nil }
        return handshakes.yielding(to: refusal, from: ip, at: now) == nil ? refusal : nil
    }

    /// Counts an inbound handshake; `handshakes.end` must follow, and if that still knows it `insert` or `ledger.abandon`. Gives also the one that had
    /// to give way, which is not counted any more.
    mutating func begin(from ip: IPAddress?, at now: Instant) throws(Refusal) -> (id: UInt64, displaced: PendingHandshakes.Entry?) {
        if let refusal = refusal(from: ip, at: now) { throw refusal }
        try meter.count(from: ip, at: now)
        var displaced: PendingHandshakes.Entry?
        if let refusal = ledger.refusal(.inbound, from: ip), let id = handshakes.yielding(to: refusal, from: ip, at: now) {
            displaced = handshakes.end(id)
            if let displaced { ledger.abandon(.inbound, from: displaced.ip) }
        }
        try ledger.begin(.inbound, from: ip)
        return (handshakes.begin(from: ip, at: now), displaced)
    }

    /// Enters a connection whose handshake the ledger has counted; says whether it is the first of its peer. When it throws, nothing changed.
    mutating func insert(_ connection: Connection, ip: IPAddress?, local: PeerID, at now: Instant) throws(Refusal) -> Bool {
        let peer = connection.peer
        let direction = connection.direction
        try ledger.establish(direction, from: ip, peer: peer)
        nextID += 1
        let id = nextID
        let isFirst = byPeer[peer] == nil
        // The side with the smaller PeerID prevails as the dialer: both sides come to the same result without a word.
        let kept: Direction = local < peer ? .outbound : .inbound
        var isSurplus = false
        for other in byPeer[peer] ?? [] {
            guard let entry = entries[other], entry.direction != direction, entry.surplusSince == nil,
                now - entry.openedAt < ConnectionTable.simultaneousWindow
            else { continue }
            if direction == kept { entries[other]?.surplusSince = now } else { isSurplus = true }
        }
        entries[id] = Entry(
            id: id, connection: connection, peer: peer, direction: direction, ip: ip, openedAt: now,
            surplusSince: isSurplus ? now : nil)
        byConnection[ObjectIdentifier(connection)] = id
        byPeer[peer, default: []].append(id)
        if let alias = connection.alias {
            partners[peer] = alias
            partners[alias] = peer
        }
        return isFirst
    }

    /// Takes a closed connection out; nil when it was not in. `isLast` says that its peer has no other.
    mutating func remove(_ connection: Connection) -> (entry: Entry, isLast: Bool)? {
        guard let id = byConnection.removeValue(forKey: ObjectIdentifier(connection)), let entry = entries.removeValue(forKey: id) else {
            return nil
        }
        ledger.release(entry.direction, from: entry.ip, peer: entry.peer)
        var rest = byPeer[entry.peer] ?? []
        rest.removeAll { $0 == id }
        byPeer[entry.peer] = rest.isEmpty ? nil : rest
        if let alias = connection.alias, !rest.contains(where: { entries[$0]?.connection.alias != nil }) {
            partners[entry.peer] = nil
            partners[alias] = nil
        }
        // Where only surplus connections are left, they are none any more.
        if !rest.isEmpty, rest.allSatisfy({ entries[$0]?.surplusSince != nil }), let newest = rest.last {
            entries[newest]?.surplusSince = nil
        }
        return (entry, rest.isEmpty)
    }

    // MARK: Value

    mutating func tag(_ peer: PeerID, _ tag: String, value: Int) {
        if tags[peer] == nil, tags.count >= ConnectionTable.taggedPeers { dropTagsOfStrangers() }
        guard tags[peer] != nil || tags.count < ConnectionTable.taggedPeers else { return }
        guard tags[peer]?[tag] != nil || (tags[peer]?.count ?? 0) < ConnectionTable.tagsPerPeer else { return }
        tags[peer, default: [:]][tag] = value
    }

    mutating func untag(_ peer: PeerID, _ tag: String) {
        tags[peer]?[tag] = nil
        if tags[peer]?.isEmpty == true { tags[peer] = nil }
    }

    mutating func protect(_ peer: PeerID, _ tag: String) { protections[peer, default: []].insert(tag) }

    /// Says whether the peer is still protected for another reason.
    mutating func unprotect(_ peer: PeerID, _ tag: String) -> Bool {
        protections[peer]?.remove(tag)
        if protections[peer]?.isEmpty == true { protections[peer] = nil }
        return protections[peer] != nil
    }

    /// Under either name.
    func isProtected(_ peer: PeerID) -> Bool { protections[peer] != nil || partners[peer].map { protections[$0] != nil } ?? false }

    /// The sum of the peer's tags; saturates.
    func value(of peer: PeerID) -> Int {
        let other = partners[peer].flatMap { tags[$0] } ?? [:]
        return (Array((tags[peer] ?? [:]).values) + other.values).sorted().reduce(0) { sum, value in
            let (result, overflow) = sum.addingReportingOverflow(value)
            return overflow ? (value > 0 ? .max : .min) : result
        }
    }

    private mutating func dropTagsOfStrangers() { tags = tags.filter { byPeer[$0.key] != nil } }
}
