public enum FileError: Error, Hashable, Sendable {
    case notFound(path: String)
    case exists(path: String)
    case permissionDenied(path: String)
    case readOnly(path: String)
    case full(path: String)
    case isDirectory(path: String)
    case notDirectory(path: String)
    /// Longer than the limit that the caller set, in bytes.
    case tooLarge(path: String, limit: Int)
    /// Another process holds the lock.
    case locked(path: String)
    case other(path: String, errno: Int32)
}

/// What a file is, without following a symbolic link.
public struct FileStatus: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case file, directory, symbolicLink(target: String), other }
    public var kind: Kind
    /// Size in bytes.
    public var size: Int64
    /// Permission bits (the low twelve).
    public var mode: UInt32
    public var modified: WallTime

    public init(kind: Kind, size: Int64, mode: UInt32, modified: WallTime) {
        self.kind = kind
        self.size = size
        self.mode = mode
        self.modified = modified
    }
}

/// An open file. Calls block; use them where that is right (offloaded work, the CLI's main task).
public protocol OpenFile: AnyObject, Sendable {
    /// Reads at `offset`; 0 means the end.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int
    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(FileError)
    func synchronize() throws(FileError)
    func close()
}

/// Held until released or the process ends.
public protocol FileLock: AnyObject, Sendable {
    func release()
}

/// The files of a host. Paths are absolute or relative to the process; calls block.
public protocol FileSystem: Sendable {
    /// nil when there is nothing at `path`.
    func status(_ path: String) throws(FileError) -> FileStatus?
    /// The whole file, at most `limit` bytes of it.
    func read(_ path: String, limit: Int) throws(FileError) -> Bytes
    /// Replaces the file in one step that a crash cannot tear: temporary file, fsync, rename, fsync of the directory.
    func replace(_ path: String, with bytes: UnsafeRawBufferPointer, mode: UInt32) throws(FileError)
    /// Creates a file for writing. With `exclusive` an existing file is an error, else it is emptied.
    func create(_ path: String, mode: UInt32, exclusive: Bool) throws(FileError) -> any OpenFile
    /// Opens a file for reading.
    func open(_ path: String) throws(FileError) -> any OpenFile
    /// Creates the directory and those above it; no error when it is there.
    func makeDirectory(_ path: String, mode: UInt32) throws(FileError)
    func makeSymbolicLink(_ path: String, target: String) throws(FileError)
    func setStatus(_ path: String, mode: UInt32?, modified: WallTime?) throws(FileError)
    /// Names in the directory, sorted by bytes, without "." and "..".
    func list(_ path: String) throws(FileError) -> [String]
    func remove(_ path: String) throws(FileError)
    /// Bytes free for us on the device of `path`, and its size.
    func space(_ path: String) throws(FileError) -> (free: Int64, total: Int64)
    /// Takes the lock file at `path`, created if missing; throws `locked` at once when another holder has it.
    func lock(_ path: String) throws(FileError) -> any FileLock
}

extension FileSystem {
    /// The same with bytes that are nobody's secret.
    public func replace(_ path: String, with bytes: Bytes, mode: UInt32) throws(FileError) {
        try bytes.withUnsafeBytes { buffer throws(FileError) in try replace(path, with: buffer, mode: mode) }
    }
}
