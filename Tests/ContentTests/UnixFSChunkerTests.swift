import Foundation
import Testing
import WaggleBase
import WaggleCryptography

@testable import WaggleContent

@Suite struct UnixFSChunkerTests {
    struct Cuts: Decodable, Sendable, CustomTestStringConvertible {
        var pattern: String
        var seed: UInt64
        var size: Int
        var chunker: String
        var min: Int?
        var avg: Int?
        var max: Int?
        var count: Int
        var first: [Int]
        var digest: String

        var options: ChunkerOptions {
            chunker == "buzhash" ? .buzhash : .rabin(minimum: min!, average: avg!, maximum: max!)
        }
        var testDescription: String { "\(options) \(pattern) \(size)" }
    }

    static let cuts: [Cuts] = {
        let text = try! String(contentsOf: TestUnixFS.vectors.appending(path: "chunks.jsonl"), encoding: .utf8)
        return text.split(separator: "\n").map { try! JSONDecoder().decode(Cuts.self, from: Data($0.utf8)) }
    }()

    static func sizes(_ content: Bytes, _ options: ChunkerOptions, pieces: (Int) -> Int) -> [Int] {
        var chunker = Chunker(options)
        var sizes: [Int] = []
        var current = 0
        var offset = 0
        while offset < content.count {
            let end = Swift.min(content.count, offset + Swift.max(pieces(offset), 1))
            var rest = content[offset..<end]
            while !rest.isEmpty {
                let cut = rest.withUnsafeBytes { chunker.scan($0) }
                current += cut.count
                rest = rest.dropFirst(cut.count)
                if cut.ends {
                    sizes.append(current)
                    current = 0
                }
            }
            offset = end
        }
        if current > 0 { sizes.append(current) }
        return sizes
    }

    @Test(arguments: cuts) func cutsWhereOthersCut(_ cuts: Cuts) {
        let content = TestContent.make(cuts.pattern, seed: cuts.seed, size: cuts.size)
        let sizes = UnixFSChunkerTests.sizes(content, cuts.options) { _ in .max >> 1 }
        #expect(sizes.count == cuts.count)
        #expect(Array(sizes.prefix(5)) == cuts.first)
        let list = sizes.map { "\($0)," }.joined()
        #expect(SHA256.hash(Bytes(utf8: list)).description == cuts.digest)
    }

    @Test func cutsDoNotDependOnThePieces() {
        let content = TestContent.make("random", seed: 11, size: 400_000)
        for options in [ChunkerOptions.size(1000), .rabin(minimum: 20, average: 100, maximum: 200), .buzhash] {
            let whole = UnixFSChunkerTests.sizes(content, options) { _ in .max >> 1 }
            for seed in 0..<3 {
                var random = TestRandom(UInt64(seed))
                let split = UnixFSChunkerTests.sizes(content, options) { _ in Int.random(in: 1...(seed == 0 ? 3 : 70), using: &random) }
                #expect(split == whole, "\(options)")
            }
        }
    }

    @Test func readsTheTextForms() throws {
        #expect(try ChunkerOptions(parsing: "") == .size(262_144))
        #expect(try ChunkerOptions(parsing: "default") == .size(262_144))
        #expect(try ChunkerOptions(parsing: "size-64") == .size(64))
        #expect(try ChunkerOptions(parsing: "size-2096896") == .size(2_096_896))
        #expect(try ChunkerOptions(parsing: "rabin") == .rabin(minimum: 87_381, average: 262_144, maximum: 393_216))
        #expect(try ChunkerOptions(parsing: "rabin-1000") == .rabin(minimum: 333, average: 1000, maximum: 1500))
        #expect(try ChunkerOptions(parsing: "rabin-36-512-1024") == .rabin(minimum: 36, average: 512, maximum: 1024))
        #expect(try ChunkerOptions(parsing: "rabin-min:36-avg:512-max:1024") == .rabin(minimum: 36, average: 512, maximum: 1024))
        #expect(try ChunkerOptions(parsing: "buzhash") == .buzhash)
        for bad in [
            "size-0", "size--1", "size", "size-", "size-2096897", "size-99999999999999999999", "rabin-12-512-1024", "rabin-10", "rabin-0",
            "rabin-9999999999", "rabin-36-512", "rabin-512-512-1024", "rabin-36-1024-1024", "rabin-avg:36-512-1024", "rabin-36-512-3000000",
            "tiny", "-", "rabin-a-b-c",
        ] {
            #expect(throws: ImportOptionError.self, "\(bad)") { try ChunkerOptions(parsing: bad) }
        }
        for text in ["size-77", "rabin-36-512-1024", "buzhash"] { #expect(try ChunkerOptions(parsing: text).description == text) }
    }
}
