import WaggleBase
import WaggleFormats

/// A tree of files and directories in the order in which it is written to an archive or a file system: what `get` does.
///
/// Every name is safe to create: not empty, not `.` or `..`, without `/` and NUL, and once in its directory, so that nothing is ever
/// written through a link that the tree itself brought along.
public struct TreeReader: Sendable {
    /// One step through the tree. Paths are the names below the root; the root's is empty.
    public enum Item: Sendable {
        /// A directory, whose entries follow.
        case directory(path: [String], UnixFSMetadata)
        /// The end of a directory's entries: now its time of change can be set.
        case leave(path: [String], UnixFSMetadata)
        /// A file; `FileReader(node, from:)` reads it.
        case file(path: [String], UnixFSNode)
        case symlink(path: [String], target: String, UnixFSMetadata)
    }

    private struct Frame {
        var reader: DirectoryReader
        var page: ArraySlice<DirectoryEntry> = []
        var announced = 0
        /// Names so far; only in directories that are not sharded, for in a shard a name has one place.
        var names: Set<String> = []
    }

    private let source: any BlockSource
    private var root: CID?
    private var frames: [Frame] = []
    private var path: [String] = []

    public init(_ root: CID, from source: any BlockSource) {
        self.root = root
        self.source = source
    }

    /// The next item; nil at the end.
    public mutating func next() async throws -> Item? {
        if let root {
            self.root = nil
            return try await enter(root)
        }
        while let top = frames.indices.last {
            guard let entry = frames[top].page.popFirst() else {
                if let page = try await frames[top].reader.next() {
                    frames[top].page = page[...]
                    frames[top].announced = 0
                    continue
                }
                let metadata = frames.removeLast().reader.node.metadata
                defer { _ = path.popLast() }
                return .leave(path: path, metadata)
            }
            announce(top)
            try SafeName.check(entry.name)
            if frames[top].reader.node.kind == .directory, !frames[top].names.insert(entry.name).inserted {
                throw UnixFSError.exists(entry.name)
            }
            path.append(entry.name)
            let item = try await enter(entry.cid)
            if case .directory = item { return item }
            path.removeLast()
            return item
        }
        return nil
    }

    private mutating func enter(_ cid: CID) async throws -> Item {
        let node = try await UnixFSNode.load(cid, from: source)
        switch node.kind {
        case .file: return .file(path: path, node)
        case .symlink:
            guard let target = node.target else { throw UnixFSError.malformed(cid, .leaf) }
            return .symlink(path: path, target: target, node.metadata)
        case .directory, .shard:
            guard frames.count < UnixFSLimits.pathDepth else { throw UnixFSError.malformed(cid, .depth) }
            frames.append(Frame(reader: try DirectoryReader(node, from: source)))
            return .directory(path: path, node.metadata)
        }
    }

    private mutating func announce(_ top: Int) {
        guard frames[top].announced == 0 else {
            frames[top].announced -= 1
            return
        }
        let ahead = frames[top].page.prefix(UnixFSLimits.shardsAhead).map(\.cid)
        frames[top].announced = ahead.count
        if !ahead.isEmpty { source.prefetch(ahead) }
    }
}
