import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The highest sequence number of each author: what is not higher is not new. Safe from any thread; nothing waits.
///
/// At most `PubSubLimits.sequencedAuthors` are remembered, each for `PubSubLimits.sequenceLifetime` after its last message, and written behind to the
/// table `sequences`, so that old messages are refused after a restart, too. A crash forgets the last second.
final class SequenceGuard: Sendable {
    static let table = Table("sequences")

    /// What is remembered of an author. In the store: protobuf with the number (1) and the time in nanoseconds (2), under the PeerID.
    private struct Entry {
        var highest: UInt64
        var at: WallTime
        /// Used since it was last looked at for making room.
        var isUsed = false

        init(_ highest: UInt64, at: WallTime) {
            self.highest = highest
            self.at = at
        }

        init(decoding bytes: Bytes) throws(ProtobufError) {
            self.init(0, at: WallTime(nanoseconds: 0))
            var reader = ProtobufReader(bytes.span)
            while let field = try reader.next() {
                switch field.number {
                case 1: highest = try field.uint64()
                case 2: at = WallTime(nanoseconds: try field.int64())
                default: break
                }
            }
        }

        var encoded: Bytes {
            var writer = ProtobufWriter(capacity: 24)
            writer.write(1, varint: highest)
            writer.write(2, int64: at.nanoseconds)
            return writer.finish()
        }
    }

    private struct State {
        var entries: [PeerID: Entry] = [:]
        /// All authors, the next to be looked at for making room first.
        var order = Deque<PeerID>()
        var changed: Set<PeerID> = []
    }

    private let system: any System
    private let writer: WriteBehind
    /// Whether changes are written at all.
    private let isKept: Bool
    private let state: Mutex<State>

    /// Opens what `store` holds; without one it is forgotten at the end.
    init(system: any System, store: (any KeyValueStore)?) {
        self.system = system
        isKept = store != nil
        let log = Log("pubsub", to: system.log)
        writer = WriteBehind(SequenceGuard.table, of: store, on: system.home, after: PubSubLimits.sequenceDelay, log: log)
        var state = State()
        do {
            try store?.read { reader in try SequenceGuard.load(&state, reader, system.wallTime, log) }
        } catch {
            log(.error, "sequence numbers cannot be read, old messages may come again", [LogField("error", "\(error)")])
        }
        self.state = Mutex(state)
    }

    private static func load(_ state: inout State, _ reader: any StoreReader, _ now: WallTime, _ log: Log) throws {
        try Bytes().withUnsafeBytes { start in
            try reader.scan(table, from: start) { key, value in
                do {
                    let author = try PeerID(bytes: Bytes(copying: key))
                    let entry = try Entry(decoding: Bytes(copying: value))
                    if isOver(entry, now) {
                        state.changed.insert(author)
                    } else {
                        state.entries[author] = entry
                        state.order.append(author)
                    }
                } catch {
                    log(.warning, "unreadable row dropped", [LogField("key", Bytes(copying: key))])
                }
                return state.entries.count < PubSubLimits.sequencedAuthors
            }
        }
    }

    private static func isOver(_ entry: Entry, _ now: WallTime) -> Bool { entry.at + PubSubLimits.sequenceLifetime < now }

    /// Whether the message is newer than all of its author that were admitted; if so, it is the newest from now on.
    func admits(_ message: PubSubMessage) -> Bool {
        guard let author = message.author, let number = message.sequenceNumber else { return false }
        return raise(author, to: number)
    }

    /// Notes that `author` has come to `number`; says false when it had come so far before.
    @discardableResult
    func raise(_ author: PeerID, to number: UInt64) -> Bool {
        let now = system.wallTime
        let isNew = state.withLock { state in
            if let entry = state.entries[author] {
                guard number > entry.highest || SequenceGuard.isOver(entry, now) else { return false }
            } else {
                if state.entries.count >= PubSubLimits.sequencedAuthors { makeRoom(&state) }
                state.order.append(author)
            }
            var entry = Entry(number, at: now)
            entry.isUsed = state.entries[author] != nil
            state.entries[author] = entry
            note(author, &state)
            return true
        }
        if isNew { writer.schedule { [self] in takeChanged() } }
        return isNew
    }

    /// An author goes who has said nothing for long: those who were heard again since the last look are passed over.
    private func makeRoom(_ state: inout State) {
        while let author = state.order.popFirst() {
            guard let entry = state.entries[author] else { continue }
            guard !entry.isUsed else {
                state.entries[author]?.isUsed = false
                state.order.append(author)
                continue
            }
            state.entries[author] = nil
            return note(author, &state)
        }
    }

    private func note(_ author: PeerID, _ state: inout State) {
        if isKept { state.changed.insert(author) }
    }

    /// How far `author` has come; nil when that is not known.
    func highest(of author: PeerID) -> UInt64? { state.withLock { $0.entries[author]?.highest } }

    /// Forgets one author or all; says how many those were.
    func reset(_ peer: PeerID?) -> Int {
        let count = state.withLock { state in
            let gone = peer.map { state.entries[$0] == nil ? [] : [$0] } ?? Array(state.entries.keys)
            for author in gone {
                state.entries[author] = nil
                note(author, &state)
            }
            var order = Deque<PeerID>()
            for index in 0..<state.order.count where state.entries[state.order[index]] != nil { order.append(state.order[index]) }
            state.order = order
            return gone.count
        }
        if count > 0 { writer.schedule { [self] in takeChanged() } }
        return count
    }

    private func takeChanged() -> [WriteBehind.Row] {
        state.withLock { state in
            defer { state.changed = [] }
            return state.changed.sorted().map { (key: $0.bytes, value: state.entries[$0]?.encoded) }
        }
    }

    /// Writes what has not been written.
    func close() async { await writer.close { self.takeChanged() } }
}
