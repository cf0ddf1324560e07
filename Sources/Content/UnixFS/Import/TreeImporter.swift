import WaggleBase
import WaggleFormats

/// Adds a tree of files, directories and symbolic links, given by their paths in any order, as one `ipfs add -r` does.
///
/// Memory grows with the number of entries, not with their content.
public struct TreeImporter: Sendable {
    /// A directory of the tree and the node it became.
    public struct Directory: Hashable, Sendable {
        /// Components from the root down; empty for the root.
        public var path: [String]
        public var node: ImportedNode
    }

    private final class Folder {
        var metadata: UnixFSMetadata
        var folders: [String: Folder] = [:]
        var others: [String: ImportedNode] = [:]

        init(_ metadata: UnixFSMetadata) { self.metadata = metadata }
    }

    private let options: ImportOptions
    private let system: any System
    private let files: FileImporter
    private let sink: (any BlockSink)?
    private let tree: Tree

    /// Confined to whoever imports: no two calls run at once.
    private final class Tree: @unchecked Sendable {
        let root: Folder
        init(_ root: Folder) { self.root = root }
    }

    /// `metadata` is the root directory's.
    public init(
        _ options: ImportOptions, metadata: UnixFSMetadata = .none, on system: any System, into sink: (any BlockSink)?
    ) throws(ImportOptionError) {
        self.options = options
        self.system = system
        self.sink = sink
        files = try FileImporter(options, on: system, into: sink)
        tree = Tree(Folder(metadata))
    }

    /// Adds a file, whose bytes `read` gives until it says nil; missing directories above it are made, without metadata.
    public func addFile(
        _ path: [String], metadata: UnixFSMetadata = .none, progress: (UInt64) throws -> Void = { _ in },
        reading read: () async throws -> Bytes?
    ) async throws -> ImportedNode {
        let node = try await files.add(metadata: metadata, progress: progress, reading: read)
        try put(node, at: path)
        return node
    }

    /// Adds a symbolic link. It stores a time, but never a mode.
    public func addSymlink(_ path: [String], target: String, metadata: UnixFSMetadata = .none) async throws -> ImportedNode {
        let node = try await Symlink.write(target, metadata, options, sink)
        try put(node, at: path)
        return node
    }

    /// Adds a directory, which may have entries already.
    public func addDirectory(_ path: [String], metadata: UnixFSMetadata = .none) throws {
        guard let name = path.last else { return }
        let parent = try folder(path.dropLast())
        try SafeName.check(name)
        guard parent.others[name] == nil else { throw UnixFSError.exists(name) }
        // Whoever makes a directory first decides about its metadata.
        if parent.folders[name] == nil { parent.folders[name] = Folder(metadata) }
    }

    /// Puts something that was imported already at `path`.
    public func put(_ node: ImportedNode, at path: [String]) throws {
        guard let name = path.last else { throw UnixFSError.unsafeName("") }
        try SafeName.check(name)
        let parent = try folder(path.dropLast())
        guard parent.folders[name] == nil, parent.others[name] == nil else { throw UnixFSError.exists(name) }
        parent.others[name] = node
    }

    /// Writes the directories. They come out in the order in which `add` reports them: by name, each after those inside it, the root last.
    public func finish() async throws -> [Directory] {
        var directories: [Directory] = []
        _ = try await write(tree.root, [], &directories)
        return directories
    }

    private func folder(_ path: ArraySlice<String>) throws -> Folder {
        guard path.count <= UnixFSLimits.pathDepth else { throw UnixFSError.limit(bytes: path.count) }
        var folder = tree.root
        for name in path {
            try SafeName.check(name)
            guard folder.others[name] == nil else { throw UnixFSError.exists(name) }
            if let next = folder.folders[name] {
                folder = next
            } else {
                let next = Folder(.none)
                folder.folders[name] = next
                folder = next
            }
        }
        return folder
    }

    private func write(_ folder: Folder, _ path: [String], _ directories: inout [Directory]) async throws -> ImportedNode {
        var builder = DirectoryBuilder(options, metadata: folder.metadata)
        for (name, node) in folder.others { try builder.set(name, node) }
        let names = folder.folders.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        for name in names {
            guard let inner = folder.folders[name] else { continue }
            try builder.set(name, try await write(inner, path + [name], &directories))
        }
        let finished = builder
        let (node, blocks) =
            builder.count <= UnixFSLimits.entriesInPlace ? try finished.blocks() : try await system.offload { try finished.blocks() }
        if let sink, !blocks.isEmpty { try await sink.write(blocks) }
        directories.append(Directory(path: path, node: node))
        return node
    }
}

/// Symbolic links.
enum Symlink {
    /// Wire shape: dag-pb node whose UnixFS data has `Type` symlink, `Data` the target's UTF-8 and perhaps `mtime`; no `filesize`.
    static func write(
        _ target: String, _ metadata: UnixFSMetadata, _ options: ImportOptions, _ sink: (any BlockSink)?
    ) async throws -> ImportedNode {
        let data = UnixFSData(kind: .symlink, data: Bytes(utf8: target), modified: metadata.modified)
        let bytes = PBNode(data: data.encode()).encode()
        let made = try BlockMaker(options).make(bytes, codec: .dagPB)
        if let sink, let block = made.block { try await sink.write([block]) }
        return ImportedNode(cid: made.cid, size: UInt64(bytes.count), content: UInt64(target.utf8.count))
    }
}
