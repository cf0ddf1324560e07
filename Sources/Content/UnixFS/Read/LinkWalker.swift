import WaggleBase
import WaggleFormats

/// Visits the links of graphs, depth first in the order of the links, each block's before those of its children: `refs`, pins over the
/// network.
///
/// Follows dag-pb, dag-cbor and dag-json; blocks of other codecs have no links. With `unique`, memory is 16 bytes a block.
public struct LinkWalker: Sendable {
    /// A link from one block to another.
    public struct Edge: Hashable, Sendable {
        public var parent: CID
        public var cid: CID
        /// The link's name in dag-pb, else empty.
        public var name: String
        /// 1 for links of a root.
        public var depth: Int
        /// Bytes of the block at `cid`; nil when it was not fetched.
        public var blockBytes: Int?
    }

    public struct Options: Hashable, Sendable {
        /// Visits each CID once.
        public var unique = false
        /// Links deeper than this are not followed; nil for no limit.
        public var maximumDepth: Int?
        /// Fetches blocks without links too, so that a walk that ends has seen every block.
        public var fetchesLeaves = true

        public init() {}
    }

    private struct Frame {
        var cid: CID
        var links: [(cid: CID, name: String)]
        var index = 0
        var announced = 0
    }

    private let source: any BlockSource
    private let options: Options
    private var roots: [CID]
    private var frames: [Frame] = []
    /// Links in `frames`.
    private var openLinks = 0
    private var seen = KeySet()
    /// How deep each CID was seen; only with a maximum depth, where one that is seen again further up leads further down.
    private var depths: [CID: Int] = [:]

    public init(_ roots: [CID], from source: any BlockSource, _ options: Options = Options()) {
        self.roots = roots.reversed()
        self.source = source
        self.options = options
    }

    /// The next link, whose block was fetched; nil at the end. Throws what the source throws for a block that cannot be had.
    public mutating func next() async throws -> Edge? {
        while true {
            guard let top = frames.indices.last else {
                guard let root = roots.popLast() else { return nil }
                try push(root, try await root.content(from: source))
                continue
            }
            guard frames[top].index < frames[top].links.count else {
                openLinks -= frames.removeLast().links.count
                continue
            }
            announce(top)
            let (cid, name) = frames[top].links[frames[top].index]
            let parent = frames[top].cid
            frames[top].index += 1
            let depth = frames.count
            let (follows, reports) = visit(cid, depth)
            guard follows || reports else { continue }
            var bytes: Int?
            if BlockLinks.mayLink(cid.codec) || options.fetchesLeaves {
                let block = try await cid.content(from: source)
                bytes = block.count
                if follows { try push(cid, block) }
            }
            if reports { return Edge(parent: parent, cid: cid, name: name, depth: depth, blockBytes: bytes) }
        }
    }

    private mutating func push(_ cid: CID, _ block: Bytes) throws {
        let links = try BlockLinks.namedLinks(of: block, codec: cid.codec)
        guard !links.isEmpty else { return }
        guard frames.count < UnixFSLimits.graphDepth, openLinks + links.count <= UnixFSLimits.openLinks else {
            throw UnixFSError.malformed(cid, .depth)
        }
        openLinks += links.count
        frames.append(Frame(cid: cid, links: links))
    }

    /// Whether to follow a link and whether to report it.
    private mutating func visit(_ cid: CID, _ depth: Int) -> (follows: Bool, reports: Bool) {
        let isDeepest = options.maximumDepth.map { depth >= $0 } ?? false
        if let limit = options.maximumDepth, depth > limit { return (false, false) }
        guard options.unique else { return (!isDeepest, true) }
        guard options.maximumDepth != nil else {
            let isNew = seen.insert(cid.bytes)
            return (isNew, isNew)
        }
        let old = depths[cid]
        if let old, old <= depth { return (false, false) }
        depths[cid] = depth
        return (!isDeepest, old == nil)
    }

    private mutating func announce(_ top: Int) {
        guard frames[top].index >= frames[top].announced else { return }
        let end = min(frames[top].index + UnixFSLimits.readAheadBlocks, frames[top].links.count)
        let ahead = frames[top].links[frames[top].index..<end].map(\.cid)
            .filter { options.fetchesLeaves || BlockLinks.mayLink($0.codec) }
        frames[top].announced = end
        if ahead.count > 1 { source.prefetch(ahead) }
    }
}
