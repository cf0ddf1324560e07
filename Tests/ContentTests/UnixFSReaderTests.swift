import Testing
import WaggleBase
import WaggleFormats

@testable import WaggleContent

@Suite struct UnixFSReaderTests {
    private func file(_ size: Int, chunk: Int = 10, links: Int = 3, raw: Bool = true) throws -> (Bytes, ImportedNode, MemoryBlocks) {
        var options = ImportOptions()
        options.chunker = .size(chunk)
        options.fileLinks = links
        options.rawLeaves = raw
        let content = TestContent.make("random", seed: 3, size: size)
        let blocks = MemoryBlocks()
        return (content, try TestUnixFS.add(content, options, into: blocks), blocks)
    }

    @Test func rangesGiveTheirPartAndFetchNoMore() async throws {
        let (content, root, blocks) = try file(1000)
        let leaves = blocks.all.filter { $0.key.codec == .raw }.count
        for (offset, length) in [(0, 1), (0, 10), (5, 10), (9, 2), (990, 10), (995, 100), (999, 1), (1000, 5), (5000, 1), (0, 0), (123, 456)] {
            blocks.forget()
            let expected = content.dropFirst(offset).prefix(length)
            let part = try await TestUnixFS.read(root.cid, blocks, offset: UInt64(offset), length: UInt64(length))
            #expect(part == expected)
            let fetched = blocks.fetched.filter { $0.codec == .raw }.count
            #expect(fetched <= (expected.count + 9) / 10 + 1 && fetched < leaves)
        }
        #expect(try await TestUnixFS.read(root.cid, blocks, offset: .max, length: .max) == "")
        #expect(try await TestUnixFS.read(root.cid, blocks, offset: 7, length: .max) == content.dropFirst(7))
        let reader = try await FileReader(root.cid, from: blocks, offset: 990, length: 100)
        #expect(reader.size == 1000 && reader.length == 10)
    }

    @Test func bothWaysOfReadingAgree() async throws {
        for raw in [true, false] {
            let (content, root, blocks) = try file(5000, raw: raw)
            for ahead in [1, 2, 64] {
                var reader = try await FileReader(root.cid, from: blocks, aheadBytes: ahead * 10, aheadBlocks: ahead)
                var pieces: [UInt8] = []
                // Half one way, half the other.
                while pieces.count < 2500, let piece = try await reader.next() { pieces += piece.array }
                try await reader.forEach { pieces += $0.array }
                #expect(Bytes(pieces) == content)
                #expect(try await reader.next() == nil)
            }
        }
    }

    @Test func readsAheadWithinBounds() async throws {
        let (_, root, blocks) = try file(10_000, links: 8)
        let node = try await UnixFSNode.load(root.cid, from: blocks)
        for (bytes, count) in [(100, 64), (1000, 4), (1, 1), (1 << 20, 64)] {
            var machine = try FileReadMachine(node, range: 0..<10_000, aheadBytes: bytes, aheadBlocks: count)
            var outstanding: [FileReadMachine.Want] = []
            var held = 0
            var position = 0
            loop: while true {
                outstanding += machine.wants()
                #expect(outstanding.count + held <= count + 1)
                switch machine.next() {
                case .bytes(let piece): position += piece.count
                case .end: break loop
                case .wait:
                    // The last block that was asked for comes first.
                    let want = outstanding.removeLast()
                    try machine.supply(want.ticket, try await blocks.block(want.cid))
                }
                held = 0
            }
            #expect(position == 10_000)
        }
    }

    @Test func contentInInnerNodesIsRead() async throws {
        let leaf = TestBlocks.raw("leaf")
        let data = UnixFSData(kind: .file, data: "inner ", fileSize: 10, blockSizes: [4])
        let bytes = PBNode(links: [PBLink(hash: leaf.cid, name: "", size: 4)], data: data.encode()).encode()
        let blocks = MemoryBlocks()
        let root = Block(cid: TestBlocks.cid(bytes, .dagPB), bytes: bytes)
        blocks.add([leaf, root])
        #expect(try await TestUnixFS.read(root.cid, blocks) == "inner leaf")
        #expect(try await TestUnixFS.read(root.cid, blocks, offset: 3, length: 5) == "er le")
    }

    @Test func onlyFilesHaveContent() async throws {
        let blocks = MemoryBlocks()
        let directory = try DirectoryBuilder(ImportOptions()).finish { blocks.add([$0]) }
        await #expect(throws: UnixFSError.isDirectory(directory.cid)) { try await TestUnixFS.read(directory.cid, blocks) }
        let link = try await Symlink.write("target", .none, ImportOptions(), blocks)
        await #expect(throws: UnixFSError.wrongKind(link.cid, .symlink)) { try await TestUnixFS.read(link.cid, blocks) }
        let cbor = Block(cid: TestBlocks.cid("\u{1}", .dagCBOR), bytes: "\u{1}")
        blocks.add([cbor])
        await #expect(throws: UnixFSError.notUnixFS(cbor.cid)) { try await TestUnixFS.read(cbor.cid, blocks) }
    }

    @Test func aMissingBlockIsAnError() async throws {
        let (content, root, blocks) = try file(1000)
        let leaf = TestBlocks.raw(content[500..<510])
        blocks.remove(leaf.cid)
        await #expect(throws: MemoryBlocks.Missing(cid: leaf.cid)) { try await TestUnixFS.read(root.cid, blocks) }
        await #expect(throws: MemoryBlocks.Missing(cid: leaf.cid)) {
            var reader = try await FileReader(root.cid, from: blocks)
            try await reader.forEach { _ in }
        }
        #expect(try await TestUnixFS.read(root.cid, blocks, offset: 0, length: 500) == content.prefix(500))
    }

    // MARK: Directories

    private func directory(
        _ count: Int, _ blocks: MemoryBlocks, fanout: Int = 256, sharded: Bool = true
    ) throws -> (root: ImportedNode, names: [String: CID]) {
        var options = ImportOptions()
        options.shardThreshold = sharded ? 1 : 0
        options.shardFanout = fanout
        var builder = DirectoryBuilder(options)
        var names: [String: CID] = [:]
        for index in 0..<count {
            let node = try TestUnixFS.add("content \(index)", into: blocks)
            try builder.add("name-\(index)", node)
            names["name-\(index)"] = node.cid
        }
        return (try builder.finish { blocks.add([$0]) }, names)
    }

    @Test(arguments: [8, 16, 64, 256, 1024]) func shardsListAndFindEveryName(_ fanout: Int) async throws {
        let blocks = MemoryBlocks()
        let (root, names) = try directory(700, blocks, fanout: fanout)
        var reader = try await DirectoryReader(root.cid, from: blocks)
        let entries = try await reader.all()
        #expect(entries.count == names.count)
        #expect(Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.cid) }) == names)
        let node = try await UnixFSNode.load(root.cid, from: blocks)
        blocks.forget()
        for name in ["name-0", "name-5", "name-699"] {
            #expect(try await DirectoryReader.find(name, in: node, from: blocks)?.cid == names[name])
        }
        #expect(blocks.fetched.count <= 3 * 6, "a lookup fetches only the shards on its path")
        #expect(try await DirectoryReader.find("name-700", in: node, from: blocks) == nil)
        #expect(try await DirectoryReader.find("", in: node, from: blocks) == nil)
    }

    @Test func plainDirectoriesToo() async throws {
        let blocks = MemoryBlocks()
        let (root, names) = try directory(50, blocks, sharded: false)
        var reader = try await DirectoryReader(root.cid, from: blocks)
        let entries = try await reader.all()
        #expect(entries.map(\.name) == names.keys.sorted())
        #expect(try await entries[0].status(from: blocks).kind == .file)
        #expect(try await entries[0].status(from: blocks).content == 9)
        await #expect(throws: UnixFSError.limit(bytes: 50)) {
            var reader = try await DirectoryReader(root.cid, from: blocks)
            _ = try await reader.all(limit: 49)
        }
    }

    @Test func shardsDoNotDependOnTheOrder() throws {
        var options = ImportOptions()
        options.directoryLinks = 3
        let nodes = try (0..<300).map { ("entry \($0)", try TestUnixFS.add("\($0)")) }
        func build(_ nodes: [(String, ImportedNode)]) throws -> ImportedNode {
            var builder = DirectoryBuilder(options)
            for (name, node) in nodes { try builder.add(name, node) }
            return try builder.finish { _ in }
        }
        let expected = try build(nodes)
        var random = TestRandom(4)
        for _ in 0..<3 { #expect(try build(nodes.shuffled(using: &random)) == expected) }
        var builder = DirectoryBuilder(options)
        for (name, node) in nodes { try builder.add(name, node) }
        try builder.add("extra", nodes[0].1)
        #expect(builder.remove("extra") && !builder.remove("extra"))
        #expect(try builder.finish { _ in } == expected)
        #expect(throws: UnixFSError.exists("entry 7")) { try builder.add("entry 7", nodes[0].1) }
    }

    @Test func directoryLinksLimit() async throws {
        for (count, kind) in [(3, UnixFSNode.Kind.directory), (4, .shard)] {
            var options = ImportOptions()
            options.directoryLinks = 3
            options.sizeEstimation = .disabled
            let blocks = MemoryBlocks()
            var builder = DirectoryBuilder(options)
            for index in 0..<count { try builder.add("\(index)", try TestUnixFS.add("x")) }
            let root = try builder.finish { blocks.add([$0]) }
            #expect(try await UnixFSNode.load(root.cid, from: blocks).kind == kind)
        }
    }

    // MARK: Paths

    @Test func pathsAreParsed() throws {
        let cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
        for (text, clean) in [
            ("/ipfs/\(cid)", "/ipfs/\(cid)"), (cid, "/ipfs/\(cid)"), ("\(cid)/a/b", "/ipfs/\(cid)/a/b"), ("/ipfs/\(cid)//a/./b/", "/ipfs/\(cid)/a/b/"),
            ("/ipfs/\(cid)/a/../b", "/ipfs/\(cid)/b"), ("ipfs://\(cid)/a", "/ipfs/\(cid)/a"), ("/ipld/\(cid)/Links", "/ipld/\(cid)/Links"),
            ("/ipns/example.net/a", "/ipns/example.net/a"), ("ipns://example.net", "/ipns/example.net"),
        ] {
            #expect(try ContentPath(parsing: text).description == clean)
        }
        for bad in ["", "/", "/ipfs", "/ipfs/", "/ipfs/\(cid)/..", "/ipfs/nope", "nope", "/other/\(cid)", "../\(cid)", "/ipld/x"] {
            #expect(throws: ContentPathError.self, "\(bad)") { try ContentPath(parsing: bad) }
        }
        #expect(throws: ContentPathError.tooLong(bytes: 70_046)) { try ContentPath(parsing: cid + String(repeating: "/", count: 70_000)) }
        #expect(throws: ContentPathError.self) { try ContentPath(parsing: cid + String(repeating: "/a", count: 2000)) }
    }

    @Test func pathsAreFollowed() async throws {
        let blocks = MemoryBlocks()
        let (shards, names) = try directory(300, blocks)
        var builder = DirectoryBuilder(ImportOptions())
        try builder.add("shards", shards)
        let file = try TestUnixFS.add("file", into: blocks)
        try builder.add("file", file)
        let root = try builder.finish { blocks.add([$0]) }
        let resolver = PathResolver(blocks)
        let found = try await resolver.resolve(try ContentPath(parsing: "\(root.cid)/shards/name-77"))
        #expect(found.cid == names["name-77"] && found.remainder.isEmpty)
        #expect(found.blocks == [root.cid, shards.cid, found.cid])
        #expect(try await resolver.resolve(root.cid, []).cid == root.cid)
        for (path, missing, under) in [
            (["nope"], "nope", root.cid), (["shards", "x"], "x", shards.cid), (["file", "deeper"], "deeper", file.cid),
            (["nope", "deeper"], "nope", root.cid),
        ] {
            await #expect(throws: UnixFSError.noLink(name: missing, under: under)) { try await resolver.resolve(root.cid, path) }
        }
        let raw = TestBlocks.raw("raw")
        await #expect(throws: UnixFSError.noLink(name: "a", under: raw.cid)) { try await resolver.resolve(raw.cid, ["a"]) }
        #expect("\(UnixFSError.noLink(name: "x", under: root.cid))" == "no link named \"x\" under \(root.cid)")
    }

    @Test func pathsGoThroughTheDataModel() async throws {
        let blocks = MemoryBlocks()
        let file = try TestUnixFS.add("file", into: blocks)
        let value: Value = ["list": [1, ["to": .link(file.cid)]], "text": "here"]
        let bytes = try DagCBOR.encode(value)
        let root = Block(cid: TestBlocks.cid(bytes, .dagCBOR), bytes: bytes)
        blocks.add([root])
        let resolver = PathResolver(blocks)
        #expect(try await resolver.resolve(root.cid, ["list", "1", "to"]).cid == file.cid)
        let text = try await resolver.resolve(root.cid, ["text"])
        #expect(text.cid == root.cid && text.remainder == ["text"] && text.value == "here")
        for path in [["list", "2"], ["list", "x"], ["text", "more"], ["none"], ["list", "-1"]] {
            await #expect(throws: UnixFSError.self) { try await resolver.resolve(root.cid, path) }
        }
        var builder = DirectoryBuilder(ImportOptions())
        try builder.add("a", file)
        let directory = try builder.finish { blocks.add([$0]) }
        #expect(try await resolver.resolve(directory.cid, ["Links", "0", "Hash"], namespace: .ipld).cid == file.cid)
        #expect(try await resolver.resolve(directory.cid, ["Links", "0", "Name"], namespace: .ipld).value == "a")
    }

    // MARK: Walks

    @Test func linksAreWalked() async throws {
        let blocks = MemoryBlocks()
        let leaf = TestBlocks.raw("leaf")
        let inner = TestBlocks.node([leaf.cid, leaf.cid])
        let root = TestBlocks.node([inner.cid, leaf.cid, inner.cid])
        blocks.add([leaf, inner, root])
        func walk(_ change: (inout LinkWalker.Options) -> Void = { _ in }) async throws -> [(CID, Int)] {
            var options = LinkWalker.Options()
            change(&options)
            var walker = LinkWalker([root.cid], from: blocks, options)
            var found: [(CID, Int)] = []
            while let edge = try await walker.next() { found.append((edge.cid, edge.depth)) }
            return found
        }
        let all = try await walk()
        #expect(all.map(\.0) == [inner.cid, leaf.cid, leaf.cid, leaf.cid, inner.cid, leaf.cid, leaf.cid])
        #expect(all.map(\.1) == [1, 2, 2, 1, 1, 2, 2])
        #expect(try await walk { $0.unique = true }.map(\.0) == [inner.cid, leaf.cid])
        #expect(try await walk { $0.maximumDepth = 1 }.map(\.0) == [inner.cid, leaf.cid, inner.cid])
        #expect(try await walk { $0.maximumDepth = 0 }.isEmpty)
        #expect(try await walk { $0.maximumDepth = 1; $0.unique = true }.map(\.0) == [inner.cid, leaf.cid])
        blocks.remove(leaf.cid)
        #expect(try await walk { $0.unique = true; $0.fetchesLeaves = false }.map(\.0) == [inner.cid, leaf.cid])
        await #expect(throws: MemoryBlocks.Missing(cid: leaf.cid)) { _ = try await walk() }
    }

    @Test func treesComeInOrder() async throws {
        let blocks = MemoryBlocks()
        let modified = UnixFSTime(seconds: 5)
        let log = try TestUnixFS.simulate { system in
            let tree = try TreeImporter(ImportOptions(), on: system, into: blocks)
            var text: Bytes? = "text"
            _ = try await tree.addFile(["b", "file"]) {
                defer { text = nil }
                return text
            }
            _ = try await tree.addSymlink(["a"], target: "b/file", metadata: UnixFSMetadata(modified: modified))
            try tree.addDirectory(["c"], metadata: UnixFSMetadata(mode: 0o750))
            let root = try await tree.finish().last!.node
            var reader = TreeReader(root.cid, from: blocks)
            var log: [String] = []
            while let item = try await reader.next() {
                switch item {
                case .directory(let path, let metadata): log.append("+\(path.joined(separator: "/")) \(metadata.mode ?? 0)")
                case .leave(let path, _): log.append("-\(path.joined(separator: "/"))")
                case .file(let path, let node): log.append("\(path.joined(separator: "/")) \(node.content)")
                case .symlink(let path, let target, let metadata):
                    log.append("\(path.joined(separator: "/"))>\(target) \(metadata.modified!.seconds)")
                }
            }
            return log
        }
        #expect(log == ["+ 0", "a>b/file 5", "+b 0", "b/file 4", "-b", "+c 488", "-c", "-"])
    }
}
