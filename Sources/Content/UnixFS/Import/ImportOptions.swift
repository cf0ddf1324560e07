import WaggleFormats

/// How files and directories become blocks: everything that has a say in the CIDs.
///
/// The defaults are Kubo's. `ImportFlags` resolves what a user typed into this.
public struct ImportOptions: Hashable, Sendable {
    /// How the blocks of a file are arranged.
    public enum Layout: Hashable, Sendable {
        /// All leaves at the same depth.
        case balanced
        /// Leaves first, then ever deeper subtrees: good for reading from the start.
        case trickle
    }

    /// What decides when a directory is written as shards.
    public enum SizeEstimation: Hashable, Sendable {
        /// The sum of the lengths of names and CIDs.
        case links
        /// The length of the whole block.
        case block
        /// Only the number of links, see `directoryLinks`.
        case disabled
    }

    public var chunker = ChunkerOptions.standard
    public var layout = Layout.balanced
    /// Version of the CIDs of dag-pb blocks; raw and inlined blocks always have version 1.
    public var cidVersion = CID.Version.v0
    public var hash = Multicodec.sha2_256
    /// Whether leaves are bare content instead of UnixFS nodes.
    public var rawLeaves = false
    /// Blocks of at most this many bytes become identity CIDs; nil for none.
    public var inlineLimit: Int?
    /// Most links of a file node.
    public var fileLinks = UnixFSLimits.defaultFileLinks
    /// Most links of a directory that is not sharded; nil for as many as fit.
    public var directoryLinks: Int?
    /// Slots of a shard, a power of two.
    public var shardFanout = 256
    /// Estimated size in bytes above which a directory is sharded; with 0 none ever is.
    public var shardThreshold = UnixFSLimits.defaultShardThreshold
    public var sizeEstimation = SizeEstimation.links

    public init() {}

    /// Checks what the types alone cannot promise.
    func validate() throws(ImportOptionError) {
        guard cidVersion == .v1 || hash == .sha2_256 else { throw .version0NeedsSHA256 }
        guard UnixFSLimits.fileLinks.contains(fileLinks) else { throw .fileLinks(fileLinks) }
        guard UnixFSLimits.shardFanout.contains(shardFanout), shardFanout.nonzeroBitCount == 1 else { throw .fanout(shardFanout) }
        if let inlineLimit, inlineLimit > UnixFSLimits.inlineBytes { throw .inlineLimit(inlineLimit) }
        guard BlockMaker.isAllowed(hash) else { throw .hash(hash.description) }
    }
}

/// Unix metadata of a file, directory or symlink (UnixFS 1.5).
public struct UnixFSMetadata: Hashable, Sendable {
    /// Permission bits (the low twelve); nil or zero is not stored.
    public var mode: UInt32?
    /// Time of the last change; nil is not stored.
    public var modified: UnixFSTime?

    public static let none = UnixFSMetadata()

    public init(mode: UInt32? = nil, modified: UnixFSTime? = nil) {
        self.mode = mode == 0 ? nil : mode.map { $0 & 0o7777 }
        // Zero nanoseconds are left away on the wire.
        self.modified = modified.map { UnixFSTime(seconds: $0.seconds, nanoseconds: $0.nanoseconds == 0 ? nil : $0.nanoseconds) }
    }

    var isEmpty: Bool { mode == nil && modified == nil }
}

/// Why options for an import cannot be.
public enum ImportOptionError: Error, Equatable, Sendable {
    /// The chunker's name or parameters, with what is wrong about them.
    case chunker(String)
    case cidVersion(Int)
    case version0NeedsSHA256
    /// Unknown, not available, or too weak for content addressing.
    case hash(String)
    case inlineLimit(Int)
    case fileLinks(Int)
    case fanout(Int)
    /// Flags that exclude or need each other.
    case combination(String)
}

extension ImportOptionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .chunker(let complaint), .combination(let complaint): complaint
        case .cidVersion(let version): "unknown CID version: \(version)"
        case .version0NeedsSHA256: "CIDv0 only supports sha2-256"
        case .hash(let name): "unrecognized hash function: \(quoted(name))"
        case .inlineLimit(let limit): "inline-limit \(limit) exceeds maximum allowed size of \(UnixFSLimits.inlineBytes) bytes"
        case .fileLinks(let links):
            "max-file-links must be between \(UnixFSLimits.fileLinks.lowerBound) and \(UnixFSLimits.fileLinks.upperBound) (got \(links))"
        case .fanout(let fanout): "HAMT fanout must be a power of 2, between 8 and 1024 (got \(fanout))"
        }
    }
}
