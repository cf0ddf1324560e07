import Foundation
import Testing
import WaggleBase
import WaggleFormats

/// One value of the IPLD codec fixtures in all codecs it has, by file extension.
struct IPLDFixture: CustomTestStringConvertible {
    var name: String
    var blocks: [String: (cid: CID, bytes: Bytes)] = [:]
    var testDescription: String { name }

    static let all: [IPLDFixture] = {
        let folder = vectors.appending(path: "ipld-codec-fixtures/fixtures")
        let names = try! FileManager.default.contentsOfDirectory(atPath: folder.path).filter { !$0.hasPrefix(".") }.sorted()
        return names.map { name in
            var fixture = IPLDFixture(name: name)
            for file in try! FileManager.default.contentsOfDirectory(at: folder.appending(path: name), includingPropertiesForKeys: nil) {
                let cid = CID(file.deletingPathExtension().lastPathComponent)!
                fixture.blocks[file.pathExtension] = (cid, Bytes([UInt8](try! Data(contentsOf: file))))
            }
            return fixture
        }
    }()
}

@Suite struct DagPBTests {
    @Test func fixtures() throws {
        let fixtures = IPLDFixture.all.filter { $0.blocks["dag-pb"] != nil }
        #expect(fixtures.count == 17)
        for fixture in fixtures {
            let block = try #require(fixture.blocks["dag-pb"])
            #expect(block.cid.codec == .dagPB)
            let node = try PBNode(block.bytes)
            #expect(node.encode() == block.bytes, "\(fixture.name)")
            #expect(try PBNode.links(of: block.bytes) == node.links.map(\.hash))
            verifyNoTrap(block.bytes) { _ = try PBNode($0) }
            // Whatever decodes and is sorted has one encoding, unless Data came first.
            for corrupt in corruptions(block.bytes) {
                guard let node = try? PBNode(corrupt), corrupt.first == 0x12 else { continue }
                #expect(try PBNode(node.encode()).links.count == node.links.count)
            }
        }
    }

    static let cid = "0155000500010203 04"

    @Test func sortsStably() throws {
        let hash = try #require(CID("bafkqabiaaebagba"))
        let names: [(String?, UInt64)] = [("b", 0), (nil, 1), ("a", 2), ("", 3), ("\u{e9}", 4), ("a", 5), ("Z", 6), ("e\u{301}", 7), ("aa", 8)]
        let node = PBNode(links: names.map { PBLink(hash: hash, name: $0, size: $1) }, data: "x")
        let again = try PBNode(node.encode())
        #expect(again.links.map(\.size) == [1, 3, 6, 2, 5, 8, 0, 7, 4])
        #expect(again.data == "x")
        #expect(again.encode() == node.encode())
    }

    @Test func emptyBlock() throws {
        #expect(try PBNode(Bytes()) == PBNode())
        #expect(PBNode().encode().isEmpty)
        #expect(PBNode(data: Bytes()).encode() == hex("0a00"))
    }

    @Test(arguments: [
        ("0a0101 120b0a09" + cid, nil), ("120b0a09\(cid) 0a0101", nil),
        ("120b0a09\(cid) 0a0101 120b0a09\(cid)", .splitLinks), ("0a0101 0a0101", .duplicateData),
        ("0a0101 120b0a09\(cid) 0a0101", .duplicateData), ("0a0101 0a00", .duplicateData), ("1200", .linkWithoutHash), ("1202 1200", .linkWithoutHash),
        ("1a00", .protobuf(.fieldNumber(3))), ("0801", .protobuf(.wireType(0, field: 1))), ("1001", .protobuf(.wireType(0, field: 2))),
        ("120d 1200 0a09\(cid)", .protobuf(.value(field: 1))), ("120f 0a09\(cid) 1800 1200", .protobuf(.value(field: 2))),
        ("120f 0a09\(cid) 1200 1200", .protobuf(.value(field: 2))), ("120d 0a09\(cid) 2000", .protobuf(.fieldNumber(4))),
        ("1202 0a00", .link(.empty)), ("1204 0a02 0170", .link(.multihash(.malformed))), ("120c 0a0a\(cid)ff", .link(.trailingBytes(1))),
        ("120d 0a09\(cid) 1201", .protobuf(.truncated)), ("120e 0a09\(cid) 1201ff", .protobuf(.value(field: 2))),
        ("120b0a09", .protobuf(.truncated)),
    ] as [(String, DagPBError?)]) func strictness(_ text: String, _ error: DagPBError?) throws {
        if let error {
            #expect(throws: error) { try PBNode(hex(text)) }
        } else {
            #expect(try PBNode(hex(text)).links.count == 1)
        }
    }

    @Test func linksOfBlocksWithForeignNames() throws {
        let block = hex("120e 0a09\(DagPBTests.cid) 1201ff 0a00")
        #expect(try PBNode.links(of: block).map(\.description) == ["bafkqabiaaebagba"])
        #expect(throws: DagPBError.link(.empty)) { try PBNode.links(of: hex("12020a00")) }
    }
}

@Suite struct UnixFSDataTests {
    @Test func roundTrips() throws {
        let values: [UnixFSData] = [
            UnixFSData(kind: .directory),
            UnixFSData(kind: .file, data: "hello", fileSize: 5),
            UnixFSData(kind: .raw, data: Bytes(), fileSize: 0),
            UnixFSData(kind: .file, fileSize: 524_288, blockSizes: [262_144, 262_144], mode: 0o644, modified: UnixFSTime(seconds: -1)),
            UnixFSData(kind: .symlink, data: "../target", modified: UnixFSTime(seconds: 1 << 40, nanoseconds: 999_999_999)),
            UnixFSData(kind: .hamtShard, data: [1, 2], hashType: 0x22, fanout: 256),
            UnixFSData(kind: .metadata),
        ]
        for value in values {
            let bytes = value.encode()
            #expect(try UnixFSData(bytes) == value)
            #expect(try UnixFSData(bytes).encode() == bytes)
            verifyNoTrap(bytes) { _ = try UnixFSData($0) }
        }
        // As Kubo writes them: an empty directory, and the file "hello\n" without raw leaves.
        #expect(UnixFSData(kind: .directory).encode() == hex("0801"))
        #expect(UnixFSData(kind: .file, data: "hello\n", fileSize: 6).encode() == hex("0802 1206 68656c6c6f0a 1806"))
    }

    @Test func leafFrames() throws {
        for count in [0, 1, 100, 118, 119, 120, 127, 128, 16_379, 16_384, 262_144, 1_048_576] {
            for kind in [UnixFSData.Kind.file, .raw] {
                let content = Bytes([UInt8](repeating: 7, count: count))
                let plain = PBNode(data: UnixFSData(kind: kind, data: count == 0 ? nil : content, fileSize: UInt64(count)).encode()).encode()
                let leaf = UnixFSLeaf(kind: kind, contentCount: count)
                #expect(content.withUnsafeBytes { leaf.block($0) } == plain)
                #expect(leaf.blockCount == plain.count)
                #expect(leaf.prefix.count <= 22 && leaf.suffix.count <= 11)
            }
        }
    }

    @Test func packedAndUnknown() throws {
        let packed = try UnixFSData(hex("0802 2203 05ac02 2007 7a0161 1864 1865"))
        #expect(packed.blockSizes == [5, 300, 7])
        #expect(packed.fileSize == 0x65)
    }

    @Test(arguments: [
        ("", ProtobufError.missing(field: 1)), ("1801", .missing(field: 1)), ("0806", .value(field: 1)), ("08ffffffffffffffffff01", .value(field: 1)),
        ("0801 4200", .missing(field: 1)), ("0801 4207 0801 15 00ca9a3b", .value(field: 2)), ("0801 3880808080 10", .value(field: 7)),
    ]) func refused(_ text: String, _ error: ProtobufError) {
        #expect(throws: error) { try UnixFSData(hex(text)) }
    }

    @Test func blockSizesAreBounded() {
        var writer = ProtobufWriter()
        writer.write(1, varint: 2)
        writer.write(4, packed: [UInt64](repeating: 1, count: FormatsLimits.blockSizes + 1))
        let bytes = writer.finish()
        #expect(throws: ProtobufError.limit(field: 4)) { try UnixFSData(bytes) }
    }
}
