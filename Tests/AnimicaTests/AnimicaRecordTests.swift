import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

@Suite struct AnimicaRecordTests {
    @Test func recordsOfEverySizeArrive() throws {
        let (left, right) = try AnimicaPair.connected()
        for size in [0, 1, 2, 15, 16, 17, 1000, 16_384, left.records.maximumPlaintext] {
            let plaintext = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
            let record = try left.records.sealed(plaintext)
            #expect(record.count == size + 20)
            for length in [0, 1, 3, 4, 5, record.count - 1] { #expect(try right.records.opened(Array(record.prefix(length))) == nil) }
            #expect(try right.records.opened(record + [9, 9]) == plaintext)
        }
        let tooLong = [UInt8](repeating: 0, count: left.records.maximumPlaintext + 1)
        #expect(throws: RecordError.tooLong(bytes: tooLong.count)) { try left.records.sealed(tooLong) }
    }

    @Test func everyChangedBitIsNoticed() throws {
        for index in 0..<24 {
            for bit in [1, 0x80] as [UInt8] {
                let (left, right) = try AnimicaPair.connected()
                var record = try left.records.sealed([1, 2, 3, 4])
                record[index] ^= bit
                // A longer length waits for more, up to the longest record.
                let padded = record + [UInt8](repeating: 0, count: 66_000)
                #expect(throws: RecordError.self) { try right.records.opened(padded) }
                // Nothing is opened any more.
                #expect(throws: RecordError.self) { try right.records.opened(left.records.sealed([5])) }
            }
        }
    }

    @Test func replayedReorderedAndReflectedRecordsAreRefused() throws {
        let (left, right) = try AnimicaPair.connected()
        let first = try left.records.sealed([1])
        let second = try left.records.sealed([2])
        #expect(try right.records.opened(first) == [1])
        #expect(throws: RecordError.notAuthentic) { try right.records.opened(first) }
        let (other, end) = try AnimicaPair.connected()
        _ = try other.records.sealed([1])
        #expect(throws: RecordError.notAuthentic) { try end.records.opened(second) }
        let (mirror, _) = try AnimicaPair.connected()
        #expect(throws: RecordError.notAuthentic) { try mirror.records.opened(mirror.records.sealed([1])) }
    }

    @Test func lengthsThatNoRecordHasAreRefusedAtOnce() throws {
        for length in [0, 15, 65_536, 0xffff_ffff] as [UInt32] {
            let (_, right) = try AnimicaPair.connected()
            let prefix = withUnsafeBytes(of: length.bigEndian) { Array($0) }
            #expect(throws: RecordError.malformed) { try right.records.opened(prefix) }
        }
    }

    @Test(arguments: [[], [AlgorithmPolicy.Algorithm.aes256GCM]]) func keysChangeInBothDirections(_ only: [AlgorithmPolicy.Algorithm]) throws {
        var network = AnimicaChannel.Network(chain: 7)
        if !only.isEmpty { network.policy = try AlgorithmPolicy([.mlKEM768, .mlDSA65, .sha3_256] + only) }
        let schedule = AnimicaDirection.Schedule(recordsPerKey: 5, keys: 1000)
        let (left, right) = try AnimicaPair.connected(.alice.on(network), .bob.on(network), schedule)
        for number in 0..<103 {
            #expect(try right.records.opened(left.records.sealed([UInt8(number)])) == [UInt8(number)])
            if number % 3 == 0 { #expect(try left.records.opened(right.records.sealed([1, UInt8(number)])) == [1, UInt8(number)]) }
        }
        let (sender, receiver) = (try unwrap(left.records as? AnimicaRecords), try unwrap(right.records as? AnimicaRecords))
        // 103 records are 20 changes of keys one way; 35 are 6 the other way.
        #expect(sender.sending.generation == 20 && receiver.receiving.generation == 20)
        #expect(receiver.sending.generation == 6 && sender.receiving.generation == 6)
        // A record of an earlier key is as good as any other replay.
        let (again, end) = try AnimicaPair.connected(.alice.on(network), .bob.on(network), schedule)
        let old = try again.records.sealed([0])
        for _ in 0..<5 { _ = try again.records.sealed([0]) }
        #expect(try end.records.opened(old) == [0])
        for _ in 0..<3 { #expect(throws: RecordError.self) { try end.records.opened(old) } }
    }

    @Test func aSessionEndsWithItsLastKey() throws {
        let (left, right) = try AnimicaPair.connected(.alice, .bob, AnimicaDirection.Schedule(recordsPerKey: 2, keys: 3))
        for number in 0..<6 { #expect(try right.records.opened(left.records.sealed([UInt8(number)])) == [UInt8(number)]) }
        #expect(throws: RecordError.exhausted) { try left.records.sealed([6]) }
        #expect(throws: RecordError.exhausted) { try left.records.sealed([6]) }
        #expect(throws: RecordError.exhausted) { try right.records.opened([0, 0, 0, 16] + [UInt8](repeating: 0, count: 16)) }
        // The other direction has keys of its own.
        #expect(try left.records.opened(right.records.sealed([1])) == [1])
    }

    @Test func generationsShareNoBytes() throws {
        let secret = fixedBytes(1, 32)
        var one = AnimicaDirection(secret, .chaCha20Poly1305, .init(recordsPerKey: 1, keys: 10))
        var seen: Set<[UInt8]> = []
        for _ in 0..<10 {
            let nonce = try one.next()
            seen.insert(one.cipher.seal(Bytes([UInt8](repeating: 0, count: 32)).span, authenticating: Bytes().span, nonce: nonce).array)
        }
        #expect(seen.count == 10)
        #expect(throws: RecordError.exhausted) { _ = try one.next() }
    }
}
