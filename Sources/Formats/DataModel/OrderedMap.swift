/// A map from strings to values that remembers the order of its entries.
///
/// Keys are compared by their UTF-8 bytes: unlike in a `Dictionary` of strings, two spellings of "é" are two keys, as all formats here have
/// it. Equality does not look at the order.
public struct OrderedMap<Member> {
    /// The entries in order.
    public private(set) var entries: [(key: String, value: Member)] = []
    /// Where each key is; built when a search through the entries would be slower.
    private var positions: [Key: Int] = [:]

    private static var searchedEntries: Int { 8 }

    /// A string that is equal to another one only byte by byte.
    private struct Key: Hashable {
        let text: String

        static func == (left: Key, right: Key) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

        func hash(into hasher: inout Hasher) {
            var text = text
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    /// No entries.
    public init() {}

    /// These entries; of equal keys the last value counts.
    public init(_ entries: [(String, Member)]) {
        for (key, value) in entries { self[key] = value }
    }

    public var count: Int { entries.count }
    public var isEmpty: Bool { entries.isEmpty }
    public var keys: [String] { entries.map(\.key) }
    public var values: [Member] { entries.map(\.value) }

    private func position(_ key: String) -> Int? {
        if entries.count > Self.searchedEntries { return positions[Key(text: key)] }
        return entries.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
    }

    /// The value of `key`. Setting nil removes the entry; a new key goes to the end.
    public subscript(key: String) -> Member? {
        get { position(key).map { entries[$0].value } }
        set {
            switch (position(key), newValue) {
            case (let found?, let value?): entries[found].value = value
            case (let found?, nil):
                entries.remove(at: found)
                index()
            case (nil, let value?): add(key, value)
            case (nil, nil): break
            }
        }
    }

    /// Adds an entry at the end and says whether its key is new; if not, nothing changes.
    public mutating func append(_ key: String, _ value: Member) -> Bool {
        guard position(key) == nil else { return false }
        add(key, value)
        return true
    }

    private mutating func add(_ key: String, _ value: Member) {
        entries.append((key, value))
        if entries.count == Self.searchedEntries + 1 {
            index()
        } else if entries.count > Self.searchedEntries {
            positions[Key(text: key)] = entries.count - 1
        }
    }

    private mutating func index() {
        positions = [:]
        guard entries.count > Self.searchedEntries else { return }
        for (position, entry) in entries.enumerated() { positions[Key(text: entry.key)] = position }
    }

    /// The entries ordered by the UTF-8 bytes of their keys.
    public func sorted() -> [(key: String, value: Member)] {
        entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }
}

extension OrderedMap: Sendable where Member: Sendable {}

extension OrderedMap: Sequence {
    public func makeIterator() -> IndexingIterator<[(key: String, value: Member)]> { entries.makeIterator() }
}

extension OrderedMap: Equatable where Member: Equatable {
    public static func == (left: OrderedMap, right: OrderedMap) -> Bool {
        left.count == right.count && left.allSatisfy { right[$0.key] == $0.value }
    }
}

extension OrderedMap: Hashable where Member: Hashable {
    public func hash(into hasher: inout Hasher) {
        for (key, value) in sorted() {
            hasher.combine(Key(text: key))
            hasher.combine(value)
        }
    }
}
