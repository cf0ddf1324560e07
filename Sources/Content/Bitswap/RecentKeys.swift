import WaggleFormats

/// Remembers at least the last `capacity` keys, and at most twice as many, in 16 bytes each.
struct RecentKeys: Sendable {
    private let capacity: Int
    private var current = KeySet()
    private var previous = KeySet()

    init(capacity: Int) { self.capacity = capacity }

    mutating func insert(_ key: Multihash) {
        if current.count >= capacity {
            previous = current
            current = KeySet()
        }
        current.insert(key)
    }

    func contains(_ key: Multihash) -> Bool { current.contains(key) || previous.contains(key) }
}
