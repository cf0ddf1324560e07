import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The k-buckets: which peers this node knows, how well it knows them, and when it should look again.
///
/// One bucket for each length of common prefix with our own place, up to `k` peers in each. A full bucket takes a new peer only when one of the
/// old ones is gone: the peer that was silent longest is checked, and stays when it answers, because who was there for long will be there
/// tomorrow (Kademlia, section 2.2). New peers wait meanwhile. One IP group gets few places in a bucket and in the table.
package struct RoutingTableMachine: Machine {
    package typealias Failure = Never

    package enum Input {
        /// The peer serves the protocol and proved who it is. `group` is where its connection comes from, which it cannot make up; without one,
        /// its addresses say.
        case confirmed(KademliaContact, isConnected: Bool, group: IPGroup? = nil)
        /// It answered a request.
        case answered(PeerID)
        /// It could not be reached, or did not answer.
        case failed(PeerID)
        /// It does not serve the protocol (any more).
        case left(PeerID)
        case connected(PeerID)
        case disconnected(PeerID)
        /// A search through the whole bucket has been made.
        case refreshed(bucket: Int)
        /// A search for our own place has shown all peers of this bucket and of those behind it.
        case surveyed(from: Int)
        case tick
    }

    package enum Output: Equatable {
        /// Ask whether this peer is still there; `answered` or `failed` must follow.
        case check(PeerID)
        /// Search for a random place of this bucket; `refreshed` must follow.
        case refresh(bucket: Int)
        case added(PeerID)
        case removed(PeerID)
    }

    package struct Settings: Sendable {
        var k = 20
        /// Between two searches through a bucket, and after which a silent peer is checked. As go-libp2p.
        var refreshInterval = Duration.seconds(600)
        var groupPerTable = KademliaLimits.groupPerTable
        var groupPerBucket = KademliaLimits.groupPerBucket

        package init() {}
    }

    package struct Row {
        package let key: KademliaKey
        package var contact: KademliaContact
        /// As it is told to others.
        var encoded: Bytes
        var group: IPGroup?
        var isConnected: Bool
        let added: Instant
        var lastAnswer: Instant
        var failures = 0
        var isChecked = false
    }

    /// Keys apart from the rest: a search for the closest ones reads only these.
    struct Bucket {
        var keys: ContiguousArray<KademliaKey> = []
        var rows: ContiguousArray<Row> = []
        var waiting: [(contact: KademliaContact, group: IPGroup?)] = []
        var refreshed: Instant?
        var isRefreshing = false
    }

    let own: KademliaKey
    let settings: Settings
    private(set) var buckets: [Bucket] = []
    package private(set) var count = 0
    private var groups: [IPGroup: Int] = [:]
    private var outputs = Deque<Output>()
    private var nextTick: Instant
    private var checking = 0
    /// The buckets that the last search for our own place went through, and when that was.
    private var survey: (from: Int, at: Instant)?

    package init(own: KademliaKey, settings: Settings = Settings(), now: Instant) {
        self.own = own
        self.settings = settings
        nextTick = now
    }

    // MARK: Machine

    package mutating func handle(_ input: consuming Input, at now: Instant) {
        switch input {
        case .confirmed(let contact, let isConnected, let group): confirm(contact, isConnected, group ?? IPGroup(contact.addresses), now)
        case .answered(let peer):
            change(peer) { row, machine in
                row.lastAnswer = now
                row.failures = 0
                if row.isChecked { machine.checking -= 1 }
                row.isChecked = false
            }
        case .failed(let peer): fail(peer, now)
        case .left(let peer): remove(peer, now)
        case .connected(let peer): change(peer) { row, _ in row.isConnected = true }
        case .disconnected(let peer): change(peer) { row, _ in row.isConnected = false }
        case .refreshed(let bucket):
            guard bucket < buckets.count else { return }
            buckets[bucket].refreshed = now
            buckets[bucket].isRefreshing = false
        case .surveyed(let from): survey = (from, now)
        case .tick: tick(now)
        }
    }

    package mutating func next() -> Output? { outputs.popFirst() }

    package var deadline: Instant? { nextTick }

    // MARK: Questions

    func row(of peer: PeerID) -> Row? {
        let key = KademliaKey(peer)
        let index = own.commonPrefix(with: key)
        guard index < buckets.count, let place = buckets[index].keys.firstIndex(of: key) else { return nil }
        return buckets[index].rows[place]
    }

    /// All peers, bucket by bucket.
    package var rows: [Row] { buckets.flatMap(\.rows) }

    /// Calls `body` with the peers closest to `target`, the closest first, at most `count` of them, without that at `excluded`.
    ///
    /// Peers in the bucket that `target` would fall into are closer than all others; those in the buckets beyond it follow, all mixed; then the
    /// buckets before it, one after the other. So mostly one bucket is looked at, and never is more sorted than is asked for.
    func closest(to target: KademliaKey, count: Int, excluding excluded: KademliaKey? = nil, _ body: (Place) -> Void) {
        guard count > 0, !buckets.isEmpty else { return }
        let home = own.commonPrefix(with: target)
        withUnsafeTemporaryAllocation(of: Candidate.self, capacity: count) { chosen in
            var left = count
            if home < buckets.count {
                left -= take(home..<home + 1, target, excluded, left, chosen, body)
                if left > 0, home + 1 < buckets.count { left -= take(home + 1..<buckets.count, target, excluded, left, chosen, body) }
            }
            var index = min(home, buckets.count) - 1
            while left > 0, index >= 0 {
                left -= take(index..<index + 1, target, excluded, left, chosen, body)
                index -= 1
            }
        }
    }

    /// The peers closest to `target`.
    package func closest(to target: KademliaKey, count: Int, excluding excluded: KademliaKey? = nil) -> [KademliaContact] {
        var contacts: [KademliaContact] = []
        contacts.reserveCapacity(count)
        closest(to: target, count: count, excluding: excluded) { contacts.append(buckets[$0.bucket].rows[$0.index].contact) }
        return contacts
    }

    /// The peers to begin a search with, without those that share more than so many bits with the avoided place.
    package func seeds(for target: KademliaKey, count: Int, avoiding avoided: (place: KademliaKey, bits: Int)?) -> [KademliaContact] {
        guard let avoided else { return closest(to: target, count: count) }
        var contacts: [KademliaContact] = []
        closest(to: target, count: self.count) { place in
            guard contacts.count < count, key(at: place).commonPrefix(with: avoided.place) <= avoided.bits else { return }
            contacts.append(buckets[place.bucket].rows[place.index].contact)
        }
        return contacts
    }

    /// Where a peer stands, until the table changes. Its row is not handed out whole: that would count a handful of references for each answer.
    struct Place {
        fileprivate let bucket: Int
        fileprivate let index: Int
    }

    func key(at place: Place) -> KademliaKey { buckets[place.bucket].keys[place.index] }

    /// The peer as it is told to others.
    func told(at place: Place) -> (encoded: Bytes, isConnected: Bool) {
        (buckets[place.bucket].rows[place.index].encoded, buckets[place.bucket].rows[place.index].isConnected)
    }

    private struct Candidate {
        var distance: UInt64
        var place: Place
    }

    /// Selects the `limit` closest of some buckets by insertion into a short sorted list, and hands them out.
    private func take(
        _ range: Range<Int>, _ target: KademliaKey, _ excluded: KademliaKey?, _ limit: Int, _ chosen: UnsafeMutableBufferPointer<Candidate>,
        _ body: (Place) -> Void
    ) -> Int {
        var filled = 0
        for bucket in range {
            buckets[bucket].keys.withUnsafeBufferPointer { keys in
                for place in keys.indices {
                    let distance = keys[place].first ^ target.first
                    // With the first words equal, which no honest network shows, the whole distance decides.
                    if filled == limit, distance > chosen[filled - 1].distance { continue }
                    if let excluded, keys[place] == excluded { continue }
                    let candidate = Candidate(distance: distance, place: Place(bucket: bucket, index: place))
                    if filled == limit {
                        guard precedes(candidate, chosen[filled - 1], target) else { continue }
                        filled -= 1
                    }
                    var index = filled
                    while index > 0, precedes(candidate, chosen[index - 1], target) {
                        chosen[index] = chosen[index - 1]
                        index -= 1
                    }
                    chosen[index] = candidate
                    filled += 1
                }
            }
        }
        for candidate in chosen[..<filled] { body(candidate.place) }
        return filled
    }

    private func precedes(_ left: Candidate, _ right: Candidate, _ target: KademliaKey) -> Bool {
        if left.distance != right.distance { return left.distance < right.distance }
        return (key(at: left.place) ^ target) < (key(at: right.place) ^ target)
    }

    /// How many peers the network has, as far as the table shows: a full bucket holds `k` of the peers with its prefix, and the buckets behind
    /// the last full one hold all of theirs.
    package var estimatedNetworkSize: Double {
        guard let lastFull = buckets.lastIndex(where: { $0.rows.count >= settings.k }) else { return Double(count + 1) }
        let behind = buckets[(lastFull + 1)...].reduce(1) { $0 + $1.rows.count }
        return Double(behind) * Double(sign: .plus, exponent: lastFull + 1, significand: 1)
    }

    // MARK: Coming and going

    private mutating func confirm(_ contact: KademliaContact, _ isConnected: Bool, _ group: IPGroup?, _ now: Instant) {
        let key = KademliaKey(contact.peer)
        let index = own.commonPrefix(with: key)
        guard index < 256 else { return }
        while buckets.count <= index { buckets.append(Bucket()) }
        if let place = buckets[index].keys.firstIndex(of: key) {
            update(index, place, contact, group, isConnected, now)
            return
        }
        guard hasRoom(for: group, in: index) else { return }
        if buckets[index].rows.count < settings.k {
            insert(contact, key, group, isConnected, index, now)
        } else {
            wait(contact, group, index, now)
        }
    }

    private mutating func update(
        _ index: Int, _ place: Int, _ contact: KademliaContact, _ group: IPGroup?, _ isConnected: Bool, _ now: Instant
    ) {
        let old = buckets[index].rows[place].group
        if old != group {
            // A peer that moves to a group which has its places already has to go.
            buckets[index].rows[place].group = nil
            leave(old)
            guard hasRoom(for: group, in: index) else { return removeRow(index, place, now) }
            buckets[index].rows[place].group = group
            if let group { groups[group, default: 0] += 1 }
        }
        if buckets[index].rows[place].contact != contact {
            buckets[index].rows[place].contact = contact
            buckets[index].rows[place].encoded = KademliaMessage.encode(contact)
        }
        buckets[index].rows[place].isConnected = isConnected
        buckets[index].rows[place].lastAnswer = now
        buckets[index].rows[place].failures = 0
    }

    private func hasRoom(for group: IPGroup?, in index: Int) -> Bool {
        guard let group else { return true }
        guard groups[group, default: 0] < settings.groupPerTable else { return false }
        return buckets[index].rows.count { $0.group == group } < settings.groupPerBucket
    }

    private mutating func insert(
        _ contact: KademliaContact, _ key: KademliaKey, _ group: IPGroup?, _ isConnected: Bool, _ index: Int, _ now: Instant
    ) {
        buckets[index].keys.append(key)
        buckets[index].rows.append(
            Row(
                key: key, contact: contact, encoded: KademliaMessage.encode(contact), group: group, isConnected: isConnected, added: now,
                lastAnswer: now))
        if let group { groups[group, default: 0] += 1 }
        count += 1
        outputs.append(.added(contact.peer))
    }

    /// The bucket is full: the peer that was silent longest is checked, and the new one waits for how that ends.
    private mutating func wait(_ contact: KademliaContact, _ group: IPGroup?, _ index: Int, _ now: Instant) {
        buckets[index].waiting.removeAll { $0.contact.peer == contact.peer }
        if buckets[index].waiting.count >= KademliaLimits.waitingPerBucket { buckets[index].waiting.removeFirst() }
        buckets[index].waiting.append((contact, group))
        let silent = buckets[index].rows.indices.min { buckets[index].rows[$0].lastAnswer < buckets[index].rows[$1].lastAnswer }
        guard let silent, now - buckets[index].rows[silent].lastAnswer >= settings.refreshInterval else { return }
        check(index, silent)
    }

    private mutating func check(_ index: Int, _ place: Int) {
        guard checking < KademliaLimits.checks, !buckets[index].rows[place].isChecked else { return }
        buckets[index].rows[place].isChecked = true
        checking += 1
        outputs.append(.check(buckets[index].rows[place].contact.peer))
    }

    /// A peer that has been with us for more than an hour may be missing once.
    private mutating func fail(_ peer: PeerID, _ now: Instant) {
        guard let (index, place) = position(of: peer) else { return }
        if buckets[index].rows[place].isChecked { checking -= 1 }
        buckets[index].rows[place].isChecked = false
        buckets[index].rows[place].failures += 1
        let isOld = now - buckets[index].rows[place].added > .seconds(3600)
        if buckets[index].rows[place].failures >= (isOld ? 2 : 1) { removeRow(index, place, now) }
    }

    private mutating func remove(_ peer: PeerID, _ now: Instant) {
        guard let (index, place) = position(of: peer) else {
            for index in buckets.indices { buckets[index].waiting.removeAll { $0.contact.peer == peer } }
            return
        }
        removeRow(index, place, now)
    }

    private mutating func removeRow(_ index: Int, _ place: Int, _ now: Instant) {
        let row = buckets[index].rows.remove(at: place)
        buckets[index].keys.remove(at: place)
        if row.isChecked { checking -= 1 }
        leave(row.group)
        count -= 1
        outputs.append(.removed(row.contact.peer))
        // The newest of those that wait was heard of last.
        while let (contact, group) = buckets[index].waiting.popLast() {
            guard hasRoom(for: group, in: index) else { continue }
            insert(contact, KademliaKey(contact.peer), group, false, index, now)
            return
        }
    }

    private mutating func leave(_ group: IPGroup?) {
        guard let group, let count = groups[group] else { return }
        groups[group] = count > 1 ? count - 1 : nil
    }

    private func position(of peer: PeerID) -> (Int, Int)? {
        let key = KademliaKey(peer)
        let index = own.commonPrefix(with: key)
        guard index < buckets.count, let place = buckets[index].keys.firstIndex(of: key) else { return nil }
        return (index, place)
    }

    private mutating func change(_ peer: PeerID, _ body: (inout Row, inout RoutingTableMachine) -> Void) {
        guard let (index, place) = position(of: peer) else { return }
        var row = buckets[index].rows[place]
        body(&row, &self)
        buckets[index].rows[place] = row
    }

    // MARK: Time

    private static let tickInterval = Duration.seconds(30)

    private mutating func tick(_ now: Instant) {
        nextTick = now + RoutingTableMachine.tickInterval
        // One bucket beyond the last, so that closer peers are found as they come.
        let deepest = min((buckets.lastIndex { !$0.rows.isEmpty } ?? -1) + 2, KademliaLimits.refreshedBuckets)
        while buckets.count < deepest { buckets.append(Bucket()) }
        for index in 0..<deepest where !buckets[index].isRefreshing {
            // The search for our own place comes again before long.
            if let survey, index >= survey.from, now - survey.at < settings.refreshInterval + RoutingTableMachine.tickInterval * 2 { continue }
            if let last = buckets[index].refreshed, now - last < settings.refreshInterval { continue }
            guard count > 0 else { break }
            buckets[index].isRefreshing = true
            outputs.append(.refresh(bucket: index))
        }
        for index in buckets.indices {
            for place in buckets[index].rows.indices where now - buckets[index].rows[place].lastAnswer >= settings.refreshInterval {
                check(index, place)
            }
        }
    }
}
