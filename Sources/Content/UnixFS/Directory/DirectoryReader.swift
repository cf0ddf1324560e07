import WaggleBase
import WaggleFormats

/// The entries of a directory, sharded or not.
///
/// ```swift
/// var reader = try await DirectoryReader(cid, from: store)
/// while let page = try await reader.next() { for entry in page { … } }
/// ```
/// A sharded directory comes shard by shard, in the order of the names' hashes; only the shards above the current one are held.
public struct DirectoryReader: Sendable {
    private struct Frame {
        var shard: Shard
        var index = 0
        /// Sub-shards before this used slot were announced to the source.
        var announced = 0
    }

    private let source: any BlockSource
    private var basic: [DirectoryEntry]?
    private var frames: [Frame] = []

    /// The root of the directory.
    public let node: UnixFSNode

    /// Fetches the root.
    public init(_ cid: CID, from source: any BlockSource) async throws {
        try self.init(try await UnixFSNode.load(cid, from: source), from: source)
    }

    /// Reads the directory whose root is `node`; throws when that is none.
    public init(_ node: UnixFSNode, from source: any BlockSource) throws(UnixFSError) {
        self.node = node
        self.source = source
        switch node.kind {
        case .directory:
            basic = node.links.map { DirectoryEntry(name: $0.name ?? "", cid: $0.hash, size: $0.size ?? 0) }
        case .shard: frames = [Frame(shard: try Shard(node))]
        case .file, .symlink: throw .wrongKind(node.cid, node.kind)
        }
    }

    /// Some more entries, at least one; nil when there are no more.
    public mutating func next() async throws -> [DirectoryEntry]? {
        if let page = basic {
            basic = nil
            if !page.isEmpty { return page }
        }
        var page: [DirectoryEntry] = []
        while var frame = frames.popLast() {
            if frame.index >= frame.announced {
                let ahead = frame.shard.shards(from: frame.index, limit: UnixFSLimits.shardsAhead)
                if ahead.count > 1 { source.prefetch(ahead) }
                frame.announced = frame.index + UnixFSLimits.shardsAhead
            }
            while frame.index < frame.shard.count {
                let child = try frame.shard.child(frame.index)
                guard case .shard(let cid) = child else {
                    if case .entry(let entry) = child { page.append(entry) }
                    frame.index += 1
                    continue
                }
                if !page.isEmpty {
                    frames.append(frame)
                    return page
                }
                let below = try Shard(try await UnixFSNode.load(cid, from: source), below: frame.shard.position(frame.index))
                frame.index += 1
                frames.append(frame)
                frames.append(Frame(shard: below))
                break
            }
            if !page.isEmpty { return page }
        }
        return nil
    }

    /// All entries that are left, at most `limit`; throws when there are more.
    public mutating func all(limit: Int = .max) async throws -> [DirectoryEntry] {
        var entries: [DirectoryEntry] = []
        while let page = try await next() {
            entries += page
            guard entries.count <= limit else { throw UnixFSError.limit(bytes: entries.count) }
        }
        return entries
    }

    /// The entry by that name; nil when there is none. In a sharded directory only the shards on its path are fetched.
    public static func find(_ name: String, in node: UnixFSNode, from source: any BlockSource) async throws -> DirectoryEntry? {
        switch node.kind {
        case .directory:
            return node.links.first { ($0.name ?? "") == name }.map { DirectoryEntry(name: name, cid: $0.hash, size: $0.size ?? 0) }
        case .file, .symlink: throw UnixFSError.wrongKind(node.cid, node.kind)
        case .shard: break
        }
        let hash = ShardSlots.hash(name)
        var shard = try Shard(node)
        while let child = try shard.child(for: hash) {
            switch child {
            case .entry(let entry): return entry.name == name ? entry : nil
            case .shard(let cid):
                shard = try Shard(try await UnixFSNode.load(cid, from: source), below: shard.position(for: hash))
            }
        }
        return nil
    }
}
