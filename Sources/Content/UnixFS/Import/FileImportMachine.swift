import WaggleBase
import WaggleFormats

/// Turns the bytes of one file into blocks, without knowing where the bytes come from or who hashes them.
///
/// ```
/// append(bytes)… end()  →  nextJob()  →  job.run() anywhere, in any order  →  place(result) in order  →  takeBlocks(), finish()
/// ```
/// Chunks that lie in one piece of input are windows onto it; others are copied once, next to room for the frame of their leaf.
struct FileImportMachine: Sendable {
    private let options: ImportOptions
    private let metadata: UnixFSMetadata
    private var chunker: Chunker
    private var layout: FileLayout
    private var open = OpenChunk.none
    private var chunks: [Chunk] = []
    private var chunkBytes = 0
    private var ended = false
    private var jobs = 0
    private var placed = 0

    /// Bytes that were appended.
    private(set) var received: UInt64 = 0

    private enum OpenChunk: Sendable {
        case none
        case window(Bytes)
        case own(ByteStorage, count: Int)
    }

    init(_ options: ImportOptions, metadata: UnixFSMetadata = .none) throws(ImportOptionError) {
        try options.validate()
        self.options = options
        self.metadata = metadata
        chunker = Chunker(options.chunker)
        layout = FileLayout(options)
    }

    /// Bytes of chunks that no job has taken.
    var waiting: Int { chunkBytes }

    /// Takes the next bytes of the file.
    mutating func append(_ bytes: Bytes) {
        received += UInt64(bytes.count)
        var rest = bytes
        while !rest.isEmpty {
            let cut = rest.withUnsafeBytes { chunker.scan($0) }
            extend(rest[0..<cut.count])
            if cut.ends { close() }
            rest = rest.dropFirst(cut.count)
        }
    }

    /// Says that the file ends here.
    mutating func end() {
        close()
        ended = true
        // A file without content is a leaf all the same, except under a trickle root.
        if chunks.isEmpty, jobs == 0, options.layout == .balanced { chunks.append(Chunk(window: Bytes())) }
    }

    /// Chunks to encode and hash, about `hashJobBytes` of them; the rest only after `end`.
    mutating func nextJob() -> LeafJob? {
        guard !chunks.isEmpty, ended || chunkBytes >= UnixFSLimits.hashJobBytes else { return nil }
        // The only leaf of a balanced file is its root and carries the metadata. A job before the end has two leaves or more.
        let isWhole = ended && jobs == 0 && chunks.count == 1 && options.layout == .balanced
        defer {
            chunks.removeAll(keepingCapacity: true)
            chunkBytes = 0
            jobs += 1
        }
        return LeafJob(index: jobs, chunks: chunks, options: options, metadata: isWhole ? metadata : .none)
    }

    /// Takes the links of a job; jobs must be placed in the order of their indices.
    mutating func place(_ leaves: [FileLink]) throws(UnixFSError) {
        placed += 1
        for leaf in leaves { try layout.add(leaf) }
    }

    /// The blocks of inner nodes since the last call, children before parents.
    mutating func takeBlocks() -> [Block] { layout.takeBlocks() }

    /// The root, after `end` and when all jobs are placed; `takeBlocks` once more gives its block.
    mutating func finish() throws(UnixFSError) -> ImportedNode {
        precondition(ended && placed == jobs && chunks.isEmpty)
        guard let root = try layout.finish(metadata) else { preconditionFailure("end() makes a leaf where there is none") }
        return ImportedNode(cid: root.cid, size: root.size, content: root.content)
    }

    private mutating func extend(_ piece: Bytes) {
        switch open {
        case .none: open = .window(piece)
        case .window(let first):
            let expected = min(options.chunker.maximum, max(4 * (first.count + piece.count), 4096))
            let storage = ByteStorage(capacity: Chunk.roomBefore + expected + Chunk.roomAfter)
            FileImportMachine.copy(first, to: storage, at: 0)
            FileImportMachine.copy(piece, to: storage, at: first.count)
            open = .own(storage, count: first.count + piece.count)
        case .own(var storage, let count):
            open = .none
            let needed = Chunk.roomBefore + count + piece.count + Chunk.roomAfter
            if needed > storage.capacity {
                let limit = Chunk.roomBefore + options.chunker.maximum + Chunk.roomAfter
                let larger = ByteStorage(capacity: min(limit, max(needed, 2 * storage.capacity)))
                larger.buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage.buffer[..<(Chunk.roomBefore + count)]))
                storage = larger
            }
            FileImportMachine.copy(piece, to: storage, at: count)
            open = .own(storage, count: count + piece.count)
        }
    }

    private static func copy(_ bytes: Bytes, to storage: ByteStorage, at offset: Int) {
        bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: storage.buffer[(Chunk.roomBefore + offset)...]).copyMemory(from: $0) }
    }

    private mutating func close() {
        switch open {
        case .none: return
        case .window(let bytes): chunks.append(Chunk(window: bytes))
        case .own(let storage, let count): chunks.append(Chunk(storage: storage, count: count))
        }
        open = .none
        chunkBytes += chunks[chunks.count - 1].count
    }
}

/// Some chunks on their way to become leaves: the part of an import that takes time and may run on any thread.
struct LeafJob: Sendable {
    /// Position among the jobs of the file, from 0.
    let index: Int
    private let chunks: [Chunk]
    private let options: ImportOptions
    private let metadata: UnixFSMetadata

    init(index: Int, chunks: [Chunk], options: ImportOptions, metadata: UnixFSMetadata) {
        self.index = index
        self.chunks = chunks
        self.options = options
        self.metadata = metadata
    }

    /// Bytes of content.
    var bytes: Int { chunks.reduce(0) { $0 + $1.count } }

    /// What a job comes to. Leaves that fit into their CIDs have no block.
    struct Result: Sendable {
        var index: Int
        var links: [FileLink]
        var blocks: [Block]
    }

    /// Encodes and hashes the chunks.
    func run(keepingBlocks: Bool = true) throws(UnixFSError) -> Result {
        let maker = BlockMaker(options)
        var result = Result(index: index, links: [], blocks: [])
        result.links.reserveCapacity(chunks.count)
        for chunk in chunks {
            let kind: UnixFSData.Kind = options.layout == .trickle ? .raw : .file
            let bytes = options.rawLeaves ? chunk.bytes : chunk.framed(kind: kind, metadata: metadata)
            let made = try maker.make(bytes, codec: options.rawLeaves ? .raw : .dagPB)
            if keepingBlocks, let block = made.block { result.blocks.append(block) }
            result.links.append(FileLink(cid: made.cid, size: UInt64(bytes.count), content: UInt64(chunk.count)))
        }
        return result
    }
}
