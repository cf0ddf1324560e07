import CLMDB
import Glibc
import WaggleBase

/// Reads in one transaction.
class LMDBReader: StoreReader {
    final let environment: LMDBEnvironment
    final let transaction: OpaquePointer

    init(_ environment: LMDBEnvironment, _ transaction: OpaquePointer) {
        self.environment = environment
        self.transaction = transaction
    }

    /// Whether this transaction can change what it reads.
    var mayChange: Bool { false }

    /// Changes whenever it does.
    var version: Int { 0 }

    final func withValue<R>(of key: UnsafeRawBufferPointer, in table: Table, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R? {
        let handle = try environment.handle(table)
        var name = MDB_val(key)
        var value = MDB_val()
        let code = mdb_get(transaction, handle, &name, &value)
        // A key that cannot be stored is not there.
        if code == MDB_NOTFOUND || code == MDB_BAD_VALSIZE { return nil }
        try LMDBEnvironment.check(code, environment.path)
        let bytes = value.bytes
        defer { environment.noteRead(bytes) }
        return try body(bytes)
    }

    final func scan(
        _ table: Table, from start: UnsafeRawBufferPointer,
        _ visit: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        let handle = try environment.handle(table)
        var opened: OpaquePointer?
        try LMDBEnvironment.check(mdb_cursor_open(transaction, handle, &opened), environment.path)
        guard let cursor = opened else { return }
        defer { mdb_cursor_close(cursor) }
        var key = MDB_val(start)
        var value = MDB_val()
        var code = mdb_cursor_get(cursor, &key, &value, start.isEmpty ? MDB_FIRST : MDB_SET_RANGE)
        while code == 0 {
            let before = version
            // A visit that writes may move the entry away under the cursor; its key is the way back.
            let here = mayChange ? Array(key.bytes) : []
            let bytes = value.bytes
            guard try visit(key.bytes, bytes) else { return }
            if version == before {
                environment.noteRead(bytes)
                code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
            } else {
                code = here.withUnsafeBytes { here in
                    key = MDB_val(here)
                    let found = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
                    guard found == 0, key.bytes.elementsEqual(here) else { return found }
                    return mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
                }
            }
        }
        if code != MDB_NOTFOUND { throw LMDBEnvironment.error(code, environment.path) }
    }

    final func count(_ table: Table) throws -> Int {
        var statistics = MDB_stat()
        try LMDBEnvironment.check(mdb_stat(transaction, try environment.handle(table), &statistics), environment.path)
        return Int(statistics.ms_entries)
    }
}

/// Reads and writes in the write transaction. Only on the writer's thread.
final class LMDBWriter: LMDBReader, StoreWriter {
    /// How many changes were made.
    private(set) var changes = 0
    /// Bytes put.
    private(set) var bytes = 0
    /// A change failed; the transaction cannot be committed.
    private(set) var isBroken = false

    override var mayChange: Bool { true }
    override var version: Int { changes }

    func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, in table: Table) throws {
        try put(key, size: value.count, in: table) { room in
            if let base = value.baseAddress { room.copyMemory(from: UnsafeRawBufferPointer(start: base, count: value.count)) }
        }
    }

    func put(_ key: UnsafeRawBufferPointer, size: Int, in table: Table, fill: (UnsafeMutableRawBufferPointer) -> Void) throws {
        let handle = try environment.handle(table)
        guard !key.isEmpty, key.count <= 511 else { throw StoreError.other(detail: "a key of \(key.count) bytes") }
        var name = MDB_val(key)
        var room = MDB_val(mv_size: size, mv_data: nil)
        changes += 1
        let code = mdb_put(transaction, handle, &name, &room, UInt32(MDB_RESERVE))
        if code != 0 {
            isBroken = true
            throw LMDBEnvironment.error(code, environment.path)
        }
        bytes += key.count + size
        fill(UnsafeMutableRawBufferPointer(start: room.mv_data, count: size))
    }

    @discardableResult func remove(_ key: UnsafeRawBufferPointer, in table: Table) throws -> Bool {
        let handle = try environment.handle(table)
        var name = MDB_val(key)
        let code = mdb_del(transaction, handle, &name, nil)
        if code == MDB_NOTFOUND || code == MDB_BAD_VALSIZE { return false }
        changes += 1
        if code != 0 {
            isBroken = true
            throw LMDBEnvironment.error(code, environment.path)
        }
        // What a removal dirties: a leaf and some of the free list.
        bytes += environment.pageSize
        return true
    }
}

extension MDB_val {
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: mv_data, count: mv_size) }
}
