/// A named table of a store.
public struct Table: Hashable, Sendable {
    public let name: String
    public init(_ name: String) { self.name = name }
}

public enum StoreError: Error, Hashable, Sendable {
    /// Another process has the store open.
    case inUse(path: String)
    /// The device is full; nothing of the failed write is kept.
    case full
    case readOnly(path: String)
    case corrupted(path: String, detail: String)
    case closed
    case other(detail: String)
}

/// An ordered map from bytes to bytes that survives crashes.
///
/// Keys are 1 to 511 bytes long. Tables must be named when the store is opened.
public protocol KeyValueStore: AnyObject, Sendable {
    /// Reads from one consistent snapshot, synchronously on the calling thread. Pointers handed to the closures end with them.
    func read<R>(_ body: (any StoreReader) throws -> R) throws -> R

    /// Runs `body` in the single write transaction, one at a time and in order of arrival; writers that arrive together share one
    /// commit (group commit). Returns after the commit is on the device when `durable`, else as soon as readers see it; the next
    /// durable commit makes it durable too. A body that throws leaves no trace; it may be run more than once, so it must have
    /// no other effects. The caller resumes on its own executor.
    func write<R: Sendable>(durable: Bool, _ body: @escaping @Sendable (any StoreWriter) throws -> R) async throws -> R

    /// Bytes that the store takes on the device.
    var sizeOnDevice: Int { get }

    /// Finishes the running commit and closes. Later calls throw `closed`.
    func close() async
}

public protocol StoreReader {
    /// Calls `body` with the value of `key`; nil when there is none.
    func withValue<R>(of key: UnsafeRawBufferPointer, in table: Table, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R?

    /// Visits the entries from the first key not below `start` (the very first when it is empty), in byte order, until `visit` says false.
    func scan(
        _ table: Table, from start: UnsafeRawBufferPointer,
        _ visit: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Bool) throws

    /// Entries in the table.
    func count(_ table: Table) throws -> Int
}

public protocol StoreWriter: StoreReader {
    func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, in table: Table) throws

    /// Makes room for a value of `size` bytes and lets `fill` write all of it in place; saves a copy of large values.
    func put(_ key: UnsafeRawBufferPointer, size: Int, in table: Table, fill: (UnsafeMutableRawBufferPointer) -> Void) throws

    /// Says whether there was something to remove.
    @discardableResult func remove(_ key: UnsafeRawBufferPointer, in table: Table) throws -> Bool
}

extension StoreReader {
    /// A copy of the value of `key`.
    public func value(of key: Bytes, in table: Table) throws -> Bytes? {
        try key.withUnsafeBytes { key in try withValue(of: key, in: table) { Bytes(copying: $0) } }
    }

    public func contains(_ key: Bytes, in table: Table) throws -> Bool {
        try key.withUnsafeBytes { key in try withValue(of: key, in: table) { _ in true } } ?? false
    }
}

extension StoreWriter {
    public func put(_ key: Bytes, _ value: Bytes, in table: Table) throws {
        try key.withUnsafeBytes { key in try value.withUnsafeBytes { value in try put(key, value, in: table) } }
    }

    @discardableResult public func remove(_ key: Bytes, in table: Table) throws -> Bool {
        try key.withUnsafeBytes { key in try remove(key, in: table) }
    }
}
