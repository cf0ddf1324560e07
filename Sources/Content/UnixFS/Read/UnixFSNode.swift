import WaggleBase
import WaggleFormats

/// A block read as UnixFS: a node of a file, a directory, a shard of one, or a symbolic link.
public struct UnixFSNode: Hashable, Sendable {
    /// What a node is.
    public enum Kind: String, Hashable, Sendable {
        /// A file or a part of one; raw blocks too.
        case file
        case directory
        /// A part of a sharded directory; its root is the directory.
        case shard
        case symlink
    }

    public let cid: CID
    public let kind: Kind
    /// Content in this node itself, a symlink's target or a shard's bit field; a window onto the block.
    public let data: Bytes
    public let links: [PBLink]
    /// Bytes of content below each link of a file, as many as there are links.
    public let blockSizes: [UInt64]
    /// Bytes of content in this node and below it, as it states itself; checked while the content is read. 0 for directories.
    public let content: UInt64
    /// Slots of a shard.
    public let fanout: UInt64
    public let metadata: UnixFSMetadata
    /// Bytes of the block.
    public let blockBytes: Int

    /// Decodes a block. A file's sizes must fit each other, and a shard must be possible.
    public init(cid: CID, block: Bytes) throws(UnixFSError) {
        self.cid = cid
        blockBytes = block.count
        switch cid.codec {
        case .raw:
            kind = .file
            data = block
            links = []
            blockSizes = []
            content = UInt64(block.count)
            fanout = 0
            metadata = .none
        case .dagPB:
            let node: PBNode
            do { node = try PBNode(block) } catch { throw .malformed(cid, .dagPB(error)) }
            guard let bytes = node.data, !bytes.isEmpty else { throw .notUnixFS(cid) }
            let unixFS: UnixFSData
            do { unixFS = try UnixFSData(bytes) } catch { throw .malformed(cid, .data(error)) }
            kind = try UnixFSNode.kind(unixFS.kind, cid)
            data = unixFS.data ?? Bytes()
            links = node.links
            blockSizes = unixFS.blockSizes
            fanout = unixFS.fanout ?? 0
            metadata = UnixFSMetadata(mode: unixFS.mode, modified: unixFS.modified)
            content = try UnixFSNode.content(of: unixFS, links: node.links.count, kind, cid)
            if kind == .shard, unixFS.hashType != Multicodec.murmur3x64_64.rawValue { throw .malformed(cid, .shard) }
        default: throw .notUnixFS(cid)
        }
    }

    private static func kind(_ kind: UnixFSData.Kind, _ cid: CID) throws(UnixFSError) -> Kind {
        switch kind {
        case .raw, .file: .file
        case .directory: .directory
        case .hamtShard: .shard
        case .symlink: .symlink
        case .metadata: throw .notUnixFS(cid)
        }
    }

    /// What a file states, checked against its parts.
    private static func content(of data: UnixFSData, links: Int, _ kind: Kind, _ cid: CID) throws(UnixFSError) -> UInt64 {
        switch kind {
        case .directory, .shard: return 0
        case .symlink: return UInt64(data.data?.count ?? 0)
        case .file: break
        }
        guard data.blockSizes.count == links else { throw .malformed(cid, .blockSizes) }
        var sum = UInt64(data.data?.count ?? 0)
        for size in data.blockSizes {
            let (next, overflow) = sum.addingReportingOverflow(size)
            guard !overflow, next <= UInt64(Int64.max) else { throw .malformed(cid, .size) }
            sum = next
        }
        if let stated = data.fileSize, stated != sum { throw .malformed(cid, .size) }
        return sum
    }

    /// The target of a symlink; nil for other nodes and when it is not UTF-8.
    public var target: String? { kind == .symlink ? data.utf8 : nil }

    /// Whether the node is a directory, sharded or not.
    public var isDirectory: Bool { kind == .directory || kind == .shard }

    /// Bytes of all blocks from here down, as links state them.
    public var cumulativeSize: UInt64 {
        links.reduce(UInt64(blockBytes)) { sum, link in
            let (next, overflow) = sum.addingReportingOverflow(link.size ?? 0)
            return overflow ? .max : next
        }
    }

    /// Fetches and decodes a node.
    public static func load(_ cid: CID, from source: any BlockSource) async throws -> UnixFSNode {
        try UnixFSNode(cid: cid, block: try await cid.content(from: source))
    }
}

extension CID {
    /// The block, from the CID itself where it holds it.
    func content(from source: any BlockSource) async throws -> Bytes {
        if let inlined { return inlined }
        return try await source.block(self)
    }
}
