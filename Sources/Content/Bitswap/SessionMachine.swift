import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The fetching side: which peer is asked for which block.
///
/// A session is the fetching of one graph. Its first block is asked of everybody: of the most promising peer as a block, of the others
/// whether they have it. Who has it, or sends a block, becomes a member, and later blocks are asked of members only, each of the one that
/// will probably have sent it first. A peer that says DONT_HAVE, stalls or leaves hands its blocks on to the next. A block that no
/// connected peer has is searched for elsewhere, and new peers are asked at once.
/// ```
///  wanted ──► asked of a member ──► arrived
///     │          │ DONT_HAVE, stall, gone
///     │ no member▼
///     └──────► asked of all ── nobody has it ──► idle ── search, new peer, repeat ──►
/// ```
/// Blocks come in with their hashes checked; what was not wanted is told apart here: late duplicates are counted, the rest is held against
/// its sender.
struct SessionMachine: Machine {
    typealias Failure = Never
    typealias Entry = BitswapMessage.Entry
    typealias SessionID = UInt64

    enum Input: Sendable {
        case connected(PeerID)
        /// What is remembered of a peer that has just connected.
        case remembered(PeerID, ProviderRecord)
        /// A stream to the peer is open.
        case ready(PeerID, BitswapVersion)
        /// No stream can be opened to the peer; it is left alone until the instant.
        case unreachable(PeerID, until: Instant)
        case disconnected(PeerID)
        case opened(SessionID)
        /// Blocks that a session needs, in the order in which it will need them.
        case wanted(SessionID, [CID])
        case closed(SessionID)
        /// Verified blocks of one message with their sizes, wanted or not.
        case blocks(PeerID, [(key: Multihash, size: Int)])
        case presences(PeerID, [BitswapMessage.Presence])
        /// Blocks that came into the store another way.
        case stored([Multihash])
        case tick
    }

    enum Output: Sendable, Equatable {
        /// Open a stream and answer `ready` or `unreachable`.
        case open(PeerID)
        case tell(PeerID, Entry)
        /// This block of the message was wanted, by these sessions.
        case accept(Multihash, [SessionID])
        /// No connected peer has the block.
        case search(CID, [SessionID])
        /// The peer sends what nobody asked for.
        case violation(PeerID)
        /// The peer owes blocks and is silent.
        case stalled(PeerID)
    }

    private enum Answer { case none, have, dontHave }

    private struct Ask {
        var isBlock: Bool
        var answer = Answer.none
    }

    private struct Want {
        let cid: CID
        /// Position among all wants; the earlier the more urgent.
        let order: UInt64
        var sessions: [SessionID]
        var asked: [PeerID: Ask] = [:]
        /// Who owes the block.
        var assigned: PeerID?
        /// Since when nobody does; nil while somebody does or windows are full.
        var idleSince: Instant?
        var isSearched = false
        var nextBroadcast = Instant.distantFuture
        var interval = BitswapLimits.firstBroadcastInterval
    }

    private struct Session {
        var members: [PeerID] = []
        var active = 0
        /// Wants so far.
        var started = 0
        var backlog = Deque<CID>()
    }

    private var partners: [PeerID: Partner] = [:]
    private var sessions: [SessionID: Session] = [:]
    private var wants: [Multihash: Want] = [:]
    /// Wants that wait until a member has room, in order.
    private var queue: [Multihash] = []
    /// Wants that nobody owes.
    private var idle: Set<Multihash> = []
    private var recent = RecentKeys(capacity: BitswapLimits.rememberedWants)
    private var outputs = Deque<Output>()
    private var nextOrder: UInt64 = 0
    private var nextNumber: UInt64 = 0
    private var blockSize = 262_144.0
    private(set) var duplicates = 0
    private(set) var unrequested = 0

    mutating func next() -> Output? { outputs.popFirst() }

    var deadline: Instant? {
        var deadline: Instant?
        func consider(_ instant: Instant?) {
            guard let instant, instant != .distantFuture else { return }
            deadline = deadline.map { min($0, instant) } ?? instant
        }
        for partner in partners.values { consider(partner.stallsAt) }
        for key in idle { consider(nextStep(of: key)) }
        return deadline
    }

    mutating func handle(_ input: consuming Input, at now: Instant) {
        switch input {
        case .connected(let peer): connected(peer)
        case .remembered(let peer, let record): partners[peer]?.prior = record
        case .ready(let peer, let version): ready(peer, version, now)
        case .unreachable(let peer, let until): leave(peer, .ignored(until: until), now)
        case .disconnected(let peer): disconnected(peer, now)
        case .opened(let id): sessions[id] = Session()
        case .wanted(let id, let cids): wanted(id, cids, now)
        case .closed(let id): closed(id, now)
        case .blocks(let peer, let blocks): received(blocks, from: peer, now)
        case .presences(let peer, let presences): told(presences, by: peer, now)
        case .stored(let keys): for key in keys where wants[key] != nil { finish(key, from: nil, now) }
        case .tick: tick(now)
        }
        if !queue.isEmpty { drainQueue(now) }
    }

    // MARK: Looking in from outside

    /// What is being fetched, in order of need.
    var wantlist: [CID] { wants.values.sorted { $0.order < $1.order }.map(\.cid) }
    /// Whether nothing is being fetched.
    var isIdle: Bool { wants.isEmpty }
    var sessionCount: Int { sessions.count }
    func wants(of session: SessionID) -> Int { (sessions[session].map { $0.active + $0.backlog.count }) ?? 0 }
    /// Seconds from asking to getting, and bytes a second, as measured lately.
    func measured(of peer: PeerID) -> (delay: Double?, rate: Double?) { (partners[peer]?.delay, partners[peer]?.rate) }
    func outstanding(of peer: PeerID) -> Int { partners[peer]?.outstanding.count ?? 0 }
    /// Rows kept, for tests of the bounds.
    var rows: Int {
        wants.values.reduce(wants.count + idle.count + queue.count + partners.count) { $0 + $1.asked.count }
            + sessions.values.reduce(0) { $0 + $1.backlog.count + $1.members.count }
            + partners.values.reduce(0) { $0 + $1.outstanding.count }
    }

    // MARK: Peers

    private mutating func connected(_ peer: PeerID) {
        guard partners[peer] == nil else { return }
        nextNumber += 1
        partners[peer] = Partner(number: nextNumber)
        if !wants.isEmpty { open(peer) }
    }

    private mutating func open(_ peer: PeerID) {
        guard partners[peer]?.state == .idle else { return }
        partners[peer]?.state = .opening
        outputs.append(.open(peer))
    }

    private mutating func openAll() { for peer in ordered(partners.keys) { open(peer) } }

    private mutating func ready(_ peer: PeerID, _ version: BitswapVersion, _ now: Instant) {
        guard let partner = partners[peer] else { return }
        if case .ignored(let until) = partner.state, until > now { return }
        partners[peer]?.state = .ready(version)
        // It may have what we are after: a member it is when it says so.
        for key in wants.values.sorted(by: { $0.order < $1.order }).map(\.cid.multihash) {
            guard let want = wants[key], want.asked[peer] == nil else { continue }
            if want.assigned == nil { assign(key, now) }
            if wants[key]?.asked[peer] == nil { ask(peer, key, isBlock: !version.hasPresences, now) }
        }
    }

    private mutating func disconnected(_ peer: PeerID, _ now: Instant) {
        leave(peer, .idle, now)
        partners[peer] = nil
    }

    /// Takes the peer out of everything.
    private mutating func leave(_ peer: PeerID, _ state: Partner.State, _ now: Instant) {
        guard partners[peer] != nil else { return }
        partners[peer]?.state = state
        partners[peer]?.outstanding = [:]
        partners[peer]?.told = 0
        for id in sessions.keys { sessions[id]?.members.removeAll { $0 == peer } }
        var orphans: [(order: UInt64, key: Multihash)] = []
        for (key, want) in wants where want.asked[peer] != nil {
            wants[key]?.asked[peer] = nil
            if want.assigned == peer { wants[key]?.assigned = nil }
            if want.assigned == peer || want.assigned == nil { orphans.append((want.order, key)) }
        }
        for (_, key) in orphans.sorted(by: { $0.order < $1.order }) { assign(key, now) }
    }

    private func ordered(_ peers: some Sequence<PeerID>) -> [PeerID] {
        peers.compactMap { peer in partners[peer].map { (peer, $0.number) } }.sorted { $0.1 < $1.1 }.map(\.0)
    }

    // MARK: Sessions

    private mutating func wanted(_ id: SessionID, _ cids: [CID], _ now: Instant) {
        guard sessions[id] != nil else { return }
        openAll()
        for cid in cids { want(cid, in: id, now) }
    }

    private mutating func want(_ cid: CID, in id: SessionID, _ now: Instant) {
        let key = cid.multihash
        if let want = wants[key] {
            if !want.sessions.contains(id) {
                wants[key]?.sessions.append(id)
                sessions[id]?.active += 1
            }
            return
        }
        guard let session = sessions[id] else { return }
        guard session.active < BitswapLimits.wantsPerSession else {
            if session.backlog.count < BitswapLimits.backlogPerSession { sessions[id]?.backlog.append(cid) }
            return
        }
        nextOrder += 1
        wants[key] = Want(cid: cid, order: nextOrder, sessions: [id])
        sessions[id]?.active += 1
        sessions[id]?.started += 1
        assign(key, now)
        if session.started % BitswapLimits.discoveryInterval < BitswapLimits.discoveryRun { discover(key, session.members, now) }
    }

    /// Asks some peers that are no members whether they have the block: more members share the work.
    private mutating func discover(_ key: Multihash, _ members: [PeerID], _ now: Instant) {
        guard let want = wants[key], members.count < BitswapLimits.membersPerSession else { return }
        let others = ordered(partners.keys).filter { peer in
            partners[peer]?.version?.hasPresences == true && want.asked[peer] == nil && !members.contains(peer)
        }
        // Others each time, where there are many.
        let first = others.isEmpty ? 0 : Int(want.order) % others.count
        for offset in 0..<min(others.count, BitswapLimits.discoveryPeers) {
            ask(others[(first + offset) % others.count], key, isBlock: false, now)
        }
    }

    private mutating func closed(_ id: SessionID, _ now: Instant) {
        guard sessions.removeValue(forKey: id) != nil else { return }
        for want in wants.values.filter({ $0.sessions.contains(id) }).sorted(by: { $0.order < $1.order }) {
            let key = want.cid.multihash
            wants[key]?.sessions.removeAll { $0 == id }
            if wants[key]?.sessions.isEmpty == true { remove(key, deliveredBy: nil) }
        }
    }

    // MARK: Asking

    /// Finds somebody to owe the block.
    private mutating func assign(_ key: Multihash, _ now: Instant) {
        guard let want = wants[key], want.assigned == nil else { return }
        var candidates: [PeerID] = []
        for (peer, ask) in want.asked where ask.answer == .have { candidates.append(peer) }
        for id in want.sessions {
            for peer in sessions[id]?.members ?? [] where !candidates.contains(peer) { candidates.append(peer) }
        }
        let able = ordered(candidates).filter { peer in
            guard partners[peer]?.version != nil, let ask = want.asked[peer] else { return partners[peer]?.version != nil }
            // A block was asked of it before, in vain or too slowly.
            return ask.answer != .dontHave && !ask.isBlock
        }
        if able.isEmpty { return broadcast(key, now) }
        // Who stalled lately is asked only when there is nobody else.
        let lively = able.filter { partners[$0].map { $0.avoidedUntil <= now } ?? false }
        if let peer = best(of: (lively.isEmpty ? able : lively).filter { partners[$0]?.hasRoom == true }) {
            setIdle(key, nil)
            wants[key]?.assigned = peer
            ask(peer, key, isBlock: true, now)
        } else if !queue.contains(key) {
            setIdle(key, nil)
            queue.append(key)
        }
    }

    private mutating func drainQueue(_ now: Instant) {
        let waiting = queue
        queue = []
        for key in waiting { assign(key, now) }
    }

    private func best(of peers: [PeerID]) -> PeerID? {
        let bestRate = peers.compactMap { partners[$0]?.knownRate }.max() ?? blockSize / 0.01
        var best: (peer: PeerID, expectation: Double)?
        for peer in peers {
            guard let expectation = partners[peer]?.expectation(blockSize: blockSize, bestRate: bestRate) else { continue }
            if best.map({ expectation < $0.expectation }) ?? true { best = (peer, expectation) }
        }
        return best?.peer
    }

    /// Asks everybody who was not asked, the most promising one for the block itself; when all were asked, one that has not answered.
    private mutating func broadcast(_ key: Multihash, _ now: Instant) {
        guard let want = wants[key] else { return }
        let fresh = ordered(partners.keys).filter { partners[$0]?.version != nil && want.asked[$0] == nil }
        let silent = ordered(want.asked.lazy.filter { $0.value.answer == .none && !$0.value.isBlock }.map(\.key))
        let chosen = best(of: (fresh.isEmpty ? silent : fresh).filter { partners[$0]?.hasRoom == true })
        if let chosen {
            wants[key]?.assigned = chosen
            ask(chosen, key, isBlock: true, now)
        }
        for other in fresh where other != chosen { ask(other, key, isBlock: partners[other]?.version?.hasPresences == false, now) }
        setIdle(key, chosen == nil ? now : nil)
    }

    private mutating func ask(_ peer: PeerID, _ key: Multihash, isBlock: Bool, _ now: Instant) {
        guard let want = wants[key], let partner = partners[peer] else { return }
        let previous = want.asked[peer]
        if previous == nil {
            // The other side forgets what exceeds its limit; what it should send counts, what it may have is only a hint.
            guard isBlock || partner.told < BitswapLimits.toldPerPeer else { return }
            partners[peer]?.told += 1
        }
        wants[key]?.asked[peer] = Ask(isBlock: isBlock || previous?.isBlock == true, answer: previous?.answer ?? .none)
        if isBlock {
            if partner.outstanding.isEmpty { partners[peer]?.lastProgress = now }
            partners[peer]?.outstanding[key] = now
        }
        outputs.append(
            .tell(
                peer,
                Entry(
                    cid: want.cid, priority: Int32.max - Int32(want.order & 0x3fff_ffff), want: isBlock ? .block : .have, sendDontHave: true)))
    }

    private mutating func setIdle(_ key: Multihash, _ since: Instant?) {
        guard let since else {
            wants[key]?.idleSince = nil
            idle.remove(key)
            return
        }
        guard idle.insert(key).inserted else { return }
        wants[key]?.idleSince = since
        let interval = wants[key]?.interval ?? .zero
        wants[key]?.nextBroadcast = since + interval
    }

    // MARK: Answers

    private mutating func told(_ presences: [BitswapMessage.Presence], by peer: PeerID, _ now: Instant) {
        guard partners[peer]?.version != nil else { return }
        for presence in presences {
            let key = presence.cid.multihash
            guard let want = wants[key], want.asked[peer] != nil else { continue }
            partners[peer]?.lastProgress = now
            if presence.isHere {
                wants[key]?.asked[peer]?.answer = .have
                join(peer, want.sessions)
            } else {
                wants[key]?.asked[peer]?.answer = .dontHave
                partners[peer]?.outstanding[key] = nil
                if want.assigned == peer { wants[key]?.assigned = nil }
            }
            if wants[key]?.assigned == nil { assign(key, now) }
        }
    }

    private mutating func join(_ peer: PeerID, _ ids: [SessionID]) {
        for id in ids where sessions[id]?.members.contains(peer) == false { sessions[id]?.members.append(peer) }
    }

    private mutating func received(_ blocks: [(key: Multihash, size: Int)], from peer: PeerID, _ now: Instant) {
        guard let partner = partners[peer] else { return }
        if case .ignored(let until) = partner.state, until > now { return }
        var oldest: Instant?
        var wanted: [(key: Multihash, size: Int)] = []
        for block in blocks {
            if let asked = partners[peer]?.outstanding.removeValue(forKey: block.key) { oldest = oldest.map { min($0, asked) } ?? asked }
            if let want = wants[block.key] {
                wanted.append(block)
                blockSize = blockSize * 0.95 + Double(max(block.size, 1024)) * 0.05
                outputs.append(.accept(block.key, want.sessions))
                join(peer, want.sessions)
                finish(block.key, from: peer, now)
            } else if recent.contains(block.key) {
                duplicates += 1
                partners[peer]?.duplicates += 1
            } else {
                unrequested += 1
                partners[peer]?.unrequested += 1
            }
        }
        if !wanted.isEmpty {
            partners[peer]?.received(blocks: wanted.count, bytes: wanted.reduce(0) { $0 + $1.size }, askedAt: oldest, at: now)
        }
        if partners[peer]?.unrequested ?? 0 > BitswapLimits.unrequestedBlocks {
            partners[peer]?.unrequested = 0
            outputs.append(.violation(peer))
            leave(peer, .ignored(until: now + BitswapLimits.ban), now)
        }
    }

    /// The block is here.
    private mutating func finish(_ key: Multihash, from peer: PeerID?, _ now: Instant) {
        guard let want = wants[key] else { return }
        remove(key, deliveredBy: peer)
        for id in want.sessions {
            sessions[id]?.active -= 1
            while let session = sessions[id], session.active < BitswapLimits.wantsPerSession, let cid = sessions[id]?.backlog.popFirst() {
                self.want(cid, in: id, now)
            }
        }
    }

    /// Forgets a want and takes it back from those who keep it.
    private mutating func remove(_ key: Multihash, deliveredBy deliverer: PeerID?) {
        guard let want = wants.removeValue(forKey: key) else { return }
        recent.insert(key)
        idle.remove(key)
        if !queue.isEmpty { queue.removeAll { $0 == key } }
        for peer in ordered(want.asked.keys) {
            partners[peer]?.outstanding[key] = nil
            partners[peer]?.told -= 1
            // Who sent the block, or said HAVE to a mere question, has forgotten the want.
            guard peer != deliverer, let ask = want.asked[peer], ask.isBlock || ask.answer != .have else { continue }
            outputs.append(.tell(peer, .cancel(want.cid)))
        }
    }

    // MARK: Time

    private func nextStep(of key: Multihash) -> Instant? {
        guard let want = wants[key], let since = want.idleSince else { return nil }
        return want.isSearched ? want.nextBroadcast : min(want.nextBroadcast, since + BitswapLimits.searchAfter)
    }

    private mutating func tick(_ now: Instant) {
        for peer in ordered(partners.keys) {
            if let at = partners[peer]?.stallsAt, at <= now { stalled(peer, now) }
            if case .ignored(let until) = partners[peer]?.state, until <= now { partners[peer]?.state = .idle }
        }
        let due = idle.filter { key in nextStep(of: key).map { $0 <= now } ?? false }
            .compactMap { key in wants[key].map { ($0.order, key) } }.sorted { $0.0 < $1.0 }
        for (_, key) in due { revive(key, now) }
    }

    /// A peer owes blocks and is silent: hand on what others can give.
    private mutating func stalled(_ peer: PeerID, _ now: Instant) {
        guard let owed = partners[peer]?.outstanding else { return }
        partners[peer]?.stalled(at: now)
        outputs.append(.stalled(peer))
        let keys = owed.keys.compactMap { key in wants[key].map { ($0.order, key) } }.sorted { $0.0 < $1.0 }.map(\.1)
        for key in keys where wants[key]?.assigned == peer {
            wants[key]?.assigned = nil
            assign(key, now)
            if wants[key]?.assigned != nil || queue.contains(key) {
                partners[peer]?.outstanding[key] = nil
            } else {
                // Nobody else: it goes on owing it, and is reminded at times.
                setIdle(key, nil)
                wants[key]?.assigned = peer
                if let asked = owed[key], now >= asked + BitswapLimits.repeatAfter { ask(peer, key, isBlock: true, now) }
            }
        }
    }

    /// A want that nobody owes: search, and from time to time ask everybody again.
    private mutating func revive(_ key: Multihash, _ now: Instant) {
        guard let want = wants[key], let since = want.idleSince else { return }
        if !want.isSearched, now >= since + BitswapLimits.searchAfter {
            wants[key]?.isSearched = true
            outputs.append(.search(want.cid, want.sessions))
        }
        guard now >= want.nextBroadcast else { return }
        let interval = min(want.interval + want.interval, BitswapLimits.longestBroadcastInterval)
        wants[key]?.interval = interval
        for peer in want.asked.keys {
            partners[peer]?.told -= 1
            partners[peer]?.outstanding[key] = nil
        }
        wants[key]?.asked = [:]
        wants[key]?.isSearched = false
        setIdle(key, nil)
        assign(key, now)
        if wants[key]?.assigned == nil, !queue.contains(key) { setIdle(key, now) }
    }
}
