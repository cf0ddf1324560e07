import WaggleBase

/// What a body sees of a simulated store.
final class SimulatedTransaction: StoreWriter {
    /// As LMDB has it.
    private static let keyLengths = 1...511

    private let image: StoreImage
    private let tables: Set<String>
    private var budget: Int
    private(set) var undo: [StoreImage.Undo] = []
    private(set) var isFull = false
    var hasFailed = false

    init(image: StoreImage, tables: Set<String>, budget: Int) {
        self.image = image
        self.tables = tables
        self.budget = budget
    }

    func withValue<R>(of key: UnsafeRawBufferPointer, in table: Table, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R? {
        guard let value = try content(table).value(of: key) else { return nil }
        return try value.withUnsafeBytes { try body($0) }
    }

    func scan(
        _ table: Table, from start: UnsafeRawBufferPointer,
        _ visit: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        // Looked up anew after each visit, which may have changed the table.
        var next = try content(table).entry(from: start, after: false)
        while let entry = next {
            let goOn = try entry.key.withUnsafeBytes { key in try entry.value.withUnsafeBytes { value in try visit(key, value) } }
            guard goOn else { return }
            next = try entry.key.withUnsafeBytes { try content(table).entry(from: $0, after: true) }
        }
    }

    func count(_ table: Table) throws -> Int { try content(table).count }

    func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, in table: Table) throws {
        try set(key, Bytes(copying: value), table)
    }

    func put(_ key: UnsafeRawBufferPointer, size: Int, in table: Table, fill: (UnsafeMutableRawBufferPointer) -> Void) throws {
        let value = Bytes(count: size) { buffer in
            fill(buffer)
            return size
        }
        try set(key, value, table)
    }

    @discardableResult func remove(_ key: UnsafeRawBufferPointer, in table: Table) throws -> Bool {
        guard try content(table).value(of: key) != nil else { return false }
        return image.set(table.name, Bytes(copying: key), nil, into: &undo)
    }

    private func set(_ key: UnsafeRawBufferPointer, _ value: Bytes, _ table: Table) throws {
        _ = try content(table)
        guard Self.keyLengths.contains(key.count) else { throw StoreError.other(detail: "a key of \(key.count) bytes") }
        budget -= key.count + value.count
        if budget < 0 {
            isFull = true
            throw StoreError.full
        }
        _ = image.set(table.name, Bytes(copying: key), value, into: &undo)
    }

    private func content(_ table: Table) throws -> OrderedTable {
        guard tables.contains(table.name), let content = image.tables[table.name] else {
            throw StoreError.other(detail: "no table named \(table.name)")
        }
        return content
    }
}
