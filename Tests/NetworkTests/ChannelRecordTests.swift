import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

struct ChannelRecordTests {
    @Test func recordsTravelBothWaysInPieces() throws {
        let (left, right) = try HandshakePair.connected()
        var random = Generator(seed: 5)
        for size in [0, 1, 12, 100, 4096, left.records.maximumPlaintext - 12] {
            let header = Bytes(random.bytes(12))
            let payload = Bytes(random.bytes(size))
            for (from, to) in [(left.records, right.records), (right.records, left.records)] {
                let record = try from.sealed(header, payload)
                #expect(record.count == 12 + size + from.overhead)
                #expect(Int(record[0]) << 8 | Int(record[1]) == record.count - 2)
                #expect(try to.opened(record) == header.array + payload.array)
            }
        }
    }

    /// Long records go to libcrypto in parts whose bounds depend on both lengths; opening cuts elsewhere than sealing.
    @Test func everyLengthAroundTheBoundsOfThePartsOpens() throws {
        let (left, right) = try HandshakePair.connected()
        var random = Generator(seed: 8)
        let source = Bytes(random.bytes(2_700))
        for header in [0, 1, 12, 15, 16, 17, 63, 64, 65] {
            for length in [2_040, 2_047, 2_048, 2_049, 2_111, 2_112, 2_113, 2_175, 2_176, 2_177, 2_240, 2_303, 2_304, 2_400, 2_500] {
                let record = try left.records.sealed(source.prefix(header), source[header..<length])
                #expect(try right.records.opened(record) == source.prefix(length).array)
            }
        }
    }

    @Test func anEmptyRecordIsARecord() throws {
        let (left, right) = try HandshakePair.connected()
        let record = try left.records.sealed(Bytes())
        #expect(record.count == 18)
        #expect(try right.records.opened(record) == [])
    }

    @Test func incompleteRecordsSayWhatTheyNeed() throws {
        let (left, right) = try HandshakePair.connected()
        let record = try left.records.sealed(Bytes([1, 2, 3]))
        for length in 0..<record.count {
            var part = Array(record.prefix(length))
            let outcome = try part.withUnsafeMutableBytes { try right.records.open($0) }
            #expect(outcome == .incomplete(need: length < 2 ? 2 : record.count))
        }
        // And what follows a record is not touched.
        var two = record + [9, 9]
        let outcome = try two.withUnsafeMutableBytes { try right.records.open($0) }
        #expect(outcome == .record(plaintext: 2..<5, consumed: record.count))
        #expect(Array(two.suffix(2)) == [9, 9])
    }

    @Test func tooMuchPlaintextIsRefused() throws {
        let (left, right) = try HandshakePair.connected()
        let most = left.records.maximumPlaintext
        #expect(most == 65_519)
        #expect(throws: RecordError.tooLong(bytes: most + 1)) { _ = try left.records.sealed(Bytes([1]), Bytes([UInt8](repeating: 0, count: most))) }
        // Nothing was sent, so nothing is out of step.
        #expect(try right.records.opened(left.records.sealed(Bytes([7]))) == [7])
    }

    @Test func aChangedRecordEndsTheConnection() throws {
        for index in 0..<23 {
            let (left, right) = try HandshakePair.connected()
            let record = try left.records.sealed(Bytes([1, 2, 3, 4, 5]))
            #expect(record.count == 23)
            var changed = record
            changed[index] ^= 1
            if index == 0 {
                #expect(try right.records.opened(changed) == nil)  // 256 bytes more, which never come
            } else {
                // The lowest bit of the length makes the record one byte shorter or longer.
                let error = #expect(throws: RecordError.self) { _ = try right.records.opened(changed + [0]) }
                #expect(error == .notAuthentic)
                #expect(throws: RecordError.self) { _ = try right.records.opened(record) }
            }
        }
    }

    @Test func replayedDroppedAndReorderedRecordsAreRefused() throws {
        let (left, right) = try HandshakePair.connected()
        let first = try left.records.sealed(Bytes([1]))
        _ = try right.records.opened(first)
        #expect(throws: RecordError.notAuthentic) { _ = try right.records.opened(first) }

        let (left2, right2) = try HandshakePair.connected()
        _ = try left2.records.sealed(Bytes([1]))
        let second = try left2.records.sealed(Bytes([2]))
        #expect(throws: RecordError.notAuthentic) { _ = try right2.records.opened(second) }

        // A record does not open on the side that sealed it.
        let (left3, _) = try HandshakePair.connected()
        let own = try left3.records.sealed(Bytes([1]))
        #expect(throws: RecordError.notAuthentic) { _ = try left3.records.opened(own) }
    }

    @Test func lengthsBelowATagAreMalformed() throws {
        for length in 0..<16 {
            let (_, right) = try HandshakePair.connected()
            #expect(throws: RecordError.malformed) { _ = try right.records.opened([0, UInt8(length)] + [UInt8](repeating: 0, count: 16)) }
        }
    }

    @Test func theLastNonceIsNeverUsed() throws {
        func cipher(_ byte: UInt8) throws -> RecordCipher {
            try unwrap(RecordCipher(.chaCha20Poly1305, key: SecureBytes([UInt8](repeating: byte, count: 32))))
        }
        let left = NoiseRecords(sending: try cipher(1), receiving: try cipher(2), sent: .max - 1, opened: .max - 1)
        let right = NoiseRecords(sending: try cipher(2), receiving: try cipher(1), sent: .max - 1, opened: .max - 1)
        let last = try left.sealed(Bytes([1]))
        #expect(try right.opened(last) == [1])
        #expect(throws: RecordError.exhausted) { _ = try left.sealed(Bytes([1])) }
        #expect(throws: RecordError.exhausted) { _ = try right.opened(last) }
    }

    @Test func plaintextOfAForgedRecordIsWiped() throws {
        let (left, right) = try HandshakePair.connected()
        var record = try left.records.sealed(Bytes([UInt8](repeating: 0x41, count: 64)))
        record[record.count - 1] ^= 1
        _ = try? record.withUnsafeMutableBytes { try right.records.open($0) }
        #expect(!record.dropFirst(2).prefix(64).contains(0x41))
    }
}
