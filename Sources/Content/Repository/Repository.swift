import WaggleBase
import WaggleFormats

/// A node's directory: blocks and pins, other tables, the configuration, and the lock that keeps a second process out.
///
/// ```
/// version     the layout, "waggle-1"; nothing else opens the directory
/// config      the configuration, opaque here
/// blocks/     store with the tables blocks, pins, meta
/// data/       store with everything that can be lost: addresses, records
/// repo.lock   held while the repository is open
/// ```
/// `identity`, `keystore/`, `api` and `gateway` belong to those who write them. All state is in the stores and in files replaced in one
/// step, so opening after a crash needs no repair: what was acknowledged is there, what was under way is absent or, for blocks
/// without a pin, waits for the next collection.
public final class Repository: Sendable {
    /// The layout that this version reads and writes.
    public static let formatVersion = 1
    private static let versionText = "waggle-\(formatVersion)"

    public let path: String
    public let blocks: BlockStore
    public let pins: PinStore
    public let collector: GarbageCollector
    /// Tables of other parts of the node that can be rebuilt: addresses, records.
    public let data: any KeyValueStore
    private let blockTables: any KeyValueStore
    private let files: any FileSystem
    private let lock: any FileLock

    /// Sizes and tables of the stores.
    public struct Options: Sendable {
        /// Upper bound of the blocks' file in bytes; address space, not memory or disk.
        public var blockCapacity = 1 << 40
        /// Upper bound of the other tables' file in bytes.
        public var dataCapacity = 1 << 34
        /// The tables in `data`.
        public var dataTables: [Table] = [
            Table("addresses"), Table("records"), Table("reputation"), Table("identities"), Table("kad"), Table("bootstrap"), Table("rendezvous"),
            Table("sequences"),
            NameStore.table, ProvideQueue.table, ProviderStatistics.table,
        ]

        public init() {}
    }

    private init(
        path: String, system: any System, blockTables: any KeyValueStore, data: any KeyValueStore, lock: any FileLock
    ) {
        self.path = path
        self.blockTables = blockTables
        self.data = data
        self.lock = lock
        files = system.files
        blocks = BlockStore(store: blockTables, system: system)
        pins = PinStore(blocks: blocks)
        collector = GarbageCollector(blocks: blocks, pins: pins)
    }

    // MARK: Making and opening

    /// Whether there is a repository in `path`, of whatever version.
    public static func exists(at path: String, on system: any System) throws(RepositoryError) -> Bool {
        do { return try system.files.status("\(path)/version") != nil } catch { throw RepositoryError(error, at: path) }
    }

    /// Makes an empty repository with the given configuration. Leaves alone what is there.
    public static func initialize(at path: String, configuration: Bytes, on system: any System) throws(RepositoryError) {
        if try exists(at: path, on: system) {
            try checkVersion(at: path, system.files)
            throw .alreadyInitialized(path: path)
        }
        try refuseForeign(path, system.files)
        do {
            try system.files.makeDirectory(path, mode: 0o700)
            let lock = try system.files.lock("\(path)/repo.lock")
            defer { lock.release() }
            try system.files.makeDirectory("\(path)/keystore", mode: 0o700)
            try system.files.replace("\(path)/config", with: configuration, mode: 0o600)
            // Last, so that a crash before it leaves no repository rather than half of one.
            try system.files.replace("\(path)/version", with: Bytes(utf8: versionText + "\n"), mode: 0o644)
        } catch {
            throw RepositoryError(error, at: path)
        }
    }

    /// Opens the repository in `path` and keeps others out until `close`.
    public static func open(
        _ path: String, on system: any System, options: Options = Options()
    ) throws(RepositoryError) -> Repository {
        guard try exists(at: path, on: system) else {
            try refuseForeign(path, system.files)
            throw .notInitialized(path: path)
        }
        try checkVersion(at: path, system.files)
        let lock: any FileLock
        do { lock = try system.files.lock("\(path)/repo.lock") } catch { throw RepositoryError(error, at: path) }
        do throws(RepositoryError) {
            let stores = try openStores(path, system, options)
            return Repository(path: path, system: system, blockTables: stores.blocks, data: stores.data, lock: lock)
        } catch {
            lock.release()
            throw error
        }
    }

    private static func openStores(
        _ path: String, _ system: any System, _ options: Options
    ) throws(RepositoryError) -> (blocks: any KeyValueStore, data: any KeyValueStore) {
        do throws(FileError) {
            try system.files.makeDirectory("\(path)/blocks", mode: 0o700)
            try system.files.makeDirectory("\(path)/data", mode: 0o700)
        } catch {
            throw RepositoryError(error, at: path)
        }
        do throws(StoreError) {
            return (
                try system.openStore("\(path)/blocks", tables: StoreTables.all, capacity: options.blockCapacity),
                try system.openStore("\(path)/data", tables: options.dataTables, capacity: options.dataCapacity)
            )
        } catch {
            throw RepositoryError(error, at: path)
        }
    }

    private static func checkVersion(at path: String, _ files: any FileSystem) throws(RepositoryError) {
        let text: String?
        do { text = try files.read("\(path)/version", limit: 64).utf8 } catch { throw RepositoryError(error, at: path) }
        let found = text.map { String($0.filter { !$0.isWhitespace }) }
        guard let found, !found.isEmpty else { throw .damaged(path: path, detail: "the file version cannot be read") }
        guard found == versionText else {
            throw .foreign(path: path, detail: "its version is \(found.prefix(32)), this program knows \(versionText)")
        }
    }

    /// A directory that another IPFS program made is never written to.
    private static func refuseForeign(_ path: String, _ files: any FileSystem) throws(RepositoryError) {
        let kubo: FileStatus?
        do { kubo = try files.status("\(path)/datastore_spec") } catch { throw RepositoryError(error, at: path) }
        if kubo != nil { throw .foreign(path: path, detail: "Kubo made it") }
    }

    /// Finishes running commits, closes the stores and lets go of the lock.
    public func close() async {
        await blockTables.close()
        await data.close()
        lock.release()
    }

    // MARK: Configuration

    /// Longest configuration in bytes.
    public static let configurationLimit = 4 << 20

    /// The configuration as it was saved last.
    public func configuration() throws(RepositoryError) -> Bytes {
        do { return try files.read("\(path)/config", limit: Repository.configurationLimit) } catch { throw RepositoryError(error, at: path) }
    }

    /// Replaces the configuration in one step.
    public func save(configuration: Bytes) throws(RepositoryError) {
        do { try files.replace("\(path)/config", with: configuration, mode: 0o600) } catch { throw RepositoryError(error, at: path) }
    }

    // MARK: Numbers

    /// What `repo stat` tells.
    public struct Statistics: Hashable, Sendable {
        /// Blocks stored.
        public var objects: Int
        /// Sum of the sizes of all blocks, in bytes.
        public var blockBytes: Int
        /// What the stores take on the device, in bytes; space of removed blocks is used again, not given back.
        public var bytesOnDevice: Int
        public var path: String
        /// "fs-repo@" and the version of the layout.
        public var version: String
    }

    public func statistics() throws -> Statistics {
        let totals = try blocks.totals()
        return Statistics(
            objects: totals.blocks, blockBytes: totals.bytes, bytesOnDevice: blockTables.sizeOnDevice + data.sizeOnDevice, path: path,
            version: "fs-repo@\(Repository.formatVersion)")
    }
}
