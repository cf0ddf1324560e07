import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The records that this node keeps for others, in memory, within quotas for each sender and in all. A value: its owner brings the lock.
///
/// When the table is full, the records farthest from our own place go: others are closer to them and have them, and who makes up senders to
/// fill the table would have to find keys near us as well.
struct ValueTable {
    struct Row {
        let key: Bytes
        var value: Bytes
        /// When it came; told to those who ask.
        var received: WallTime
        /// Who put it; nil when this node did.
        var sender: PeerID?
    }

    enum Refusal: Error, Equatable {
        case quota
        case full
    }

    enum Change {
        case put(Row)
        case removed(KademliaKey)
    }

    private let own: KademliaKey
    private let limit: Int
    private let byteLimit: Int
    /// The farthest distance that is taken while the table is nearly full.
    private var horizon = UInt64.max
    private var rows: [KademliaKey: Row] = [:]
    private var bytes = 0
    private var senders: [PeerID: (count: Int, bytes: Int)] = [:]
    private var changes: [Change] = []
    var keepsChanges = false

    init(own: KademliaKey, limit: Int = KademliaLimits.values, byteLimit: Int = KademliaLimits.valueBytes.bytes) {
        self.own = own
        self.limit = limit
        self.byteLimit = byteLimit
    }

    var count: Int { rows.count }

    /// The record under `key`, unless it is older than records are kept.
    func row(of key: KademliaKey, at now: WallTime) -> Row? {
        guard let row = rows[key], now < row.received + KademliaLimits.validity else { return nil }
        return row
    }

    /// Keeps a record that was found valid and better than what is there.
    mutating func put(_ row: Row, at key: KademliaKey) throws(Refusal) {
        let old = rows[key]
        let size = ValueTable.size(row)
        let oldSize = old.map(ValueTable.size) ?? 0
        if let sender = row.sender {
            var used = senders[sender] ?? (0, 0)
            if old?.sender == sender { used = (used.count - 1, used.bytes - oldSize) }
            guard used.count < KademliaLimits.valuesPerPeer, used.bytes + size <= KademliaLimits.valueBytesPerPeer.bytes else { throw .quota }
        }
        if rows.count + (old == nil ? 1 : 0) > limit || bytes - oldSize + size > byteLimit { makeRoom() }
        guard (key ^ own).first <= horizon || !isNearlyFull else { throw .full }
        remove(key)
        guard rows.count < limit, bytes + size <= byteLimit else { throw .full }
        rows[key] = row
        bytes += size
        if let sender = row.sender {
            let used = senders[sender] ?? (0, 0)
            senders[sender] = (used.count + 1, used.bytes + size)
        }
        if keepsChanges { changes.append(.put(row)) }
    }

    /// Drops what has expired.
    mutating func sweep(at now: WallTime) {
        for key in rows.keys.sorted() {
            guard let row = rows[key], now >= row.received + KademliaLimits.validity else { continue }
            remove(key)
            if keepsChanges { changes.append(.removed(key)) }
        }
        if !isNearlyFull { horizon = .max }
    }

    private var isNearlyFull: Bool { rows.count >= limit / 8 * 7 || bytes >= byteLimit / 8 * 7 }

    /// Drops the farthest at once until an eighth is free, so that looking for them is paid rarely.
    private mutating func makeRoom() {
        for key in rows.keys.sorted(by: { $0 ^ own > $1 ^ own }) {
            guard isNearlyFull else { break }
            horizon = (key ^ own).first
            remove(key)
            if keepsChanges { changes.append(.removed(key)) }
        }
    }

    /// What changed since the last call.
    mutating func takeChanges() -> [Change] {
        defer { changes = [] }
        return changes
    }

    private mutating func remove(_ key: KademliaKey) {
        guard let row = rows.removeValue(forKey: key) else { return }
        let size = ValueTable.size(row)
        bytes -= size
        guard let sender = row.sender, let used = senders[sender] else { return }
        senders[sender] = used.count > 1 ? (used.count - 1, used.bytes - size) : nil
    }

    private static func size(_ row: Row) -> Int { row.key.count + row.value.count }
}
