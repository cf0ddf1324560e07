import WaggleBase
import WaggleFormats

/// Collects the entries of one directory and writes it: one node, or shards where it is large.
public struct DirectoryBuilder: Sendable {
    private let options: ImportOptions
    private let metadata: UnixFSMetadata
    private var entries: [String: ImportedNode] = [:]

    public init(_ options: ImportOptions, metadata: UnixFSMetadata = .none) {
        self.options = options
        self.metadata = metadata
    }

    /// Entries so far.
    public var count: Int { entries.count }

    /// Adds an entry; throws when there is one by that name already.
    public mutating func add(_ name: String, _ node: ImportedNode) throws(UnixFSError) {
        try SafeName.check(name)
        guard entries.updateValue(node, forKey: name) == nil else { throw .exists(name) }
    }

    /// Adds an entry or replaces the one by that name.
    public mutating func set(_ name: String, _ node: ImportedNode) throws(UnixFSError) {
        try SafeName.check(name)
        entries[name] = node
    }

    /// Takes the entry away; false when there is none.
    @discardableResult
    public mutating func remove(_ name: String) -> Bool { entries.removeValue(forKey: name) != nil }

    /// Writes the directory. `emit` takes the blocks, children before parents; inlined nodes have none.
    public func finish(_ emit: (Block) throws -> Void) throws -> ImportedNode {
        let maker = BlockMaker(options)
        guard !isLarge else {
            return try ShardWriter(maker: maker, fanout: options.shardFanout).write(entries, metadata, emit)
        }
        let links = entries.map { PBLink(hash: $0.value.cid, name: $0.key, size: $0.value.size) }
        return try PBNode(links: links, data: data.encode()).write(maker, emit)
    }

    /// Writes the directory into memory.
    func blocks() throws -> (root: ImportedNode, blocks: [Block]) {
        var blocks: [Block] = []
        let root = try finish { blocks.append($0) }
        return (root, blocks)
    }

    private var data: UnixFSData { UnixFSData(kind: .directory, mode: metadata.mode, modified: metadata.modified) }

    /// Whether it is to be sharded. A directory exactly at the threshold is not.
    private var isLarge: Bool {
        guard options.shardThreshold > 0 else { return false }
        if let limit = options.directoryLinks, entries.count > limit { return true }
        switch options.sizeEstimation {
        case .disabled: return false
        case .links:
            return entries.reduce(0) { $0 + $1.key.utf8.count + $1.value.cid.bytes.count } > options.shardThreshold
        case .block:
            let data = ProtobufWriter.size(1, count: data.encode().count)
            return entries.reduce(data) { $0 + DirectoryBuilder.size($1.key, $1.value) } > options.shardThreshold
        }
    }

    /// Bytes that a link takes in a dag-pb block.
    private static func size(_ name: String, _ node: ImportedNode) -> Int {
        let link =
            ProtobufWriter.size(1, count: node.cid.bytes.count) + ProtobufWriter.size(2, count: name.utf8.count)
            + ProtobufWriter.size(3, varint: node.size)
        return ProtobufWriter.size(2, count: link)
    }
}

extension PBNode {
    /// Encodes and emits a node that has no content of its own.
    func write(_ maker: BlockMaker, _ emit: (Block) throws -> Void) throws -> ImportedNode {
        let bytes = encode()
        let made = try maker.make(bytes, codec: .dagPB)
        if let block = made.block { try emit(block) }
        return ImportedNode(cid: made.cid, size: links.reduce(UInt64(bytes.count)) { $0 &+ ($1.size ?? 0) }, content: 0)
    }
}

/// Names that a directory may have and that are safe to create in a file system.
enum SafeName {
    static func check(_ name: String) throws(UnixFSError) {
        guard isSafe(name) else { throw .unsafeName(name) }
    }

    static func isSafe(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
    }
}
