import WaggleBase
import WaggleFormats

/// Visits every block of some graphs once, depth first, in steps of many blocks read from the store in one job.
///
/// Takes 16 bytes of memory a block, and the CIDs of blocks that are known but not yet visited.
struct GraphWalk {
    private let store: BlockStore
    private var visited = KeySet()
    private var stack: [CID]

    /// What is known of a block after a step.
    enum Visit {
        /// Here and sound. Blocks of codecs that have no links are not read, only looked for.
        case found(CID)
        case missing(CID)
        case unusable(CID, BlockStoreError)
        /// Here and sound, but its links cannot be read.
        case unreadable(CID, any Error)
    }

    init(_ store: BlockStore, roots: [CID]) {
        self.store = store
        stack = roots.reversed()
    }

    /// Blocks known of so far.
    var visitedCount: Int { visited.count }
    var reached: KeySet { visited }

    /// Adds the links of a block that was found elsewhere.
    mutating func push(_ links: [CID]) { stack.append(contentsOf: links.reversed()) }

    /// The next blocks, each for the first and only time; empty at the end.
    mutating func take(_ limit: Int = BlockStoreLimits.walkStep) -> [CID] {
        var batch: [CID] = []
        while batch.count < limit, let cid = stack.popLast() {
            if visited.insert(cid.multihash) { batch.append(cid) }
        }
        return batch
    }

    /// Reads the blocks of a step and pushes what they link to.
    mutating func look(at batch: [CID]) async throws -> [Visit] {
        let store = store
        let looked = try await store.system.offload {
            try store.store.read { reader in try batch.map { try GraphWalk.look(at: $0, store, reader) } }
        }
        for (_, links) in looked.reversed() { push(links) }
        return looked.map(\.visit)
    }

    private static func look(at cid: CID, _ store: BlockStore, _ reader: any StoreReader) throws -> (visit: Visit, links: [CID]) {
        guard BlockLinks.mayLink(cid.codec) else {
            return (try store.size(of: cid, reader) == nil ? .missing(cid) : .found(cid), [])
        }
        switch try store.lookUp(cid, reader) {
        case .found(let bytes):
            do { return (.found(cid), try BlockLinks.links(of: bytes, codec: cid.codec)) } catch { return (.unreadable(cid, error), []) }
        case .missing: return (.missing(cid), [])
        case .unusable(let error): return (.unusable(cid, error), [])
        }
    }
}
