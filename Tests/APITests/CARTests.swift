import Testing
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats

@testable import WaggleAPI

@Suite struct CARTests {
    private static func block(_ text: String) throws -> Block {
        let bytes = Bytes(utf8: text)
        let digest = try #require(Hashing.digest(0x12, bytes))
        return Block(cid: try CID(codec: .raw, hash: try Multihash(.sha2_256, digest: digest)), bytes: bytes)
    }

    private static func archive() throws -> (bytes: [UInt8], blocks: [Block]) {
        let blocks = [try block("one"), try block(""), try block(String(repeating: "x", count: 300))]
        var writer = ByteWriter()
        CARFormat.writeHeader([blocks[0].cid, blocks[2].cid], to: &writer)
        for block in blocks { CARFormat.write(block, to: &writer) }
        return (writer.finish().array, blocks)
    }

    private static func read(_ pieces: [[UInt8]]) throws -> (roots: [CID], blocks: [Block]) {
        var machine = CARMachine()
        var roots: [CID] = []
        var blocks: [Block] = []
        for piece in pieces {
            try machine.receive(Bytes(piece))
            while let output = try machine.next() {
                switch output {
                case .roots(let found): roots = found
                case .block(let block): blocks.append(block)
                }
            }
        }
        try machine.finish()
        return (roots, blocks)
    }

    private static func check(_ pieces: [[UInt8]], _ blocks: [Block]) throws {
        let found = try read(pieces)
        #expect(found.roots == [blocks[0].cid, blocks[2].cid])
        #expect(found.blocks.map(\.cid) == blocks.map(\.cid))
        #expect(found.blocks.map(\.bytes) == blocks.map(\.bytes))
    }

    @Test func everySplitPoint() throws {
        let (bytes, blocks) = try Self.archive()
        for cut in 0...bytes.count { try Self.check([Array(bytes[..<cut]), Array(bytes[cut...])], blocks) }
        try Self.check(bytes.map { [$0] }, blocks)
    }

    @Test func theHeaderIsCanonical() throws {
        let cid = try Self.block("one").cid
        var writer = ByteWriter()
        CARFormat.writeHeader([cid], to: &writer)
        let header = Value.map(OrderedMap([("roots", .list([.link(cid)])), ("version", .integer(1))]))
        #expect(writer.finish().dropFirst(1) == (try DagCBOR.encode(header)))
    }

    @Test func versionTwo() throws {
        let (inner, blocks) = try Self.archive()
        func number(_ value: Int) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        let padding = 13
        let head = CARFormat.pragma + [UInt8](repeating: 0, count: 16) + number(51 + padding) + number(inner.count) + number(0)
        let bytes = head + [UInt8](repeating: 9, count: padding) + inner + [1, 2, 3, 4]
        for cut in 0...bytes.count { try Self.check([Array(bytes[..<cut]), Array(bytes[cut...])], blocks) }
        #expect(throws: CARError.endsEarly) { try Self.read([Array(bytes[..<(bytes.count - 10)])]) }
        var wrong = bytes
        wrong.replaceSubrange(27..<35, with: number(10))
        #expect(throws: CARError.header) { try Self.read([wrong]) }
    }

    @Test func truncationIsNoticed() throws {
        let (bytes, blocks) = try Self.archive()
        var ends: Set<Int> = [bytes.count]
        var end = bytes.count
        for block in blocks.reversed() {
            end -= block.cid.count + block.bytes.count + (block.cid.count + block.bytes.count > 127 ? 2 : 1)
            ends.insert(end)
        }
        for count in 0..<bytes.count where !ends.contains(count) {
            #expect(throws: CARError.endsEarly) { try Self.read([Array(bytes[..<count])]) }
        }
    }

    @Test func sizesAreBounded() throws {
        #expect(throws: CARError.tooLong(limit: CARFormat.headerLimit)) { try Self.read([[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]) }
        #expect(throws: CARError.tooLong(limit: CARFormat.headerLimit)) { try Self.read([[0x81, 0x80, 0x40]]) }
        let (bytes, _) = try Self.archive()
        #expect(throws: CARError.tooLong(limit: CARFormat.sectionLimit)) { try Self.read([bytes + [0x81, 0x80, 0x80, 0x04]]) }
    }

    @Test func nonsenseIsRefused() throws {
        #expect(throws: CARError.header) { try Self.read([[0x01, 0xf6]]) }
        #expect(throws: CARError.section) { try Self.read([[0x00]]) }
        let (bytes, _) = try Self.archive()
        #expect(throws: CARError.section) { try Self.read([bytes + [0x02, 0x01, 0x55]]) }
        let version = try DagCBOR.encode(.map(OrderedMap([("roots", .list([])), ("version", .integer(3))])))
        #expect(throws: CARError.version(3)) { try Self.read([[UInt8(version.count)] + version.array]) }
    }
}

@Suite struct CIDConversionTests {
    private static let old = "QmYNmQKp6SuaVrpgWRsPTgCQCnpxUYGq76YEKBXuj2N4H6"
    private static let new = "bafybeievd6mwe6vcwnkwo3eizs3h7w3a34opszbyfxziqdxguhjw7imdve"

    private func convert(_ text: String, _ options: [String: String] = [:]) throws -> String {
        let command = try #require(Commands.root.descend(["cid", "format"]))
        let request = Request(path: ["cid", "format"], command: command, arguments: [], options: options.mapValues { .string($0) })
        return try CIDConversion(request).apply(to: text)
    }

    @Test func versionsCodecsAndBases() throws {
        #expect(try convert(Self.old, ["v": "1", "b": "base32"]) == Self.new)
        #expect(try convert(Self.old, ["b": "base32"]) == Self.new)
        #expect(try convert(Self.new, ["v": "0"]) == Self.old)
        #expect(try convert(Self.new, ["mc": "raw"]) == "bafkreievd6mwe6vcwnkwo3eizs3h7w3a34opszbyfxziqdxguhjw7imdve")
        #expect(try convert("bafkreievd6mwe6vcwnkwo3eizs3h7w3a34opszbyfxziqdxguhjw7imdve", ["mc": "dag-pb", "v": "0"]) == Self.old)
    }

    @Test func formats() throws {
        #expect(try convert(Self.old, ["f": "%v %V %c %C %h %H %L %b %B %P %%"]) == "cidv0 0 dag-pb 112 sha2-256 18 32 base58btc z cidv0-dag-pb-sha2-256-32 %")
        #expect(try convert(Self.new, ["f": "%S"]) == String(Self.new.dropFirst()))
        #expect(try convert("bafkqabdumvzxi", ["f": "%d|%D|%h", "b": "base16"]) == "74657374|f74657374|identity")
    }

    @Test func mistakes() {
        for options in [["f": "none"], ["f": "%q"], ["f": "x%"], ["mc": "nonsense"], ["v": "2"], ["v": "0", "b": "base32"], ["v": "0", "mc": "raw"], ["b": "base99"]] {
            #expect(throws: (any Error).self, "\(options)") { try convert(Self.old, options) }
        }
        #expect(throws: (any Error).self) { try convert("garbage") }
        #expect(throws: (any Error).self) { try convert("bafkqabdumvzxi", ["v": "0"]) }
    }

    @Test func weakNamesAreRefused() throws {
        func cid(_ code: Multicodec, _ count: Int) throws -> CID {
            try CID(codec: .raw, hash: try Multihash(code, digest: Bytes([UInt8](repeating: 1, count: count))))
        }
        try CIDPolicy.check(try cid(.sha2_256, 32))
        try CIDPolicy.check(try cid(.sha2_256, 20))
        try CIDPolicy.check(try cid(.identity, 0))
        try CIDPolicy.check(try cid(.identity, 128))
        #expect(throws: CommandError.self) { try CIDPolicy.check(try cid(.sha2_256, 19)) }
        #expect(throws: CommandError.self) { try CIDPolicy.check(.identity, length: 129) }
        #expect(throws: CommandError.self) { try CIDPolicy.check(.sha2_512, length: 129) }
        #expect(throws: CommandError.self) { try CIDPolicy.check(try cid(.murmur3x64_64, 32)) }
        #expect(throws: CommandError.self) { try CIDPolicy.check(try cid(.shake128, 32)) }
    }
}
