import Testing
import WaggleBase
import WaggleFormats

@testable import WaggleContent

/// Graphs that someone made to hurt.
@Suite struct UnixFSAdversaryTests {
    private let blocks = MemoryBlocks()

    private func put(_ data: UnixFSData?, _ links: [PBLink] = []) -> CID {
        let bytes = PBNode(links: links, data: data?.encode()).encode()
        let cid = TestBlocks.cid(bytes, .dagPB)
        blocks.add([Block(cid: cid, bytes: bytes)])
        return cid
    }

    private func file(_ children: [(CID, UInt64)], size: UInt64? = nil) -> CID {
        put(
            UnixFSData(kind: .file, fileSize: size ?? children.reduce(0) { $0 &+ $1.1 }, blockSizes: children.map(\.1)),
            children.map { PBLink(hash: $0.0, name: "", size: 0) })
    }

    private func raw(_ text: String) -> CID {
        let block = TestBlocks.raw(text)
        blocks.add([block])
        return block.cid
    }

    private func fault(_ cid: CID) async -> UnixFSFault? {
        do {
            _ = try await TestUnixFS.read(cid, blocks)
            return nil
        } catch UnixFSError.malformed(_, let fault) {
            return fault
        } catch {
            return nil
        }
    }

    @Test func sizesMustBeTrue() async {
        let leaf = raw("four")
        #expect(await fault(file([(leaf, 4)])) == nil)
        #expect(await fault(file([(leaf, 5)])) == .size)
        #expect(await fault(file([(leaf, 3)])) == .size)
        #expect(await fault(file([(leaf, 4)], size: 9)) == .size)
        #expect(await fault(file([(file([(leaf, 4)]), 5)])) == .size)
        #expect(await fault(file([(leaf, .max), (leaf, 4)])) == .size)
        #expect(await fault(file([(leaf, UInt64(Int64.max)), (leaf, 4)])) == .size)
        #expect(await fault(put(UnixFSData(kind: .file, data: "abc", fileSize: 4))) == .size)
        #expect(await fault(put(UnixFSData(kind: .file, fileSize: 4, blockSizes: []), [PBLink(hash: leaf, name: "", size: 4)])) == .blockSizes)
        #expect(await fault(put(UnixFSData(kind: .file, fileSize: 8, blockSizes: [4, 4]), [PBLink(hash: leaf, name: "", size: 4)])) == .blockSizes)
    }

    @Test func leavesMustBeContent() async {
        let directory = put(UnixFSData(kind: .directory))
        let link = put(UnixFSData(kind: .symlink, data: "four"))
        let bare = put(nil)
        for child in [directory, link, bare] { #expect(await fault(file([(child, 4)])) == .leaf) }
        #expect(await fault(put(UnixFSData(kind: .metadata, data: "x"))) == nil)
    }

    @Test func emptySubtreesAreNotVisited() async throws {
        // 100 links to 100 links to … nothing: a walk would take 100^20 steps.
        var empty = put(UnixFSData(kind: .file, fileSize: 0))
        for _ in 0..<20 { empty = file(Array(repeating: (empty, 0), count: 100)) }
        let root = file([(empty, 0), (raw("four"), 4), (empty, 0)])
        blocks.forget()
        #expect(try await TestUnixFS.read(root, blocks) == "four")
        #expect(blocks.fetched.count == 2)
    }

    @Test func hugeFilesOfSharedBlocksStream() async throws {
        // 2 × 50^9 bytes out of eleven blocks.
        var node = raw("ab")
        var size: UInt64 = 2
        for _ in 0..<9 {
            node = file(Array(repeating: (node, size), count: 50))
            size *= 50
        }
        var reader = try await FileReader(node, from: blocks)
        #expect(reader.size == size)
        for _ in 0..<500 { #expect(try await reader.next() == "ab") }
        #expect(try await TestUnixFS.read(node, blocks, offset: size / 2 + 1, length: 4) == "baba")
        #expect(try await TestUnixFS.read(node, blocks, offset: size - 1) == "b")
    }

    @Test func depthIsLimited() async {
        var node = raw("four")
        for _ in 0..<UnixFSLimits.fileDepth { node = file([(node, 4)]) }
        #expect(await fault(node) == nil)
        #expect(await fault(file([(node, 4)])) == .depth)
    }

    // MARK: Shards

    private func shard(_ links: [(slot: Int, name: String, cid: CID)], fanout: UInt64 = 256, hash: UInt64? = 0x22, field: Bytes? = nil) -> CID {
        let slots = ShardSlots(fanout: 256)!
        return put(
            UnixFSData(kind: .hamtShard, data: field ?? slots.bitField(links.map(\.slot)), hashType: hash, fanout: fanout),
            links.map { PBLink(hash: $0.cid, name: slots.label($0.slot) + $0.name, size: 1) })
    }

    private func list(_ cid: CID) async throws -> Int {
        var reader = try await DirectoryReader(cid, from: blocks)
        return try await reader.all().count
    }

    @Test func shardsMustBePossible() async throws {
        let leaf = raw("x")
        let slot = ShardSlots(fanout: 256)!.slot(ShardSlots.hash("name"), level: 0)
        #expect(try await list(shard([(slot, "name", leaf)])) == 1)
        #expect(try await list(shard([])) == 0)
        for bad in [
            shard([(slot, "name", leaf)], fanout: 0), shard([(slot, "name", leaf)], fanout: 255), shard([(slot, "name", leaf)], fanout: 4),
            shard([(slot, "name", leaf)], fanout: 1 << 40), shard([(slot, "name", leaf)], fanout: 2048),
            shard([(slot, "name", leaf)], hash: 0x12), shard([(slot, "name", leaf)], hash: nil),
            shard([(slot, "name", leaf)], field: Bytes()), shard([(slot, "name", leaf)], field: Bytes([UInt8](repeating: 255, count: 32))),
            shard([(slot, "name", leaf)], field: Bytes([1] + [UInt8](repeating: 0, count: 32))),
            shard([(slot ^ 1, "name", leaf)]),
            put(UnixFSData(kind: .hamtShard, data: ShardSlots(fanout: 256)!.bitField([slot]), hashType: 0x22, fanout: 256),
                [PBLink(hash: leaf, name: "Z", size: 1)]),
        ] {
            await #expect(throws: UnixFSError.self) { try await list(bad) }
        }
    }

    @Test func shardBombsEnd() async throws {
        // Every slot of every level leads to the same shard: 256^8 entries if it were followed.
        let leaf = raw("x")
        let slots = ShardSlots(fanout: 256)!
        let hash = ShardSlots.hash("name")
        var node = shard([(slots.slot(hash, level: 7), "name", leaf)])
        for level in (1..<7).reversed() { node = shard([(slots.slot(hash, level: level), "", node)]) }
        let honest = shard([(slots.slot(hash, level: 0), "", node)])
        #expect(try await list(honest) == 1)
        let root = try await UnixFSNode.load(honest, from: blocks)
        #expect(try await DirectoryReader.find("name", in: root, from: blocks)?.cid == leaf)
        let bomb = shard((0..<256).map { ($0, "", node) })
        await #expect(throws: UnixFSError.self) { try await list(bomb) }
        blocks.forget()
        // Shards without entries, which would be walked without ever giving one.
        var empty = shard([])
        for _ in 0..<7 { empty = shard((0..<256).map { ($0, "", empty) }) }
        await #expect(throws: UnixFSError.self) { try await list(empty) }
        #expect(blocks.fetched.count < 20)
        // Deeper than the hash.
        var deep = shard([(0, "name", leaf)])
        for _ in 0..<9 { deep = shard([(0, "", deep)]) }
        await #expect(throws: UnixFSError.self) { try await list(deep) }
    }

    // MARK: Names

    @Test(arguments: ["", ".", "..", "a/b", "/", "a\0b", "../../etc/passwd"]) func unsafeNamesAreRefused(_ name: String) async throws {
        let leaf = raw("x")
        let directory = put(UnixFSData(kind: .directory), [PBLink(hash: leaf, name: name, size: 1)])
        var reader = TreeReader(directory, from: blocks)
        _ = try await reader.next()
        await #expect(throws: UnixFSError.unsafeName(name)) { _ = try await reader.next() }
        var builder = DirectoryBuilder(ImportOptions())
        #expect(throws: UnixFSError.unsafeName(name)) { try builder.add(name, ImportedNode(cid: leaf, size: 1, content: 1)) }
    }

    @Test func aLinkCannotBeWrittenThrough() async throws {
        let link = put(UnixFSData(kind: .symlink, data: "/etc"))
        let inner = put(UnixFSData(kind: .directory), [PBLink(hash: raw("x"), name: "passwd", size: 1)])
        let directory = put(
            UnixFSData(kind: .directory), [PBLink(hash: link, name: "a", size: 1), PBLink(hash: inner, name: "a", size: 1)])
        var reader = TreeReader(directory, from: blocks)
        _ = try await reader.next()
        _ = try await reader.next()
        await #expect(throws: UnixFSError.exists("a")) { _ = try await reader.next() }
    }

    @Test func everyCutOfABlockIsAnErrorOrANode() throws {
        let leaf = raw("x")
        for cid in [
            file([(leaf, 1), (leaf, 1)]), shard([(3, "a", leaf)]),
            put(UnixFSData(kind: .directory, mode: 0o755, modified: UnixFSTime(seconds: -1, nanoseconds: 7)), [PBLink(hash: leaf, name: "a", size: 1)]),
        ] {
            let block = blocks.all[cid]!
            for length in 0..<block.count {
                _ = Self.survives(cid, block.prefix(length))
            }
            var random = TestRandom(9)
            for _ in 0..<2000 {
                var bytes = block.array
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                _ = Self.survives(cid, Bytes(bytes))
            }
        }
    }
    /// Decodes a block as everything it could be; false for a typed error.
    private static func survives(_ cid: CID, _ block: Bytes) -> Bool {
        do {
            let node = try UnixFSNode(cid: cid, block: block)
            if node.kind == .shard {
                let shard = try Shard(node)
                if shard.count > 0 { _ = try shard.child(0) }
            }
            if node.kind == .file { _ = try FileReadMachine(node, range: 0..<node.content, aheadBytes: 1, aheadBlocks: 1) }
            return true
        } catch {
            return false
        }
    }
}
