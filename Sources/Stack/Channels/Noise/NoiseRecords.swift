import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The transport phase of Noise.
///
/// Wire: u16 big-endian length, then as many bytes of ciphertext ‖ 16-byte tag. The nonce is the number of the record in its direction.
/// Spec: libp2p noise, section "Wire Format"; Noise rev 34, section 5.1.
final class NoiseRecords: RecordLayer {
    private let sending: RecordCipher
    private let receiving: RecordCipher
    private var sent: UInt64
    private var opened: UInt64

    private static let prefix = 2

    /// `sent` and `opened` count the records so far: zero, but for tests.
    init(sending: RecordCipher, receiving: RecordCipher, sent: UInt64 = 0, opened: UInt64 = 0) {
        self.sending = sending
        self.receiving = receiving
        self.sent = sent
        self.opened = opened
    }

    var overhead: Int { NoiseRecords.prefix + RecordCipher.tagLength }
    var maximumPlaintext: Int { NoiseLimits.recordBytes - RecordCipher.tagLength }

    func seal(
        _ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer, into output: UnsafeMutableRawPointer
    ) throws(RecordError) -> Int {
        let plaintext = header.count + payload.count
        guard plaintext <= maximumPlaintext else { throw .tooLong(bytes: plaintext) }
        // The last nonce is reserved (Noise rev 34, section 5.1).
        guard sent < .max else { throw .exhausted }
        let length = plaintext + RecordCipher.tagLength
        output.storeBytes(of: UInt16(length).bigEndian, as: UInt16.self)
        sending.seal(header, payload, nonce: sent, into: output + NoiseRecords.prefix)
        sent += 1
        return NoiseRecords.prefix + length
    }

    func open(_ input: UnsafeMutableRawBufferPointer) throws(RecordError) -> RecordOutcome {
        guard let start = input.baseAddress, input.count >= NoiseRecords.prefix else { return .incomplete(need: NoiseRecords.prefix) }
        let length = Int(UInt16(bigEndian: start.loadUnaligned(as: UInt16.self)))
        guard length >= RecordCipher.tagLength else { throw fail(.malformed) }
        let total = NoiseRecords.prefix + length
        guard input.count >= total else { return .incomplete(need: total) }
        guard opened < .max else { throw .exhausted }
        let record = start + NoiseRecords.prefix
        guard receiving.open(UnsafeRawBufferPointer(start: record, count: length), nonce: opened, into: record) else {
            throw fail(.notAuthentic)
        }
        opened += 1
        return .record(plaintext: NoiseRecords.prefix..<total - RecordCipher.tagLength, consumed: total)
    }

    /// After a bad record nothing can be opened any more: an attacker gets one guess per connection.
    private func fail(_ error: RecordError) -> RecordError {
        opened = .max
        return error
    }
}
