import Synchronization
import WaggleBase
import WaggleFormats

/// Who misbehaved, in any protocol, and what follows from it: `swarm.reputation.report(peer, .forgedRecord)`.
///
/// Offences add up and fade (`ReputationLimits`). From some points on a peer cools down, from more it is banned, each time for longer: its connections
/// are closed and new ones refused, inbound and outbound. Trusted peers are never refused. An address is refused only for as long as many banned
/// peers share it. Kept in the table "reputation" of a store, so that a restart forgives nobody. Safe from any thread; nothing waits.
///
/// Map of the folder: `Offence` is what counts, `ReputationTable` adds up and decides, this type is the shell around it.
public final class Reputation: Sendable {
    public static let table = Table("reputation")

    /// What is known about a peer.
    public struct Standing: Sendable, Hashable {
        public enum State: Sendable, Hashable {
            case good
            case cooling(until: WallTime)
            case banned(until: WallTime)
        }

        public let peer: PeerID
        public let state: State
        /// Points now.
        public let score: Double
        /// Offences that were reported, all together, and the last one's name; empty for none.
        public let offences: UInt64
        public let lastOffence: String
        /// Bans so far.
        public let bans: Int
    }

    private struct State {
        var table: ReputationTable
        var trusted: [PeerID: Int] = [:]
        var counts: [String: UInt64] = [:]
        var sentences = (cooled: UInt64(0), banned: UInt64(0))
        var addresses: (@Sendable (PeerID) -> [IPAddress])?
        var enforce: (@Sendable (PeerID) -> Void)?
    }

    public let limits: ReputationLimits
    private let system: any System
    private let log: Log
    private let writer: WriteBehind
    private let state: Mutex<State>

    /// Records that are forgotten at the end.
    public init(system: any System, limits: ReputationLimits = ReputationLimits()) {
        self.system = system
        self.limits = limits
        log = Log("reputation", to: system.log)
        writer = WriteBehind(Reputation.table, of: nil, on: system.home, after: limits.writeDelay, log: log)
        state = Mutex(State(table: ReputationTable(limits)))
    }

    /// Opens the records that `store` holds; without one they are forgotten at the end. A row that cannot be read is dropped and logged.
    public init(system: any System, store: (any KeyValueStore)?, limits: ReputationLimits = ReputationLimits()) throws {
        self.system = system
        self.limits = limits
        let log = Log("reputation", to: system.log)
        self.log = log
        writer = WriteBehind(Reputation.table, of: store, on: system.home, after: limits.writeDelay, durable: true, log: log)
        var table = ReputationTable(limits)
        let now = system.wallTime
        try store?.read { reader in
            try Bytes().withUnsafeBytes { start in
                try reader.scan(Reputation.table, from: start) { key, value in
                    do {
                        table.load(try PeerID(bytes: Bytes(copying: key)), try ReputationTable.Row(decoding: Bytes(copying: value)), at: now)
                    } catch {
                        log(.warning, "unreadable row dropped", [LogField("key", Bytes(copying: key))])
                    }
                    return table.rows.count < limits.peers
                }
            }
        }
        state = Mutex(State(table: table))
    }

    // MARK: Reporting

    /// Counts what `peer` did. Only what is proven: see `Offence`.
    public func report(_ peer: PeerID, _ offence: Offence) {
        let now = system.wallTime
        let addresses = state.withLock { $0.addresses }?(peer) ?? []
        var isRefused = false
        let (verdict, enforce): (ReputationTable.Verdict, (@Sendable (PeerID) -> Void)?) = state.withLock { state in
            state.counts[offence.name.description, default: 0] &+= 1
            guard state.trusted[peer] == nil else { return (.noted, nil) }
            let verdict = state.table.report(peer, offence, from: addresses, at: now)
            isRefused = state.table.isRefused(peer, at: now)
            switch verdict {
            case .noted: break
            case .cooling: state.sentences.cooled &+= 1
            case .banned: state.sentences.banned &+= 1
            }
            return (verdict, state.enforce)
        }
        let fields = [LogField("peer", peer), LogField("offence", offence.name.description)]
        switch verdict {
        case .noted: log(.debug, "a peer misbehaved", fields)
        case .cooling: log(.info, "a misbehaving peer cools down", fields)
        case .banned: log(.warning, "a misbehaving peer is banned", fields)
        }
        // Also when it was refused already: a connection may have slipped in.
        if isRefused { enforce?(peer) }
        scheduleWrite()
    }

    /// Spares a peer that the operator chose from all consequences, until `distrust` was called as often.
    public func trust(_ peer: PeerID) {
        state.withLock { $0.trusted[peer, default: 0] += 1 }
        pardon(peer)
    }

    public func distrust(_ peer: PeerID) {
        state.withLock { state in
            guard let count = state.trusted[peer] else { return }
            state.trusted[peer] = count > 1 ? count - 1 : nil
        }
    }

    /// Forgets what a peer did; says whether it was refused until now.
    @discardableResult
    public func pardon(_ peer: PeerID) -> Bool {
        let now = system.wallTime
        let wasRefused = state.withLock { $0.table.pardon(peer, at: now) }
        scheduleWrite()
        return wasRefused
    }

    // MARK: Asking

    /// What is known about a peer; nil when it never misbehaved, or that is forgotten.
    public func standing(of peer: PeerID) -> Standing? {
        let now = system.wallTime
        return state.withLock { state in state.table.rows[peer].map { Self.standing(peer, $0, state.table, now) } }
    }

    /// Peers that are banned or cool down, sorted.
    public var bans: [Standing] {
        let now = system.wallTime
        return state.withLock { state in
            state.table.rows.filter { $0.value.isBanned(at: now) || $0.value.isCooling(at: now) }
                .map { Self.standing($0.key, $0.value, state.table, now) }.sorted { $0.peer < $1.peer }
        }
    }

    /// Addresses that are refused because so many banned peers share them.
    public var refusedAddresses: [IPRange] {
        let now = system.wallTime
        return state.withLock { $0.table.refusedGroups(at: now) }
    }

    /// Why a peer may not connect; nil when it may.
    func refusal(of peer: PeerID) -> Refusal? {
        state.withLock { state in
            // Nearly always there is nobody to look for.
            guard !state.table.rows.isEmpty else { return nil }
            return state.table.isRefused(peer, at: system.wallTime) ? .banned : nil
        }
    }

    /// Why nobody may connect from an address; nil when they may.
    func refusal(of ip: IPAddress?) -> Refusal? {
        guard let ip else { return nil }
        return state.withLock { state in
            guard !state.table.rows.isEmpty else { return nil }
            return state.table.isRefused(ip, at: system.wallTime) ? .banned : nil
        }
    }

    private static func standing(_ peer: PeerID, _ row: ReputationTable.Row, _ table: ReputationTable, _ now: WallTime) -> Standing {
        var state = Standing.State.good
        if row.isBanned(at: now), let until = row.bannedUntil {
            state = .banned(until: until)
        } else if row.isCooling(at: now), let until = row.coolsUntil {
            state = .cooling(until: until)
        }
        return Standing(
            peer: peer, state: state, score: table.score(of: peer, at: now), offences: row.offences, lastOffence: row.lastOffence, bans: row.bans)
    }

    // MARK: For the swarm

    /// Connects the records with the swarm: where a peer is connected from, as its connections prove, and how a peer is thrown out.
    func attach(addresses: @escaping @Sendable (PeerID) -> [IPAddress], enforce: @escaping @Sendable (PeerID) -> Void) {
        state.withLock { state in
            state.addresses = addresses
            state.enforce = enforce
        }
    }

    func report(to report: inout MetricReport) {
        let now = system.wallTime
        let (counts, sentences, banned) = state.withLock { state in
            (state.counts, state.sentences, state.table.rows.values.reduce(0) { $0 + ($1.isBanned(at: now) ? 1 : 0) })
        }
        report.gauge("p2p_peers", "Peers by state.", banned, ["state": "banned"])
        report.counter("waggle_reputation_sentences_total", "Cool-downs and bans.", sentences.cooled, ["kind": "cool-down"])
        report.counter("waggle_reputation_sentences_total", "Cool-downs and bans.", sentences.banned, ["kind": "ban"])
        report.declare("waggle_reputation_offences_total", "Proven misbehaviour of peers.", .counter)
        for (name, count) in counts.sorted(by: { $0.key < $1.key }) {
            report.counter("waggle_reputation_offences_total", "Proven misbehaviour of peers.", count, ["offence": name])
        }
    }

    /// Writes what has changed, durably. Nothing is written any more afterwards.
    public func close() async {
        state.withLock { state in
            state.addresses = nil
            state.enforce = nil
        }
        await writer.close { self.takeChanged() }
    }

    // MARK: Store

    private func scheduleWrite() {
        guard state.withLock({ !$0.table.changed.isEmpty }) else { return }
        writer.schedule { [self] in takeChanged() }
    }

    private func takeChanged() -> [WriteBehind.Row] {
        state.withLock { state in state.table.takeChanged().map { (key: $0.bytes, value: state.table.rows[$0]?.encoded) } }
    }
}
