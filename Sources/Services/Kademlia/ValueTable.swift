import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The records that this node keeps for others, in memory, within quotas for each sender and in all. A value: its owner brings the lock.
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

    private let limit: Int
    private let byteLimit: Int
    private var rows: [KademliaKey: Row] = [:]
    private var bytes = 0
    private var senders: [PeerID: (count: Int, bytes: Int)] = [:]
    private var changes: [Change] = []
    var keepsChanges = false

    init(limit: Int = KademliaLimits.values, byteLimit: Int = KademliaLimits.valueBytes.bytes) {
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
        guard old != nil || rows.count < limit, bytes - oldSize + size <= byteLimit else { throw .full }
        if let sender = row.sender {
            var used = senders[sender] ?? (0, 0)
            if old?.sender == sender { used = (used.count - 1, used.bytes - oldSize) }
            guard used.count < KademliaLimits.valuesPerPeer, used.bytes + size <= KademliaLimits.valueBytesPerPeer.bytes else { throw .quota }
        }
        remove(key)
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
