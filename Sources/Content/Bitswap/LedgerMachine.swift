import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The serving side: what each peer wants, and whose turn it is to get it.
///
/// A want goes this way; `cancel`, a full wantlist and the peer's end lead out from everywhere:
/// ```
///            located: not here                 stored
///  locating ───────────────────► absent ────────────────┐
///     │  (DONT_HAVE if asked for)   │ asked again        │
///     │ ◄──────────────────────────┘                     ▼
///     └──── located: here ─────────────► queued ──► sending ──► gone
///              └── want-have of a large block: HAVE ──────────► gone
/// ```
/// Peers take turns by bytes: the one that was given least goes next, and one that was idle gains nothing by it. Each peer has at most
/// two messages under way, so one that reads slowly holds up nobody.
struct LedgerMachine: Machine {
    typealias Failure = Never
    typealias Entry = BitswapMessage.Entry

    enum Input: Sendable {
        case connected(PeerID)
        case disconnected(PeerID)
        /// A wantlist, or a change of one.
        case wantlist(PeerID, [Entry], isFull: Bool, hasPresences: Bool)
        /// The answer to `locate`, with the sizes in bytes of blocks that are here.
        case located(PeerID, [(cid: CID, size: Int?)])
        /// Blocks that were stored, with their sizes.
        case stored([(key: Multihash, size: Int)])
        /// An envelope is written, or has failed with nothing written.
        case left(PeerID, envelope: UInt64, blocks: Int, bytes: Int)
        /// Blocks that came from the peer.
        case credited(PeerID, blocks: Int, bytes: Int)
    }

    enum Output: Sendable {
        case locate(PeerID, [CID])
        case send(PeerID, Envelope)
        /// The peer wants far more than is kept of it, again and again.
        case flood(PeerID)
    }

    /// What to put into one message.
    struct Envelope: Sendable {
        struct Item: Sendable {
            var cid: CID
            /// Whether to answer with DONT_HAVE if the block has gone meanwhile.
            var sendDontHave: Bool
        }
        var id: UInt64
        var presences: [BitswapMessage.Presence]
        var blocks: [Item]
        /// Sum of the blocks' sizes.
        var bytes: Int
        /// Bytes that wait behind this message.
        var pendingBytes: Int
    }

    fileprivate struct Want {
        enum State: Equatable { case locating, absent, queued(UInt64, size: Int), sending(UInt64) }
        var cid: CID
        var priority: Int32
        var isBlock: Bool
        var sendDontHave: Bool
        var state = State.locating
    }

    fileprivate struct Partner {
        var ledger: BitswapLedger
        var wants: [Multihash: Want] = [:]
        var queue = WantQueue<Multihash>()
        var queuedBlocks = 0
        var queuedBytes = 0
        var presences = Deque<BitswapMessage.Presence>()
        /// Under way, by envelope.
        var sending: [UInt64: (keys: [Multihash], bytes: Int)] = [:]
        /// Where the peer stands in the round: bytes given, counted from the clock when it last came out of idleness.
        var given: UInt64

        /// Wants beyond the limit of one peer, since the last `flood`.
        var excess = 0

        var hasWork: Bool { queuedBlocks > 0 || !presences.isEmpty }
    }

    private var partners: [PeerID: Partner] = [:]
    /// Peers that have work and may be given a message.
    private var ready: Set<PeerID> = []
    /// Peers that want a block that is not here.
    private var waiting: [Multihash: Set<PeerID>] = [:]
    private var outputs = Deque<Output>()
    private var nextTicket: UInt64 = 0
    private var clock: UInt64 = 0
    private(set) var totalWants = 0
    private(set) var bytesInFlight = 0
    /// Wants that were dropped because of a limit.
    private(set) var refusedWants = 0

    var deadline: Instant? { nil }

    mutating func next() -> Output? { outputs.popFirst() }

    mutating func handle(_ input: consuming Input, at now: Instant) {
        switch input {
        case .connected(let peer):
            if partners[peer] == nil { partners[peer] = Partner(ledger: BitswapLedger(peer), given: clock) }
        case .disconnected(let peer): disconnect(peer)
        case .wantlist(let peer, let entries, let isFull, let hasPresences): take(entries, isFull, hasPresences, peer)
        case .located(let peer, let found): located(peer, found)
        case .stored(let blocks): stored(blocks)
        case .left(let peer, let envelope, let blocks, let bytes): left(peer, envelope, blocks, bytes)
        case .credited(let peer, let blocks, let bytes):
            partners[peer]?.ledger.blocksReceived += blocks
            partners[peer]?.ledger.bytesReceived += bytes
            partners[peer]?.ledger.exchanges += 1
        }
        schedule()
    }

    // MARK: Looking in from outside

    /// The counters of a connected peer.
    func ledger(of peer: PeerID) -> BitswapLedger? {
        partners[peer].map { partner in
            var ledger = partner.ledger
            ledger.wants = partner.wants.count
            return ledger
        }
    }

    /// All peers' counters, in the order of the peers.
    var ledgers: [BitswapLedger] { partners.keys.sorted().compactMap { ledger(of: $0) } }

    /// What a peer wants, highest priority first.
    func wantlist(of peer: PeerID) -> [CID] {
        guard let wants = partners[peer]?.wants.values else { return [] }
        return wants.sorted { $0.priority != $1.priority ? $0.priority > $1.priority : $0.cid < $1.cid }.map(\.cid)
    }

    /// Rows kept, for tests of the bounds.
    var rows: Int { partners.values.reduce(waiting.count) { $0 + $1.wants.count + $1.queue.count + $1.presences.count } }

    // MARK: Wants

    private mutating func disconnect(_ peer: PeerID) {
        guard let partner = partners.removeValue(forKey: peer) else { return }
        for (key, want) in partner.wants where want.state == .absent { forget(key, peer) }
        totalWants -= partner.wants.count
        for (_, sent) in partner.sending { bytesInFlight -= sent.bytes }
        ready.remove(peer)
    }

    private mutating func forget(_ key: Multihash, _ peer: PeerID) {
        waiting[key]?.remove(peer)
        if waiting[key]?.isEmpty == true { waiting[key] = nil }
    }

    private mutating func countExcess(of peer: PeerID) {
        partners[peer]?.excess += 1
        guard partners[peer]?.excess ?? 0 >= BitswapLimits.excessWants else { return }
        partners[peer]?.excess = 0
        outputs.append(.flood(peer))
    }

    private mutating func take(_ entries: [Entry], _ isFull: Bool, _ hasPresences: Bool, _ peer: PeerID) {
        guard partners[peer] != nil else { return }
        if isFull {
            let keys = partners[peer].map { Array($0.wants.keys) } ?? []
            for key in keys { cancel(key, peer) }
        }
        var locate: [CID] = []
        // A peer at its own limit, or at its share of the common one, gets no more in.
        let share = max(1, BitswapLimits.wants / max(1, partners.count))
        for entry in entries {
            let key = entry.cid.multihash
            if entry.cancel {
                cancel(key, peer)
                continue
            }
            let isBlock = entry.want == .block || !hasPresences
            let sendDontHave = entry.sendDontHave && hasPresences
            if var want = partners[peer]?.wants[key] {
                want.isBlock = want.isBlock || isBlock
                want.sendDontHave = want.sendDontHave || sendDontHave
                if want.state == .absent {
                    forget(key, peer)
                    want.state = .locating
                    want.sendDontHave = sendDontHave
                    locate.append(want.cid)
                }
                partners[peer]?.wants[key] = want
                continue
            }
            let count = partners[peer]?.wants.count ?? 0
            guard count < BitswapLimits.wantsPerPeer, totalWants < BitswapLimits.wants || count < share else {
                refusedWants += 1
                if count >= BitswapLimits.wantsPerPeer { countExcess(of: peer) }
                continue
            }
            partners[peer]?.wants[key] = Want(
                cid: entry.cid, priority: entry.priority, isBlock: isBlock, sendDontHave: sendDontHave)
            totalWants += 1
            locate.append(entry.cid)
        }
        if !locate.isEmpty { outputs.append(.locate(peer, locate)) }
    }

    private mutating func cancel(_ key: Multihash, _ peer: PeerID) {
        guard let want = partners[peer]?.wants.removeValue(forKey: key) else { return }
        totalWants -= 1
        switch want.state {
        case .absent: forget(key, peer)
        case .queued(_, let size):
            partners[peer]?.queuedBlocks -= 1
            partners[peer]?.queuedBytes -= size
        case .locating, .sending: break
        }
    }

    private mutating func located(_ peer: PeerID, _ found: [(cid: CID, size: Int?)]) {
        for (cid, size) in found {
            let key = cid.multihash
            guard partners[peer]?.wants[key]?.state == .locating else { continue }
            answer(key, size, peer)
        }
        arm(peer)
    }

    private mutating func stored(_ blocks: [(key: Multihash, size: Int)]) {
        for (key, size) in blocks {
            guard let peers = waiting.removeValue(forKey: key) else { continue }
            for peer in peers.sorted() {
                answer(key, size, peer)
                arm(peer)
            }
        }
    }

    /// The want is known to be here with this size, or not to be here.
    private mutating func answer(_ key: Multihash, _ size: Int?, _ peer: PeerID) {
        nextTicket += 1
        switch partners[peer]?.answer(key, size, ticket: nextTicket) {
        case .waits?: waiting[key, default: []].insert(peer)
        case .gone?: totalWants -= 1
        case .queued?, nil: break
        }
    }

    // MARK: Turns

    /// Lets the peer take part in the round if it has work and room.
    private mutating func arm(_ peer: PeerID) {
        guard let partner = partners[peer], partner.hasWork, partner.sending.count < BitswapLimits.messagesInFlightPerPeer else {
            ready.remove(peer)
            return
        }
        if ready.insert(peer).inserted { partners[peer]?.given = max(partner.given, clock) }
    }

    private mutating func schedule() {
        while bytesInFlight < BitswapLimits.bytesInFlight.bytes,
            let peer = ready.min(by: { left, right in
                let (a, b) = (partners[left]?.given ?? 0, partners[right]?.given ?? 0)
                return a != b ? a < b : left < right
            })
        {
            clock = partners[peer]?.given ?? clock
            guard let envelope = fill(peer) else {
                ready.remove(peer)
                continue
            }
            outputs.append(.send(peer, envelope))
            arm(peer)
        }
    }

    /// The next message for the peer.
    private mutating func fill(_ peer: PeerID) -> Envelope? {
        nextTicket += 1
        guard let envelope = partners[peer]?.fill(id: nextTicket) else { return nil }
        bytesInFlight += envelope.bytes
        return envelope
    }

    private mutating func left(_ peer: PeerID, _ id: UInt64, _ blocks: Int, _ bytes: Int) {
        guard let sent = partners[peer]?.sending.removeValue(forKey: id) else { return }
        bytesInFlight -= sent.bytes
        for key in sent.keys where partners[peer]?.wants[key]?.state == .sending(id) {
            partners[peer]?.wants[key] = nil
            totalWants -= 1
        }
        if blocks > 0 {
            partners[peer]?.ledger.blocksSent += blocks
            partners[peer]?.ledger.bytesSent += bytes
            partners[peer]?.ledger.exchanges += 1
        }
        arm(peer)
    }
}

extension LedgerMachine.Partner {
    enum Answered { case waits, queued, gone }

    /// Moves a want that was looked up on; `ticket` is its place among equals.
    mutating func answer(_ key: Multihash, _ size: Int?, ticket: UInt64) -> Answered? {
        guard let want = wants[key] else { return nil }
        guard let size else {
            wants[key]?.state = .absent
            if want.sendDontHave { tell(want.cid, isHere: false) }
            return .waits
        }
        guard want.isBlock || size <= BitswapLimits.inlineBlock else {
            wants[key] = nil
            tell(want.cid, isHere: true)
            return .gone
        }
        wants[key]?.state = .queued(ticket, size: size)
        queue.push(key, priority: want.priority, ticket: ticket)
        queuedBlocks += 1
        queuedBytes += size
        // Cancelled entries are swept out before they outnumber the others.
        if queue.count > 2 * queuedBlocks + 64 {
            let wants = wants
            queue.filter { key, ticket in
                if case .queued(ticket, _) = wants[key]?.state { true } else { false }
            }
        }
        return .queued
    }

    /// The size of a queued want; nil when the entry of the queue is out of date.
    private func isQueued(_ key: Multihash, _ ticket: UInt64) -> Int? {
        if case .queued(ticket, let size) = wants[key]?.state { size } else { nil }
    }

    private mutating func tell(_ cid: CID, isHere: Bool) {
        guard presences.count < BitswapLimits.presencesPerPeer else { return }
        presences.append(BitswapMessage.Presence(cid: cid, isHere: isHere))
    }

    /// Takes what goes into one message out of the queues.
    mutating func fill(id: UInt64) -> LedgerMachine.Envelope? {
        var envelope = LedgerMachine.Envelope(id: id, presences: [], blocks: [], bytes: 0, pendingBytes: 0)
        while envelope.presences.count < BitswapLimits.entriesPerMessage, let presence = presences.popFirst() {
            envelope.presences.append(presence)
        }
        var keys: [Multihash] = []
        while let (key, ticket) = queue.first, envelope.blocks.count < BitswapLimits.entriesPerMessage {
            guard let size = isQueued(key, ticket), let want = wants[key] else {
                queue.removeFirst()
                continue
            }
            guard envelope.blocks.isEmpty || envelope.bytes + size <= BitswapLimits.targetMessage.bytes else { break }
            queue.removeFirst()
            queuedBlocks -= 1
            queuedBytes -= size
            wants[key]?.state = .sending(id)
            keys.append(key)
            envelope.blocks.append(LedgerMachine.Envelope.Item(cid: want.cid, sendDontHave: want.sendDontHave))
            envelope.bytes += size
        }
        guard !envelope.blocks.isEmpty || !envelope.presences.isEmpty else { return nil }
        envelope.pendingBytes = queuedBytes
        sending[id] = (keys, envelope.bytes)
        // The fixed part keeps messages of HAVEs alone from being free.
        given += UInt64(envelope.bytes) + 64 * UInt64(envelope.blocks.count + envelope.presences.count)
        return envelope
    }
}
