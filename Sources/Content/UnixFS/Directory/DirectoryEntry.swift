import WaggleFormats

/// A named link in a directory.
public struct DirectoryEntry: Hashable, Sendable {
    /// The name as it is stored; check `isSafe` before it becomes part of a path in a file system.
    public let name: String
    public let cid: CID
    /// Bytes of all blocks from there down, as the directory's author states it.
    public let size: UInt64

    public init(name: String, cid: CID, size: UInt64) {
        self.name = name
        self.cid = cid
        self.size = size
    }

    /// Whether the name can be created in a file system and stays inside its directory.
    public var isSafe: Bool { SafeName.isSafe(name) }

    /// What the entry is. Raw blocks are files of `size` bytes and are not fetched.
    public func status(from source: any BlockSource) async throws -> EntryStatus {
        if cid.codec == .raw { return EntryStatus(kind: .file, content: size, metadata: .none) }
        let node = try await UnixFSNode.load(cid, from: source)
        return EntryStatus(kind: node.kind, content: node.content, metadata: node.metadata, target: node.target)
    }
}

/// What an entry of a directory is.
public struct EntryStatus: Hashable, Sendable {
    public var kind: UnixFSNode.Kind
    /// Bytes of content of a file; 0 for a directory.
    public var content: UInt64
    public var metadata: UnixFSMetadata
    /// Where a symlink points.
    public var target: String?

    public init(kind: UnixFSNode.Kind, content: UInt64, metadata: UnixFSMetadata, target: String? = nil) {
        self.kind = kind
        self.content = content
        self.metadata = metadata
        self.target = target
    }
}
