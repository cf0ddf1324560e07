import WaggleBase

/// An ordered map from bytes to bytes: sorted entries in leaves of bounded length.
struct OrderedTable {
    struct Entry {
        var key: Bytes
        var value: Bytes
    }

    private static let leafLimit = 256

    private var leaves: [[Entry]] = []
    private(set) var count = 0
    /// Bytes of keys and values.
    private(set) var size = 0

    /// Sets or removes (nil) the value of `key`; gives the old one.
    @discardableResult mutating func set(_ key: Bytes, _ value: Bytes?) -> Bytes? {
        let (leaf, index, found) = locate(key)
        if found {
            let old = leaves[leaf][index].value
            size += (value?.count ?? -key.count) - old.count
            if let value {
                leaves[leaf][index].value = value
            } else {
                leaves[leaf].remove(at: index)
                if leaves[leaf].isEmpty { leaves.remove(at: leaf) }
                count -= 1
            }
            return old
        }
        guard let value else { return nil }
        size += key.count + value.count
        count += 1
        if leaves.isEmpty { leaves.append([]) }
        leaves[leaf].insert(Entry(key: key, value: value), at: index)
        if leaves[leaf].count > Self.leafLimit {
            let upper = Array(leaves[leaf][(Self.leafLimit / 2)...])
            leaves[leaf].removeLast(upper.count)
            leaves.insert(upper, at: leaf + 1)
        }
        return nil
    }

    func value(of key: UnsafeRawBufferPointer) -> Bytes? {
        let (leaf, index, found) = locate(key)
        return found ? leaves[leaf][index].value : nil
    }

    /// The first entry whose key is not below `key`, or, with `after`, above it.
    func entry(from key: UnsafeRawBufferPointer, after: Bool) -> Entry? {
        var (leaf, index, found) = locate(key)
        if found, after { index += 1 }
        if leaf < leaves.count, index == leaves[leaf].count {
            leaf += 1
            index = 0
        }
        return leaf < leaves.count ? leaves[leaf][index] : nil
    }

    private func locate(_ key: Bytes) -> (leaf: Int, index: Int, found: Bool) { key.withUnsafeBytes { locate($0) } }

    private func locate(_ key: UnsafeRawBufferPointer) -> (leaf: Int, index: Int, found: Bool) {
        // The last leaf whose first key is not above `key`.
        var low = 0
        var high = leaves.count
        while low < high {
            let middle = (low + high) / 2
            if Self.compare(leaves[middle][0].key, key) <= 0 { low = middle + 1 } else { high = middle }
        }
        let leaf = max(0, low - 1)
        guard leaf < leaves.count else { return (0, 0, false) }
        let entries = leaves[leaf]
        low = 0
        high = entries.count
        while low < high {
            let middle = (low + high) / 2
            let order = Self.compare(entries[middle].key, key)
            if order == 0 { return (leaf, middle, true) }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return (leaf, low, false)
    }

    private static func compare(_ left: Bytes, _ right: UnsafeRawBufferPointer) -> Int {
        left.withUnsafeBytes { left in
            for index in 0..<min(left.count, right.count) where left[index] != right[index] {
                return left[index] < right[index] ? -1 : 1
            }
            return left.count - right.count
        }
    }
}
