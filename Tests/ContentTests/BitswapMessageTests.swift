import Foundation
import Testing
import WaggleBase
import WaggleFormats

@testable import WaggleContent

@Suite struct BitswapMessageTests {
    private struct Vector: Decodable {
        struct Description: Decodable {
            struct Entry: Decodable {
                var cid: String
                var priority: Int32?
                var sendDontHave: Bool?
                var cancel: Bool?
                var type: String?
            }
            var full: Bool?
            var wantlist: [Entry]?
            var blocks: [String]?
            var have: [String]?
            var dontHave: [String]?
            var pendingBytes: Int?
        }
        var name: String
        var describe: Description
        var v1_0_0_length_prefixed: String
        var v1_1_0_or_1_2_0_length_prefixed: String
    }

    private static func bytes(_ hex: String) -> Bytes {
        let digits = Array(hex)
        return Bytes(stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! })
    }

    private func vectors() throws -> [Vector] {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Vectors/bitswap/messages_boxo.json")
        return try JSONDecoder().decode([Vector].self, from: Data(contentsOf: url))
    }

    private func body(_ hex: String) throws -> Bytes {
        let bytes = BitswapMessageTests.bytes(hex)
        guard case .value(let length, let prefix) = Varint.decode(bytes.span) else { throw BitswapError.malformed }
        #expect(bytes.count == prefix + Int(length))
        return bytes.dropFirst(prefix)
    }

    @Test func readsAndWritesTheVectors() throws {
        for vector in try vectors() {
            let wire = try body(vector.v1_1_0_or_1_2_0_length_prefixed)
            let message = try BitswapMessage(wire)
            #expect(message.encode(.v1_2) == wire, "\(vector.name)")
            let old = try body(vector.v1_0_0_length_prefixed)
            // What 1.0 has no place for is left out; its blocks are read as SHA2-256.
            var reduced = message
            reduced.presences = []
            reduced.pendingBytes = 0
            #expect(reduced.encode(.v1_0) == old, "\(vector.name)")
            let reread = try BitswapMessage(old)
            #expect(reread.payloads.map(\.data) == message.payloads.map(\.data))

            let expected = vector.describe
            #expect(message.isFull == (expected.full ?? false))
            #expect(message.entries.map(\.cid.description) == (expected.wantlist ?? []).map(\.cid))
            for (entry, wanted) in zip(message.entries, expected.wantlist ?? []) {
                #expect(entry.cancel == (wanted.cancel ?? false))
                guard !entry.cancel else { continue }
                #expect(entry.priority == wanted.priority && entry.sendDontHave == wanted.sendDontHave)
                #expect(entry.want == (wanted.type == "Have" ? .have : .block))
            }
            let blocks = try message.payloads.map { payload -> String in
                let hash = try #require(payload.prefix.multihash(of: payload.data))
                return payload.prefix.version == .v0
                    ? try CID(v0: hash).description : try CID(codec: payload.prefix.codec, hash: hash).description
            }
            #expect(blocks == (expected.blocks ?? []))
            #expect(message.presences.filter(\.isHere).map(\.cid.description) == (expected.have ?? []))
            #expect(message.presences.filter { !$0.isHere }.map(\.cid.description) == (expected.dontHave ?? []))
            #expect(message.pendingBytes == (expected.pendingBytes ?? 0))
        }
    }

    @Test func everyCutIsATypedError() throws {
        for vector in try vectors() {
            let wire = try body(vector.v1_1_0_or_1_2_0_length_prefixed)
            for cut in 0..<wire.count {
                do { _ = try BitswapMessage(wire.prefix(cut)) } catch { #expect(error == .malformed) }
            }
            for index in 0..<wire.count {
                var changed = wire.array
                for bit in 0..<8 {
                    changed[index] ^= 1 << UInt8(bit)
                    do { _ = try BitswapMessage(Bytes(changed)) } catch { #expect(error == .malformed) }
                    changed[index] ^= 1 << UInt8(bit)
                }
            }
        }
    }

    @Test func tooManyItemsAreRefused() throws {
        let cid = TestBlocks.raw("x").cid
        var message = BitswapMessage()
        message.entries = Array(repeating: .cancel(cid), count: BitswapLimits.messageItems)
        #expect(try BitswapMessage(message.encode(.v1_2)).entries.count == BitswapLimits.messageItems)
        message.entries.append(.cancel(cid))
        #expect(throws: BitswapError.tooManyItems) { try BitswapMessage(message.encode(.v1_2)) }
        message.entries = []
        message.presences = Array(repeating: .init(cid: cid, isHere: true), count: BitswapLimits.messageItems + 1)
        #expect(throws: BitswapError.tooManyItems) { try BitswapMessage(message.encode(.v1_2)) }
        message.presences = []
        message.payloads = Array(repeating: .init(prefix: .v0, data: Bytes()), count: BitswapLimits.messageItems + 1)
        #expect(throws: BitswapError.tooManyItems) { try BitswapMessage(message.encode(.v1_1)) }
    }

    @Test func prefixesAreStrict() throws {
        let cid = TestBlocks.raw("x").cid
        var writer = ByteWriter()
        BlockPrefix(cid).encode(to: &writer)
        let bytes = writer.finish()
        #expect(bytes == [1, 0x55, 0x12, 0x20] && bytes.count == BlockPrefix(cid).encodedCount)
        #expect(try BlockPrefix(bytes.span) == BlockPrefix(cid))
        for bad: Bytes in [[], [1], [1, 0x55, 0x12], [2, 0x55, 0x12, 0x20], [1, 0x55, 0x12, 0x20, 0], [0, 0x55, 0x12, 0x20], [1, 0x55, 0x12, 0xff, 1]] {
            #expect(throws: BitswapError.malformed) { _ = try BlockPrefix(bad.span) }
        }
        // An identity prefix proves nothing about the data.
        #expect(BlockPrefix(version: .v1, codec: .raw, hash: .identity, digestLength: 1).multihash(of: "x") == nil)
        #expect(BlockPrefix(version: .v1, codec: .raw, hash: Multicodec(rawValue: 0x3fff), digestLength: 32).multihash(of: "x") == nil)
    }
}
