import WaggleBase
import WaggleFormats

/// A link of a file node.
struct FileLink: Sendable {
    var cid: CID
    /// Bytes of all blocks from there down.
    var size: UInt64
    /// Bytes of content from there down.
    var content: UInt64
}

/// Arranges the leaves of a file, which arrive in order, under nodes; holds only nodes that are not full yet.
struct FileLayout: Sendable {
    private enum Shape: Sendable {
        case balanced(BalancedShape)
        case trickle(TrickleShape)
    }

    private var shape: Shape
    private var nodes: FileNodeWriter

    init(_ options: ImportOptions) {
        nodes = FileNodeWriter(maker: BlockMaker(options))
        shape =
            switch options.layout {
            case .balanced: .balanced(BalancedShape(width: options.fileLinks))
            case .trickle: .trickle(TrickleShape(width: options.fileLinks))
            }
    }

    /// Adds the next leaf.
    mutating func add(_ leaf: FileLink) throws(UnixFSError) {
        switch shape {
        case .balanced(var balanced):
            shape = .balanced(BalancedShape(width: 0))  // Gives up the reference, so that the links grow in place.
            try balanced.add(leaf, &nodes)
            shape = .balanced(balanced)
        case .trickle(var trickle):
            shape = .trickle(TrickleShape(width: 0))
            try trickle.add(leaf, &nodes)
            shape = .trickle(trickle)
        }
    }

    /// The root. A balanced file of one leaf is that leaf; the balanced layout of no leaf at all is up to the caller.
    mutating func finish(_ metadata: UnixFSMetadata) throws(UnixFSError) -> FileLink? {
        switch shape {
        case .balanced(var balanced): try balanced.finish(&nodes, metadata)
        case .trickle(var trickle): try trickle.finish(&nodes, metadata)
        }
    }

    /// The blocks of full nodes since the last call.
    mutating func takeBlocks() -> [Block] {
        defer { nodes.blocks.removeAll(keepingCapacity: true) }
        return nodes.blocks
    }
}

/// Encodes nodes that have links only.
struct FileNodeWriter: Sendable {
    let maker: BlockMaker
    var blocks: [Block] = []

    init(maker: BlockMaker) { self.maker = maker }

    mutating func write(_ links: [FileLink], _ metadata: UnixFSMetadata = .none) throws(UnixFSError) -> FileLink {
        let content = links.reduce(0) { $0 &+ $1.content }
        let data = UnixFSData(
            kind: .file, fileSize: content, blockSizes: links.map(\.content), mode: metadata.mode, modified: metadata.modified)
        let node = PBNode(links: links.map { PBLink(hash: $0.cid, name: "", size: $0.size) }, data: data.encode())
        let bytes = node.encode()
        let made = try maker.make(bytes, codec: .dagPB)
        if let block = made.block { blocks.append(block) }
        return FileLink(cid: made.cid, size: links.reduce(UInt64(bytes.count)) { $0 &+ $1.size }, content: content)
    }
}

/// All leaves at the same depth; every node but those on the right edge is full.
struct BalancedShape: Sendable {
    let width: Int
    /// For each level from the leaves up, the links that no node holds yet.
    private var levels: [[FileLink]] = []

    init(width: Int) { self.width = width }

    mutating func add(_ link: FileLink, _ nodes: inout FileNodeWriter) throws(UnixFSError) {
        var link = link
        var level = 0
        // A full level is written when one more link arrives: only then is it known not to be the last.
        while true {
            if level == levels.count { levels.append([]) }
            guard levels[level].count == width else { break }
            let node = try nodes.write(levels[level])
            levels[level].removeAll(keepingCapacity: true)
            levels[level].append(link)
            link = node
            level += 1
        }
        levels[level].append(link)
    }

    mutating func finish(_ nodes: inout FileNodeWriter, _ metadata: UnixFSMetadata) throws(UnixFSError) -> FileLink? {
        guard let leaves = levels.first else { return nil }
        if levels.count == 1, leaves.count == 1 { return leaves[0] }
        var level = 0
        while level < levels.count - 1 {
            let node = try nodes.write(levels[level])
            level += 1
            if levels[level].count == width {
                try promote(node, level, &nodes)
            } else {
                levels[level].append(node)
            }
        }
        return try nodes.write(levels[levels.count - 1], metadata)
    }

    /// Adds a node to a level that is full, which pushes that level up.
    private mutating func promote(_ node: FileLink, _ level: Int, _ nodes: inout FileNodeWriter) throws(UnixFSError) {
        var rest = BalancedShape(width: width)
        rest.levels = Array(levels[level...])
        try rest.add(node, &nodes)
        levels.replaceSubrange(level..., with: rest.levels)
    }
}

/// A node holds leaves first, then four subtrees of depth 1, four of depth 2 and so on.
struct TrickleShape: Sendable {
    /// How many subtrees of each depth a node holds.
    static let repeats = 4

    private struct Node {
        var links: [FileLink] = []
        /// Subtrees of this depth and more are not allowed; nil for the root.
        var limit: Int?
        /// Depth of the subtrees that are added now; 0 while leaves are.
        var depth = 0
        /// How many of that depth are there.
        var repeated = 0
    }

    let width: Int
    private var open = [Node()]

    init(width: Int) { self.width = width }

    mutating func add(_ leaf: FileLink, _ nodes: inout FileNodeWriter) throws(UnixFSError) {
        while true {
            let top = open.count - 1
            if open[top].depth == 0 {
                if open[top].links.count < width {
                    open[top].links.append(leaf)
                    return
                }
                open[top].depth = 1
            }
            if let limit = open[top].limit, open[top].depth >= limit {
                try close(&nodes)
            } else {
                open.append(Node(limit: open[top].depth))
            }
        }
    }

    mutating func finish(_ nodes: inout FileNodeWriter, _ metadata: UnixFSMetadata) throws(UnixFSError) -> FileLink {
        while open.count > 1 { try close(&nodes) }
        return try nodes.write(open[0].links, metadata)
    }

    private mutating func close(_ nodes: inout FileNodeWriter) throws(UnixFSError) {
        let node = try nodes.write(open.removeLast().links)
        let top = open.count - 1
        open[top].links.append(node)
        open[top].repeated += 1
        if open[top].repeated == TrickleShape.repeats {
            open[top].depth += 1
            open[top].repeated = 0
        }
    }
}
