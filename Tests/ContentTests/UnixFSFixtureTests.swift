import Foundation
import Testing
import WaggleBase
import WaggleFormats

@testable import WaggleContent

/// Graphs that other tools wrote.
@Suite struct UnixFSFixtureTests {
    /// The roots and blocks of a CARv1 file.
    static func load(_ url: URL) throws -> (roots: [CID], blocks: MemoryBlocks) {
        let file = Bytes([UInt8](try Data(contentsOf: url)))
        var reader = ByteReader(file.span)
        var roots: [CID] = []
        let blocks = MemoryBlocks()
        var isHeader = true
        while !reader.isAtEnd {
            guard let length = reader.varint().map({ Int($0) }) else { throw CIDError.malformed }
            let start = file.count - reader.remaining
            let section = file[start..<start + length]
            _ = reader.take(length)
            if isHeader {
                roots = try DagCBOR.decode(section, .relaxed).links
                isHeader = false
                continue
            }
            var inner = ByteReader(section.span)
            let cid = try CID.decode(from: &inner)
            blocks.add([Block(cid: cid, bytes: section.dropFirst(section.count - inner.remaining))])
        }
        return (roots, blocks)
    }

    /// Every path below `root` with what is there; nil where blocks are not in the file.
    static func list(_ root: CID, _ blocks: MemoryBlocks) async throws -> [String]? {
        var reader = TreeReader(root, from: blocks)
        var log: [String] = []
        do {
            while let item = try await reader.next() {
                switch item {
                case .directory(let path, let metadata): log.append("\(path.joined(separator: "/"))/ \(metadata.mode ?? 0)")
                case .leave: break
                case .symlink(let path, let target, _): log.append("\(path.joined(separator: "/")) > \(target)")
                case .file(let path, let node):
                    var file = try FileReader(node, from: blocks)
                    var count: UInt64 = 0
                    try await file.forEach { count += UInt64($0.count) }
                    #expect(count == node.content)
                    log.append("\(path.joined(separator: "/")) \(count)")
                }
            }
        } catch is MemoryBlocks.Missing {
            return nil
        }
        return log
    }

    /// A sharded directory written again from its entries.
    static func rebuild(_ root: CID, _ blocks: MemoryBlocks) async throws -> CID {
        var reader = try await DirectoryReader(root, from: blocks)
        var options = ImportOptions()
        options.cidVersion = root.version
        options.shardThreshold = 1
        options.shardFanout = Int(reader.node.fanout)
        var builder = DirectoryBuilder(options, metadata: reader.node.metadata)
        for entry in try await reader.all() { try builder.add(entry.name, ImportedNode(cid: entry.cid, size: entry.size, content: 0)) }
        return try builder.finish { _ in }.cid
    }

    static let folder = TestUnixFS.vectors.appending(path: "car")

    @Test(arguments: try! FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()) func graphsAreRead(_ name: String) async throws {
        let (roots, blocks) = try Self.load(Self.folder.appending(path: name))
        #expect(!roots.isEmpty)
        for (cid, bytes) in blocks.all where cid.codec == .dagPB {
            let node = try UnixFSNode(cid: cid, block: bytes)
            if node.kind == .shard, node.links.allSatisfy({ ($0.name ?? "").utf8.count > 2 }) { _ = try Shard(node) }
        }
        for root in roots where root.codec == .dagPB { _ = try await Self.list(root, blocks) }
    }

    @Test func manyLevelsOfShards() async throws {
        let (roots, blocks) = try Self.load(Self.folder.appending(path: "directory-with-multilayer-hamt-and-multiblock-files.car"))
        let list = try await Self.list(roots[0], blocks)
        #expect(list == [
            "/ 0", "basicDir/ 0", "basicDir/exampleA 1026", "basicDir/exampleB 887", "hamtDir/ 0", "hamtDir/exampleB 887",
            "hamtDir/exampleD-hamt-collide-exampleB-seed-364 1283", "hamtDir/exampleC-hamt-collide-exampleA-seed-52 962",
            "hamtDir/exampleA 1026",
        ])
        let directory = try await PathResolver(blocks).resolve(roots[0], ["hamtDir"]).cid
        #expect(try await Self.rebuild(directory, blocks) == directory)
        let file = try await PathResolver(blocks).resolve(roots[0], ["hamtDir", "exampleC-hamt-collide-exampleA-seed-52"])
        #expect(file.blocks.count == 3)
    }
}
