import CLMDB
import Glibc
import Synchronization
import WaggleBase

/// One open LMDB environment: its tables and the pool of read transactions.
///
/// Flags and why: `MDB_NOSYNC` because `DurableMark` decides when and what to flush; `MDB_NOTLS` because read transactions are
/// reused by whichever thread reads next. Read-ahead stays on: most bytes are in large values, which lie in one piece. The map has
/// the full capacity from the start: it is address space, not memory, and growing it would have to stop all readers.
final class LMDBEnvironment: @unchecked Sendable {
    private struct Pool {
        var idle: [OpaquePointer] = []
        var active = 0
        var isClosed = false
    }

    /// Read transactions at once: threads that read, nested reads and the pins of flushes.
    static let readerLimit: UInt32 = 510
    /// Mapped pages count as resident memory once touched; after reading this much they are given back to the page cache.
    private static let trimInterval = 4 << 20

    let pointer: OpaquePointer
    let path: String
    let pageSize: Int
    let descriptor: Int32
    private let tables: [String: MDB_dbi]
    private let pool = Monitor(Pool())
    /// Bytes that readers were handed since the last trim.
    private let handedOut = Atomic<Int>(0)
    // Only the writing thread.
    private var written = 0
    private let map: UnsafeMutableRawBufferPointer?

    init(path: String, tables: [Table], capacity: Int) throws(StoreError) {
        self.path = path
        var opened: OpaquePointer?
        try Self.check(mdb_env_create(&opened), path)
        guard let pointer = opened else { throw .other(detail: "no memory for \(path)") }
        self.pointer = pointer
        do throws(StoreError) {
            let page = sysconf(Int32(_SC_PAGESIZE))
            try Self.check(mdb_env_set_mapsize(pointer, max(capacity, 1 << 20) / page * page), path)
            try Self.check(mdb_env_set_maxdbs(pointer, MDB_dbi(max(1, tables.count))), path)
            try Self.check(mdb_env_set_maxreaders(pointer, Self.readerLimit), path)
            try Self.check(mdb_env_open(pointer, path, UInt32(MDB_NOSYNC | MDB_NOTLS), 0o600), path)
            var statistics = MDB_stat()
            try Self.check(mdb_env_stat(pointer, &statistics), path)
            pageSize = Int(statistics.ms_psize)
            var descriptor: mdb_filehandle_t = -1
            try Self.check(mdb_env_get_fd(pointer, &descriptor), path)
            self.descriptor = descriptor
            map = Self.findMap(descriptor)
            self.tables = try Self.openTables(tables, pointer, path)
        } catch {
            mdb_env_close(pointer)
            throw error
        }
    }

    private static func openTables(_ tables: [Table], _ environment: OpaquePointer, _ path: String) throws(StoreError) -> [String: MDB_dbi] {
        var transaction: OpaquePointer?
        try check(mdb_txn_begin(environment, nil, 0, &transaction), path)
        var handles: [String: MDB_dbi] = [:]
        for table in tables {
            var handle = MDB_dbi()
            let code = mdb_dbi_open(transaction, table.name, UInt32(MDB_CREATE), &handle)
            if code != 0 {
                mdb_txn_abort(transaction)
                throw error(code, path)
            }
            handles[table.name] = handle
        }
        try check(mdb_txn_commit(transaction), path)
        return handles
    }

    func handle(_ table: Table) throws(StoreError) -> MDB_dbi {
        guard let handle = tables[table.name] else { throw .other(detail: "no table named \(table.name)") }
        return handle
    }

    // MARK: Reading

    /// Runs `body` in a read transaction.
    func read<R>(_ body: (OpaquePointer) throws -> R) throws -> R {
        let transaction = try takeReader()
        defer { giveBack(transaction) }
        return try body(transaction)
    }

    private func takeReader() throws(StoreError) -> OpaquePointer {
        let pooled = try pool.withLock { pool throws(StoreError) -> OpaquePointer? in
            if pool.isClosed { throw .closed }
            pool.active += 1
            return pool.idle.popLast()
        }
        do throws(StoreError) {
            if let pooled {
                let code = mdb_txn_renew(pooled)
                if code == 0 { return pooled }
                mdb_txn_abort(pooled)
                throw Self.error(code, path)
            }
            return try beginReader()
        } catch {
            leave(nil)
            throw error
        }
    }

    private func giveBack(_ transaction: OpaquePointer) {
        mdb_txn_reset(transaction)
        leave(transaction)
    }

    private func leave(_ transaction: OpaquePointer?) {
        let isLast = pool.withLock { pool in
            pool.active -= 1
            if let transaction { pool.idle.append(transaction) }
            return pool.isClosed && pool.active == 0
        }
        if isLast { pool.broadcast() }
    }

    /// A read transaction outside of the pool; ends with `mdb_txn_abort`.
    func beginReader() throws(StoreError) -> OpaquePointer {
        var transaction: OpaquePointer?
        try Self.check(mdb_txn_begin(pointer, nil, UInt32(MDB_RDONLY), &transaction), path)
        guard let transaction else { throw .other(detail: "no transaction") }
        return transaction
    }

    /// Notes what a reader was handed, and now and then unmaps everything; the bytes stay in the page cache.
    func noteRead(_ value: UnsafeRawBufferPointer) {
        guard value.count >= pageSize else { return }
        let (_, total) = handedOut.add(value.count, ordering: .relaxed)
        guard total >= Self.trimInterval else { return }
        handedOut.store(0, ordering: .relaxed)
        trim()
    }

    /// Takes the whole map out of this process: page faults bring neighbours along, so trimming only what was read would not do. Whoever is
    /// reading there takes the pages from the cache again. Only the map: what a write transaction has changed is memory of its own.
    private func trim() {
        if let map { madvise(map.baseAddress, map.count, MADV_DONTNEED) }
    }

    /// Notes what a commit wrote, and now and then unmaps everything: the walks to where things go map pages of the tree, each with its
    /// neighbours, and a long import would collect them all. Only on the writing thread.
    func noteWritten(_ bytes: Int) {
        written += bytes
        guard written >= Self.trimInterval else { return }
        written = 0
        trim()
    }

    /// Where the file `descriptor` is mapped: LMDB does not tell.
    private static func findMap(_ descriptor: Int32) -> UnsafeMutableRawBufferPointer? {
        var status = stat()
        guard fstat(descriptor, &status) == 0, let maps = fopen("/proc/self/maps", "re") else { return nil }
        defer { fclose(maps) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, maps) > 0, let text = line.map({ String(cString: $0) }) {
            // 7f0c2c000000-7f0c2c021000 rw-p 00000000 08:01 12345 path
            let fields = text.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count > 5, UInt64(fields[4]) == UInt64(status.st_ino) else { continue }
            let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            guard ends.count == 2, ends[1] > ends[0] else { continue }
            return UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: ends[0]), count: Int(ends[1] - ends[0]))
        }
        return nil
    }

    // MARK: The end

    /// Waits for readers and closes.
    func close() {
        let idle = pool.withLock { pool in
            pool.isClosed = true
            defer { pool.idle = [] }
            return pool.idle
        }
        for transaction in idle { mdb_txn_abort(transaction) }
        let late = pool.wait { pool -> [OpaquePointer]? in
            guard pool.active == 0 else { return nil }
            defer { pool.idle = [] }
            return pool.idle
        }
        for transaction in late { mdb_txn_abort(transaction) }
        mdb_env_close(pointer)
    }

    // MARK: Errors

    static func check(_ code: Int32, _ path: String) throws(StoreError) {
        if code != 0 { throw error(code, path) }
    }

    static func error(_ code: Int32, _ path: String) -> StoreError {
        switch code {
        case ENOSPC, EDQUOT, MDB_MAP_FULL: .full
        // LMDB calls a write that the device took only a part of an input/output error.
        case EIO where isAlmostFull(path): .full
        case EACCES, EROFS, EPERM: .readOnly(path: path)
        case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_VERSION_MISMATCH, MDB_PANIC:
            .corrupted(path: path, detail: String(cString: mdb_strerror(code)))
        default: .other(detail: String(cString: mdb_strerror(code)))
        }
    }

    /// Free bytes below which a short write means a full device: one that took only a part leaves less than a write's length.
    private static let almostFull: Int64 = 4 << 20

    private static func isAlmostFull(_ path: String) -> Bool {
        do { return try LinuxFiles().space(path).free < almostFull } catch { return false }
    }
}
