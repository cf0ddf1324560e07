import WaggleBase

/// What a store has on a disk, and how to get back to what a crash would leave.
final class StoreImage {
    struct Undo {
        var table: String
        var key: Bytes
        var old: Bytes?
    }

    /// With more changes than this waiting the kernel has written them back by itself.
    private static let journalLimit = 200_000

    var tables: [String: OrderedTable] = [:]
    var isOpen = false
    /// Newest last.
    private(set) var journal: [Undo] = []
    private var flushed = 0

    var size: Int { tables.values.reduce(0) { $0 + $1.size } }
    /// Names the journal's present end, for `flush`.
    var position: Int { flushed + journal.count }

    func set(_ table: String, _ key: Bytes, _ value: Bytes?, into undo: inout [Undo]) -> Bool {
        let old = tables[table, default: OrderedTable()].set(key, value)
        undo.append(Undo(table: table, key: key, old: old))
        return old != nil
    }

    func revert(_ undo: [Undo]) {
        for step in undo.reversed() { tables[step.table]?.set(step.key, step.old) }
    }

    func commit(_ undo: [Undo]) {
        journal.append(contentsOf: undo)
        if journal.count > Self.journalLimit { flush(to: position) }
    }

    /// All changes up to `position` are on the device.
    func flush(to position: Int) {
        let count = min(max(0, position - flushed), journal.count)
        journal.removeFirst(count)
        flushed += count
    }

    /// Goes back to what is on the device; gives the change of size.
    func loseUnsynced() -> Int {
        let before = size
        revert(journal)
        flushed += journal.count
        journal = []
        return size - before
    }
}
