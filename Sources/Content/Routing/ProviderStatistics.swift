import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// How peers have served us, so that those who serve well are asked first: answers, delay and throughput of each, the older the less they count.
///
/// Held in memory, at most `ProviderLimits.peers`, and written behind to the table `providers`. Safe from any thread; nothing waits.
public final class ProviderStatistics: Sendable {
    public static let table = Table("providers")

    private struct State {
        var records: [PeerID: ProviderRecord] = [:]
        var changed: Set<PeerID> = []
    }

    private let system: any System
    private let state: Mutex<State>
    private let writer: WriteBehind

    /// Opens them with what `store` holds; without one they are forgotten at the end.
    public init(system: any System, store: (any KeyValueStore)? = nil) throws {
        self.system = system
        let log = Log("providers", to: system.log)
        writer = WriteBehind(ProviderStatistics.table, of: store, on: system.home, after: ProviderLimits.writeDelay, log: log)
        var initial = State()
        try store?.read { reader in
            try Bytes().withUnsafeBytes { start in
                try reader.scan(ProviderStatistics.table, from: start) { key, value in
                    do {
                        initial.records[try PeerID(bytes: Bytes(copying: key))] = try ProviderRecord(decoding: Bytes(copying: value))
                    } catch {
                        // Only what is worth less than the trouble of telling: it is learned again.
                    }
                    return initial.records.count < ProviderLimits.peers
                }
            }
        }
        state = Mutex(initial)
    }

    // MARK: Learning

    /// Notes what came of asking `peer`: `latency` from asking to the answer, `bytes` of content that came, and over which time if that is
    /// not the latency.
    public func update(_ peer: PeerID, success: Bool, latency: Duration? = nil, bytes: Int = 0, over time: Duration? = nil) {
        let now = system.wallTime
        state.withLock { state in
            var record = state.records[peer] ?? ProviderRecord(at: now)
            record.update(success: success, latency: latency, bytes: bytes, over: time ?? latency, at: now)
            if state.records[peer] == nil, state.records.count >= ProviderLimits.peers { ProviderStatistics.makeRoom(&state, now) }
            state.records[peer] = record
            state.changed.insert(peer)
        }
        writer.schedule { [self] in takeChanged() }
    }

    /// The peer that served us longest ago goes.
    private static func makeRoom(_ state: inout State, _ now: WallTime) {
        guard let oldest = state.records.min(by: { ($0.value.lastUse, $0.key) < ($1.value.lastUse, $1.key) })?.key else { return }
        state.records[oldest] = nil
        state.changed.insert(oldest)
    }

    // MARK: Asking

    public func record(of peer: PeerID) -> ProviderRecord? {
        let now = system.wallTime
        return state.withLock { $0.records[peer] }?.aged(to: now)
    }

    /// All peers, best first.
    public var all: [(peer: PeerID, record: ProviderRecord)] {
        let now = system.wallTime
        return state.withLock { $0.records }.map { (peer: $0.key, record: $0.value.aged(to: now)) }
            .sorted { ($0.record.expectedTime(), $0.peer) < ($1.record.expectedTime(), $1.peer) }
    }

    /// How long it will probably take until `bytes` are here from `peer`; unknown peers are taken for average ones.
    public func expectedTime(_ peer: PeerID, bytes: Int = ProviderLimits.typicalContent) -> Duration {
        .seconds((record(of: peer) ?? ProviderRecord(at: system.wallTime)).expectedTime(bytes: bytes))
    }

    /// Providers in the order in which they are best asked: preferred ones first, then by the time they will probably take.
    public func ordered(
        _ providers: [ContentProvider], bytes: Int = ProviderLimits.typicalContent, preferring preferred: Set<PeerID> = []
    ) -> [ContentProvider] {
        providers.enumerated().map { (isOther: preferred.contains($1.peer) ? 0 : 1, time: expectedTime($1.peer, bytes: bytes), index: $0, provider: $1) }
            .sorted { ($0.isOther, $0.time, $0.index) < ($1.isOther, $1.time, $1.index) }.map(\.provider)
    }

    // MARK: Writing

    private func takeChanged() -> [WriteBehind.Row] {
        state.withLock { state in
            defer { state.changed = [] }
            return state.changed.sorted().map { (key: $0.bytes, value: state.records[$0]?.encode()) }
        }
    }

    /// Writes what has not been written.
    public func close() async { await writer.close { self.takeChanged() } }
}
