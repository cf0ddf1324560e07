import WaggleFormats

/// What a user said about an import, before the implications between the flags are drawn; nil means not said.
///
/// The rules are Kubo's: another hash than SHA2-256 implies CID version 1, version 1 implies raw leaves, metadata forbids raw leaves.
public struct ImportFlags: Hashable, Sendable {
    public var chunker: String?
    public var trickle = false
    public var cidVersion: Int?
    public var hash: String?
    public var rawLeaves: Bool?
    public var inline = false
    public var inlineLimit = 32
    public var maxFileLinks: Int?
    public var maxDirectoryLinks: Int?
    public var maxShardFanout: Int?
    /// `links`, `block` or `disabled`; from the configuration.
    public var sizeEstimation: ImportOptions.SizeEstimation?
    /// Bytes; from the configuration.
    public var shardThreshold: Int?
    public var preserveMode = false
    public var preserveModified = false
    /// `--mode`; 0 is the same as not said.
    public var mode: UInt32?
    /// `--mtime`; 0 is the same as not said.
    public var modifiedSeconds: Int64?
    /// `--mtime-nsecs`.
    public var modifiedNanoseconds: UInt32?

    public init() {}

    /// The options that the flags come to.
    public func resolve() throws(ImportOptionError) -> ImportOptions {
        var options = ImportOptions()
        options.chunker = try ChunkerOptions(parsing: chunker ?? "")
        options.layout = trickle ? .trickle : .balanced
        if inline {
            guard inlineLimit <= UnixFSLimits.inlineBytes else { throw .inlineLimit(inlineLimit) }
            options.inlineLimit = inlineLimit
        }
        options.hash = try ImportFlags.hash(named: hash ?? "sha2-256")
        options.cidVersion = try version(for: options.hash)
        options.rawLeaves = try rawLeaves(for: options.cidVersion)
        if let maxFileLinks, maxFileLinks > 0 { options.fileLinks = maxFileLinks }
        if let maxDirectoryLinks, maxDirectoryLinks > 0 { options.directoryLinks = maxDirectoryLinks }
        if let maxShardFanout { options.shardFanout = maxShardFanout }
        if let sizeEstimation { options.sizeEstimation = sizeEstimation }
        if let shardThreshold { options.shardThreshold = shardThreshold }
        try options.validate()
        return options
    }

    /// The metadata to store for an entry whose own metadata is `own`.
    public func metadata(own: UnixFSMetadata) throws(ImportOptionError) -> UnixFSMetadata {
        let seconds = modifiedSeconds ?? 0
        if seconds == 0, modifiedNanoseconds ?? 0 != 0 {
            throw .combination("option \"mtime-nsecs\" requires \"mtime\" to be provided as well")
        }
        // A mode that is given, rather than found, has no set-uid, set-gid and sticky bits.
        let mode = mode ?? 0 != 0 ? (mode ?? 0) & 0o777 : preserveMode ? own.mode : nil
        let modified = seconds != 0 ? UnixFSTime(seconds: seconds, nanoseconds: modifiedNanoseconds) : preserveModified ? own.modified : nil
        return UnixFSMetadata(mode: mode, modified: modified)
    }

    private var storesMetadata: Bool { preserveMode || preserveModified || mode ?? 0 != 0 || modifiedSeconds ?? 0 != 0 }

    private func version(for hash: Multicodec) throws(ImportOptionError) -> CID.Version {
        if hash == .sha2_256 {
            switch cidVersion {
            case nil, 0: return .v0
            case 1: return .v1
            case .some(let other) where other < 0: return .v0
            case .some(let other): throw .cidVersion(other)
            }
        }
        switch cidVersion {
        case 0: throw .version0NeedsSHA256
        case nil, 1, -1: return .v1
        case .some(let other): throw .cidVersion(other)
        }
    }

    private func rawLeaves(for version: CID.Version) throws(ImportOptionError) -> Bool {
        if storesMetadata {
            // Raw leaves have no room for metadata.
            guard rawLeaves != true else {
                throw .combination("raw-leaves can't be used with UnixFS metadata like mode or modification time")
            }
            return false
        }
        return rawLeaves ?? (version == .v1)
    }

    static func hash(named name: String) throws(ImportOptionError) -> Multicodec {
        let name = name.lowercased()
        let aliases: [String: Multicodec] = ["id": .identity, "sha3": .sha3_512]
        guard let code = aliases[name] ?? Multicodec(name: name), code.tag == "multihash", BlockMaker.isAllowed(code) else {
            throw .hash(name)
        }
        return code
    }
}
