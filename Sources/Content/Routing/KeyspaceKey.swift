import WaggleBase
import WaggleCryptography
import WaggleFormats

/// A block and where it lies in the key space of the hash table.
struct KeyspaceKey: Hashable, Sendable, Comparable {
    /// The first 64 bits of the SHA-256 of the multihash (specs: kad-dht, "Distance").
    let point: UInt64
    let hash: Multihash

    init(_ hash: Multihash) {
        self.hash = hash
        point = hash.withUnsafeBytes { SHA256.hash($0) }.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    static func < (left: KeyspaceKey, right: KeyspaceKey) -> Bool {
        if left.point != right.point { return left.point < right.point }
        return left.hash.withUnsafeBytes { left in right.hash.withUnsafeBytes { left.lexicographicallyPrecedes($0) } }
    }

    /// A CID of the block; the codec plays no part in routing.
    var cid: CID? {
        do { return try CID(codec: .raw, hash: hash) } catch { return nil }
    }
}

/// Keeps the first `capacity` keys from `start` on, of any number in any order.
struct KeyspaceWindow: Sendable {
    private let start: UInt64
    private let capacity: Int
    private var keys: [KeyspaceKey] = []
    /// No key beyond is kept any more.
    private var end: KeyspaceKey?
    /// How many keys were looked at.
    private(set) var total = 0

    init(from start: UInt64, capacity: Int) {
        self.start = start
        self.capacity = max(1, capacity)
    }

    mutating func insert(_ hash: Multihash) {
        total += 1
        let key = KeyspaceKey(hash)
        guard key.point >= start else { return }
        if let end, end < key { return }
        keys.append(key)
        if keys.count >= 2 * capacity { shrink() }
    }

    private mutating func shrink() {
        keys.sort()
        var unique: [KeyspaceKey] = []
        unique.reserveCapacity(min(keys.count, capacity + 1))
        for key in keys where unique.last != key {
            if unique.count == capacity {
                end = unique.last
                break
            }
            unique.append(key)
        }
        keys = unique
    }

    /// The keys in order, and whether there is none behind them.
    mutating func finish() -> (keys: [KeyspaceKey], isWhole: Bool) {
        shrink()
        return (keys, end == nil)
    }
}
