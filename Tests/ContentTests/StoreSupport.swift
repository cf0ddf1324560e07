import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleContent

/// SplitMix64: random numbers that a seed fixes.
struct TestRandom: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func bytes(_ count: Int) -> Bytes {
        Bytes(count: count) { buffer in
            var offset = 0
            while offset < count {
                let word = next()
                withUnsafeBytes(of: word) { word in
                    for index in 0..<Swift.min(8, count - offset) { buffer[offset + index] = word[index] }
                }
                offset += 8
            }
            return count
        }
    }
}

enum TestBlocks {
    static func cid(_ bytes: Bytes, _ codec: Multicodec) -> CID {
        try! CID(codec: codec, hash: Multihash(.sha2_256, digest: SHA256.hash(bytes).bytes))
    }

    static func raw(_ bytes: Bytes) -> Block { Block(cid: cid(bytes, .raw), bytes: bytes) }
    static func raw(_ text: String) -> Block { raw(Bytes(utf8: text)) }

    static func node(_ links: [CID], data: Bytes? = nil) -> Block {
        let bytes = PBNode(links: links.map { PBLink(hash: $0, name: "", size: 0) }, data: data).encode()
        return Block(cid: cid(bytes, .dagPB), bytes: bytes)
    }
}

/// A graph with its blocks, children before parents.
struct TestTree {
    var blocks: [Block] = []
    var root: CID { blocks[blocks.count - 1].cid }

    /// A tree of `leaves` raw blocks of random content, at most `fanOut` links a node.
    init(seed: UInt64, leaves: Int, leafSize: Int = 100, fanOut: Int = 5) {
        var random = TestRandom(seed)
        var level: [CID] = []
        for _ in 0..<leaves {
            let block = TestBlocks.raw(random.bytes(leafSize))
            blocks.append(block)
            level.append(block.cid)
        }
        repeat {
            var next: [CID] = []
            var index = 0
            while index < level.count {
                let node = TestBlocks.node(Array(level[index..<min(index + fanOut, level.count)]), data: random.bytes(8))
                blocks.append(node)
                next.append(node.cid)
                index += fanOut
            }
            level = next
        } while level.count > 1
    }
}

enum TestRepository {
    static func make(on system: any System) throws -> Repository {
        if try !Repository.exists(at: "/repo", on: system) {
            try Repository.initialize(at: "/repo", configuration: "{}", on: system)
        }
        return try Repository.open("/repo", on: system)
    }

    /// Whether every block below `root` is in the store and sound.
    static func isWhole(_ root: CID, _ repository: Repository) async throws -> Bool {
        var walk = GraphWalk(repository.blocks, roots: [root])
        while true {
            let batch = walk.take()
            if batch.isEmpty { return true }
            for visit in try await walk.look(at: batch) {
                guard case .found(let cid) = visit, try await repository.blocks.get(cid) != nil else { return false }
            }
        }
    }

    /// Flips a bit of the stored block.
    static func corrupt(_ cid: CID, _ repository: Repository) async throws {
        try await repository.blocks.store.write(durable: true) { writer in
            guard var bytes = try writer.value(of: cid.multihash.bytes, in: StoreTables.blocks)?.array, !bytes.isEmpty else { return }
            bytes[bytes.count / 2] ^= 4
            try writer.put(cid.multihash.bytes, Bytes(bytes), in: StoreTables.blocks)
        }
    }
}
