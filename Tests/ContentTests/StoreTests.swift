import Testing
import WaggleBase
import WaggleFormats
import WaggleSimulation

@testable import WaggleContent

@Suite struct StoreTests {
    private func withRepository<R: Sendable>(
        seed: UInt64 = 1, _ body: @escaping @Sendable (World, Host, Repository) async throws -> R
    ) throws -> R {
        let world = World(seed: seed)
        let host = world.host("node")
        return try world.run { try await body(world, host, try TestRepository.make(on: host.system)) }
    }

    @Test func storesAndReadsUnderEveryCIDOfTheHash() throws {
        try withRepository { _, _, repository in
            let block = TestBlocks.node([], data: "hello")
            try await repository.blocks.put([block])
            #expect(try await repository.blocks.get(block.cid) == block.bytes)
            #expect(try await repository.blocks.get(try #require(block.cid.v0)) == block.bytes)
            #expect(try await repository.blocks.get(try CID(codec: .raw, hash: block.cid.multihash)) == block.bytes)
            #expect(try await repository.blocks.size(of: block.cid) == block.bytes.count)
            #expect(try await repository.blocks.has(block.cid))
            let other = TestBlocks.raw("other")
            #expect(try await repository.blocks.get(other.cid) == nil)
            #expect(try await !repository.blocks.has(other.cid))
            await #expect(throws: BlockStoreError.notFound(other.cid)) { try await repository.blocks.block(other.cid) }
            let all = try await repository.blocks.get([other.cid, block.cid])
            #expect(all == [.missing, .found(block.bytes)])
        }
    }

    @Test func identityCIDsNeedNoStore() throws {
        try withRepository { _, _, repository in
            let cid = try CID(codec: .raw, hash: try Multihash(.identity, digest: "inline"))
            #expect(try await repository.blocks.get(cid) == "inline")
            #expect(try await repository.blocks.size(of: cid) == 6)
            try await repository.blocks.put([Block(cid: cid, bytes: "inline")])
            #expect(try repository.blocks.totals().blocks == 0)
        }
    }

    @Test func corruptedBlocksAreReportedOnceAndNeverServed() throws {
        var options = WorldOptions()
        options.logLevel = .warning
        let world = World(seed: 2, options: options)
        let host = world.host("node")
        try world.run {
            let repository = try TestRepository.make(on: host.system)
            let good = TestBlocks.raw("good")
            let bad = TestBlocks.raw("bad")
            try await repository.blocks.put([good, bad])
            try await TestRepository.corrupt(bad.cid, repository)
            for _ in 0..<3 {
                await #expect(throws: BlockStoreError.corrupted(bad.cid)) { try await repository.blocks.get(bad.cid) }
            }
            let batch = try await repository.blocks.get([bad.cid, good.cid])
            #expect(batch == [.unusable(.corrupted(bad.cid)), .found(good.bytes)])
            #expect(repository.blocks.corruptionsSeen == 1)
            var found: [Multihash] = []
            let checked = try await repository.blocks.verifyAll { found.append(contentsOf: $0.corrupted) }
            #expect(found == [bad.cid.multihash])
            #expect(checked == 2)
            // Storing the right bytes again heals.
            try await repository.blocks.put([bad])
            #expect(try await repository.blocks.get(bad.cid) == bad.bytes)
            #expect(try repository.blocks.totals().bytes == good.bytes.count + bad.bytes.count)
        }
        #expect(world.records.filter { $0.contains("corrupted") }.count == 1)
    }

    @Test func unknownHashFunctionsAreRefused() throws {
        try withRepository { _, _, repository in
            let cid = try CID(codec: .raw, hash: try Multihash(Multicodec(rawValue: 0x3fff), digest: "0123456789abcdef"))
            try await repository.blocks.put([Block(cid: cid, bytes: "x")])
            await #expect(throws: BlockStoreError.unknownHash(cid)) { try await repository.blocks.get(cid) }
        }
    }

    @Test func countersFollowEveryChange() throws {
        try withRepository { _, _, repository in
            let tree = TestTree(seed: 3, leaves: 40)
            try await repository.blocks.put(tree.blocks)
            try await repository.blocks.put(tree.blocks)
            let size = tree.blocks.reduce(0) { $0 + $1.bytes.count }
            #expect(try repository.blocks.totals() == (tree.blocks.count, size))
            let removed = try await repository.blocks.removeUnprotected(tree.blocks.prefix(10).map(\.cid.multihash), durable: true)
            #expect(removed.count == 10)
            let rest = tree.blocks.dropFirst(10).reduce(0) { $0 + $1.bytes.count }
            #expect(try repository.blocks.totals() == (tree.blocks.count - 10, rest))
            let statistics = try repository.statistics()
            #expect(statistics.objects == tree.blocks.count - 10 && statistics.blockBytes == rest && statistics.path == "/repo")
        }
    }

    @Test func keysComeInPages() throws {
        try withRepository { _, _, repository in
            let tree = TestTree(seed: 4, leaves: 30)
            try await repository.blocks.put(tree.blocks)
            var seen: [Multihash] = []
            while true {
                let page = try await repository.blocks.keys(after: seen.last, limit: 7)
                if page.isEmpty { break }
                seen += page
            }
            #expect(Set(seen) == Set(tree.blocks.map(\.cid.multihash)) && seen.count == tree.blocks.count)
        }
    }

    @Test func oversizedBlocksAreRefused() throws {
        try withRepository { _, _, repository in
            let size = BlockStoreLimits.block.bytes + 1
            let block = TestBlocks.raw(Bytes([UInt8](repeating: 0, count: size)))
            await #expect(throws: BlockStoreError.tooLarge(block.cid, bytes: size)) { try await repository.blocks.put([block]) }
        }
    }

    @Test func writerPinsWithItsLastBlocks() throws {
        try withRepository { _, _, repository in
            let tree = TestTree(seed: 5, leaves: 100, leafSize: 200_000)
            try await repository.blocks.guarded { blockGuard in
                try await BlockWriter.run(into: repository.blocks, under: blockGuard) { writer in
                    for block in tree.blocks { try await writer.write([block]) }
                    #expect(try repository.pins.count() == 0)
                    try await writer.finish(pins: [Pin(tree.root, .recursive, name: "tree")])
                }
            }
            #expect(try repository.pins.pin(tree.root) == Pin(tree.root, .recursive, name: "tree"))
            #expect(try await TestRepository.isWhole(tree.root, repository))
        }
    }

    @Test func writerReportsAFullDisk() throws {
        try withRepository { _, host, repository in
            host.disk.fillUp(leaving: 9 << 20)
            let tree = TestTree(seed: 6, leaves: 100, leafSize: 200_000)
            await #expect(throws: StoreError.full) {
                try await repository.blocks.guarded { blockGuard in
                    try await BlockWriter.run(into: repository.blocks, under: blockGuard) { writer in
                        for block in tree.blocks { try await writer.write([block]) }
                        try await writer.finish(pins: [Pin(tree.root, .recursive)])
                    }
                }
            }
            let count = try repository.pins.count()
            #expect(count == 0)
        }
    }

    @Test func fingerprintsDistinguish() {
        var set = KeySet()
        let keys = (0..<2000).map { TestBlocks.raw("\($0)").cid.multihash }
        for key in keys {
            let isNew = set.insert(key)
            #expect(isNew)
        }
        for key in keys {
            let isNew = set.insert(key)
            #expect(set.contains(key) && !isNew)
        }
        #expect(!set.contains(TestBlocks.raw("else").cid.multihash))
    }

    @Test func comparesEveryByte() {
        var random = TestRandom(7)
        let bytes = random.bytes(100)
        for index in 0..<100 {
            var changed = bytes.array
            changed[index] ^= 1
            #expect(!bytes.withUnsafeBytes { left in changed.withUnsafeBytes { BlockHash.equal(left, $0) } })
        }
        #expect(bytes.withUnsafeBytes { left in bytes.array.withUnsafeBytes { BlockHash.equal(left, $0) } })
    }
}
