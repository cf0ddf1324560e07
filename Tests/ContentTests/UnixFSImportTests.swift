import Synchronization
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats

@testable import WaggleContent

@Suite struct UnixFSImportTests {
    private static let layouts: [ImportOptions.Layout] = [.balanced, .trickle]

    private func small(_ layout: ImportOptions.Layout = .balanced, links: Int = 3, raw: Bool = false) -> ImportOptions {
        var options = ImportOptions()
        options.chunker = .size(10)
        options.layout = layout
        options.fileLinks = links
        options.rawLeaves = raw
        return options
    }

    /// The layouts as the other implementation describes them: by recursion over all chunks.
    private enum Reference {
        static func leaves(_ count: Int, _ kind: UnixFSData.Kind) throws -> [FileLink] {
            let maker = BlockMaker(ImportOptions())
            return try (0..<count).map { index in
                let data = Bytes([UInt8(index & 255), UInt8(index >> 8)])
                let block = PBNode(data: UnixFSData(kind: kind, data: data, fileSize: 2).encode()).encode()
                return FileLink(cid: try maker.make(block, codec: .dagPB).cid, size: UInt64(block.count), content: 2)
            }
        }

        static func balanced(_ leaves: [FileLink], _ width: Int, _ nodes: inout FileNodeWriter) throws -> FileLink {
            var rest = leaves[...]
            var root = rest.removeFirst()
            var depth = 1
            while !rest.isEmpty {
                root = try fill([root], depth, &rest, width, &nodes)
                depth += 1
            }
            return root
        }

        private static func fill(
            _ start: [FileLink], _ depth: Int, _ rest: inout ArraySlice<FileLink>, _ width: Int, _ nodes: inout FileNodeWriter
        ) throws -> FileLink {
            var links = start
            while links.count < width, !rest.isEmpty {
                links.append(depth == 1 ? rest.removeFirst() : try fill([], depth - 1, &rest, width, &nodes))
            }
            return try nodes.write(links)
        }

        static func trickle(
            _ rest: inout ArraySlice<FileLink>, limit: Int?, _ width: Int, _ nodes: inout FileNodeWriter
        ) throws -> FileLink {
            var links: [FileLink] = []
            while links.count < width, !rest.isEmpty { links.append(rest.removeFirst()) }
            var depth = 1
            while limit.map({ depth < $0 }) ?? true, !rest.isEmpty {
                for _ in 0..<4 where !rest.isEmpty { links.append(try trickle(&rest, limit: depth, width, &nodes)) }
                depth += 1
            }
            return try nodes.write(links)
        }
    }

    @Test(arguments: [2, 3, 5], layouts) func layoutsAgreeWithTheirDefinition(_ width: Int, _ layout: ImportOptions.Layout) throws {
        var options = ImportOptions()
        options.chunker = .size(2)
        options.fileLinks = width
        options.layout = layout
        for count in Array(1...70) + [124, 125, 126, 127, 128, 129, 243, 244, 600] {
            var nodes = FileNodeWriter(maker: BlockMaker(options))
            let leaves = try Reference.leaves(count, layout == .trickle ? .raw : .file)
            let expected: FileLink
            if layout == .balanced {
                expected = try Reference.balanced(leaves, width, &nodes)
            } else {
                var rest = leaves[...]
                expected = try Reference.trickle(&rest, limit: nil, width, &nodes)
            }
            let content = Bytes((0..<count).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] })
            let node = try TestUnixFS.add(content, options)
            #expect(node.cid == expected.cid, "\(count) leaves")
            #expect(node.size == expected.size)
            #expect(node.content == UInt64(2 * count))
        }
    }

    @Test func piecesDoNotMatter() throws {
        let content = TestContent.make("random", seed: 5, size: 300_000)
        for chunker in [ChunkerOptions.size(1000), .size(262_144), .rabin(minimum: 100, average: 1000, maximum: 3000), .buzhash] {
            for raw in [true, false] {
                var options = ImportOptions()
                options.chunker = chunker
                options.rawLeaves = raw
                let whole = try TestUnixFS.add(content, options)
                for piece in [1, 999, 4096, 262_145] {
                    #expect(try TestUnixFS.add(content, options, piece: piece) == whole, "\(chunker) \(piece)")
                }
            }
        }
    }

    @Test func everyLayoutReadsBack() async throws {
        let content = TestContent.make("random", seed: 6, size: 2345)
        for layout in Self.layouts {
            for raw in [true, false] {
                for size in [0, 1, 9, 10, 11, 30, 31, 300, 2345] {
                    let blocks = MemoryBlocks()
                    let root = try TestUnixFS.add(content.prefix(size), small(layout, raw: raw), into: blocks)
                    #expect(try await TestUnixFS.read(root.cid, blocks) == content.prefix(size))
                    var walker = LinkWalker([root.cid], from: blocks)
                    var total = UInt64(blocks.all[root.cid]!.count)
                    while let edge = try await walker.next() { total += UInt64(edge.blockBytes!) }
                    #expect(total == root.size, "the size counts every block as often as it is linked")
                    #expect(root.content == UInt64(size))
                }
            }
        }
    }

    @Test func inlining() async throws {
        let options = try TestUnixFS.options {
            $0.inline = true
            $0.inlineLimit = 32
            $0.chunker = "size-20"
        }
        let blocks = MemoryBlocks()
        let small = try TestUnixFS.add("tiny", options, into: blocks)
        #expect(small.cid.hashCode == .identity)
        #expect(small.cid.version == .v1)
        #expect(small.cid.codec == .dagPB)
        #expect(blocks.count == 0)
        #expect(try await TestUnixFS.read(small.cid, blocks) == "tiny")
        // Leaves fit into their CIDs, the root does not.
        let text = Bytes(utf8: String(repeating: "0123456789", count: 5))
        let large = try TestUnixFS.add(text, options, into: blocks)
        #expect(large.cid.version == .v0)
        #expect(blocks.count == 1)
        #expect(try await TestUnixFS.read(large.cid, blocks) == text)
        // A limit of zero inlines nothing but raw leaves without content.
        #expect(try TestUnixFS.add("", try TestUnixFS.options {
            $0.inline = true
            $0.inlineLimit = 0
            $0.rawLeaves = true
        }).cid.description == "bafkqaaa")
        #expect(throws: ImportOptionError.inlineLimit(129)) {
            try TestUnixFS.options {
                $0.inline = true
                $0.inlineLimit = 129
            }
        }
    }

    @Test func flagsImplyEachOther() throws {
        let modern = try TestUnixFS.options { $0.cidVersion = 1 }
        #expect(modern.rawLeaves && modern.cidVersion == .v1)
        #expect(try TestUnixFS.options { $0.hash = "SHA3-256" }.cidVersion == .v1)
        #expect(try TestUnixFS.options { $0.hash = "sha2-256" }.cidVersion == .v0)
        #expect(try TestUnixFS.options { $0.preserveMode = true; $0.cidVersion = 1 }.rawLeaves == false)
        #expect(try TestUnixFS.options { $0.maxFileLinks = 0 }.fileLinks == 174)
        #expect(throws: ImportOptionError.version0NeedsSHA256) { try TestUnixFS.options { $0.hash = "sha3-256"; $0.cidVersion = 0 } }
        #expect(throws: ImportOptionError.cidVersion(2)) { try TestUnixFS.options { $0.cidVersion = 2 } }
        for bad in ["md5", "", "dag-pb", "murmur3-x64-64", "blake2b-64", "sha-9"] {
            #expect(throws: ImportOptionError.self, "\(bad)") { try TestUnixFS.options { $0.hash = bad } }
        }
        for bad in [0, 4, 7, 12, 2048, -8] {
            #expect(throws: ImportOptionError.fanout(bad)) { try TestUnixFS.options { $0.maxShardFanout = bad } }
        }
        for bad in [1, 40_000] { #expect(throws: ImportOptionError.fileLinks(bad)) { try TestUnixFS.options { $0.maxFileLinks = bad } } }
        #expect(throws: ImportOptionError.self) { try TestUnixFS.options { $0.rawLeaves = true; $0.preserveModified = true } }
    }

    @Test(arguments: [
        "sha1", "sha2-256", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512", "shake-256", "keccak-256", "keccak-512",
        "dbl-sha2-256", "blake2b-160", "blake2b-256", "blake2b-512", "blake2s-256",
    ]) func everyHash(_ name: String) async throws {
        let options = try TestUnixFS.options {
            $0.hash = name
            $0.chunker = "size-100"
        }
        let content = TestContent.make("random", seed: 8, size: 1000)
        let blocks = MemoryBlocks()
        let root = try TestUnixFS.add(content, options, into: blocks)
        #expect(root.cid.hashCode.name == name)
        for (cid, bytes) in blocks.all {
            #expect(bytes.withUnsafeBytes { Hashing.matches(cid.hashCode.rawValue, digest: cid.digest.span, data: $0) } == true)
        }
        #expect(try await TestUnixFS.read(root.cid, blocks) == content)
    }

    @Test func importerMatchesTheMachine() throws {
        for size in [0, 1, 100_000, 262_144, 3_000_000, 9_000_000] {
            let content = TestContent.make("random", seed: UInt64(size), size: size)
            for raw in [false, true] {
                let result = try TestUnixFS.simulate { system in
                    var options = ImportOptions()
                    options.rawLeaves = raw
                    let blocks = MemoryBlocks()
                    let importer = try FileImporter(options, on: system, into: blocks)
                    var offset = 0
                    var seen: UInt64 = 0
                    let root = try await importer.add { seen = $0 } reading: {
                        guard offset < content.count else { return nil }
                        let piece = content[offset..<min(offset + 300_000, content.count)]
                        offset += piece.count
                        return piece
                    }
                    #expect(seen == UInt64(size))
                    #expect(try TestUnixFS.add(content, options) == root)
                    #expect(try await TestUnixFS.read(root.cid, blocks) == content)
                    // Only hashing gives the same.
                    var pieces = [content][...]
                    let hashed = try await FileImporter(options, on: system, into: nil).add { pieces.popFirst() }
                    #expect(hashed == root)
                    return root
                }
                #expect(result.content == UInt64(size))
            }
        }
    }

    @Test func memoryIsBoundedBehindASlowSink() throws {
        /// Takes a while for each write.
        final class Slow: BlockSink {
            let taken = Mutex(0)
            let loop: any EventLoop
            init(_ loop: any EventLoop) { self.loop = loop }

            func write(_ blocks: [Block]) async throws {
                try await loop.run { try await self.loop.sleep(until: self.loop.now + .milliseconds(100)) }
                taken.withLock { $0 += blocks.reduce(0) { $0 + $1.bytes.count } }
            }
        }
        let piece = TestContent.make("random", seed: 2, size: 1 << 20)
        for raw in [true, false] {
            try TestUnixFS.simulate { system in
                var options = ImportOptions()
                options.rawLeaves = raw
                let sink = Slow(system.home)
                var read = 0
                var most = 0
                let root = try await FileImporter(options, on: system, into: sink).add {
                    most = max(most, read - sink.taken.withLock { $0 })
                    guard read < 64 << 20 else { return nil }
                    read += piece.count
                    return piece
                }
                #expect(root.content == 64 << 20)
                #expect(most <= 4 * (UnixFSLimits.hashJobBytes + piece.count))
            }
        }
    }

    @Test func aFailingReaderOrSinkEndsTheImport() throws {
        struct Broken: Error {}
        final class Full: BlockSink {
            func write(_ blocks: [Block]) async throws { throw Broken() }
        }
        let content = TestContent.make("random", seed: 1, size: 5_000_000)
        try TestUnixFS.simulate { system in
            var count = 0
            await #expect(throws: Broken.self) {
                try await FileImporter(ImportOptions(), on: system, into: MemoryBlocks()).add {
                    count += 1
                    if count == 4 { throw Broken() }
                    return content
                }
            }
            var pieces = [content, content][...]
            await #expect(throws: Broken.self) {
                try await FileImporter(ImportOptions(), on: system, into: Full()).add { pieces.popFirst() }
            }
        }
    }
}
