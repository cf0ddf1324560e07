import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// One direction of a session: a secret, the key made of it, and how often that was used.
struct AnimicaDirection {
    /// When keys change and sessions end; see `AnimicaLimits`.
    struct Schedule {
        var recordsPerKey = AnimicaLimits.recordsPerKey
        var keys = AnimicaLimits.keysPerSession
    }

    private let schedule: Schedule
    private var secret: SecureBytes
    private(set) var cipher: RecordCipher
    private var base: RecordCipher.Nonce
    private var counter: UInt64 = 0
    private(set) var generation: UInt64 = 0
    private var isOver = false

    init(_ secret: SecureBytes, _ algorithm: RecordCipher.Algorithm, _ schedule: Schedule) {
        self.secret = secret
        self.schedule = schedule
        (cipher, base) = AnimicaDirection.keys(secret, algorithm)
    }

    private static func keys(_ secret: SecureBytes, _ algorithm: RecordCipher.Algorithm) -> (RecordCipher, RecordCipher.Nonce) {
        let key = AnimicaSchedule.expand(secret, Bytes(utf8: AnimicaSchedule.Label.key), RecordCipher.keyLength)
        let nonce = AnimicaSchedule.expand(secret, Bytes(utf8: AnimicaSchedule.Label.nonce), RecordCipher.Nonce.length)
        let made = AnimicaSchedule.cipher(key, nonce.span, algorithm)
        return (made.cipher, made.nonce)
    }

    /// The nonce of the next record, under `cipher`; a key that is used up is replaced first. Throws when the last key is.
    mutating func next() throws(RecordError) -> RecordCipher.Nonce {
        if isOver { throw .exhausted }
        if counter == schedule.recordsPerKey { try rekey() }
        defer { counter += 1 }
        return base.adding(counter)
    }

    /// Whoever learns the new secret cannot compute the old one from it.
    private mutating func rekey() throws(RecordError) {
        guard generation + 1 < schedule.keys else {
            isOver = true
            throw .exhausted
        }
        secret = AnimicaSchedule.expand(secret, Bytes(utf8: AnimicaSchedule.Label.rekey), HKDFSHA3.keyLength)
        (cipher, base) = AnimicaDirection.keys(secret, cipher.algorithm)
        generation += 1
        counter = 0
    }

    /// Nothing can be sealed or opened any more.
    mutating func end() { isOver = true }
}

/// The records of `/animica/1`.
///
/// Wire: length (u32 big-endian) ‖ as many bytes of ciphertext ‖ 16-byte tag; the length is authenticated with them. The nonce is the
/// direction's base with the number of the record exclusive-ored into its last eight bytes. After `AnimicaLimits.recordsPerKey` records a
/// direction goes on with a new key and number 0; both sides count, so nothing is said about it.
/// Spec: `docs/specs/animica-channel.md`, section "Records".
final class AnimicaRecords: RecordLayer {
    private(set) var sending: AnimicaDirection
    private(set) var receiving: AnimicaDirection

    private static let prefix = 4

    init(sending: AnimicaDirection, receiving: AnimicaDirection) {
        self.sending = sending
        self.receiving = receiving
    }

    var overhead: Int { AnimicaRecords.prefix + RecordCipher.tagLength }
    var maximumPlaintext: Int { AnimicaLimits.recordBytes - RecordCipher.tagLength }

    func seal(
        _ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer, into output: UnsafeMutableRawPointer
    ) throws(RecordError) -> Int {
        let plaintext = header.count + payload.count
        guard plaintext <= maximumPlaintext else { throw .tooLong(bytes: plaintext) }
        let nonce = try sending.next()
        let length = plaintext + RecordCipher.tagLength
        output.storeBytes(of: UInt32(length).bigEndian, as: UInt32.self)
        sending.cipher.seal(
            header, payload, authenticating: UnsafeRawBufferPointer(start: output, count: AnimicaRecords.prefix), nonce: nonce,
            into: output + AnimicaRecords.prefix)
        return AnimicaRecords.prefix + length
    }

    func open(_ input: UnsafeMutableRawBufferPointer) throws(RecordError) -> RecordOutcome {
        guard let start = input.baseAddress, input.count >= AnimicaRecords.prefix else { return .incomplete(need: AnimicaRecords.prefix) }
        let length = Int(UInt32(bigEndian: start.loadUnaligned(as: UInt32.self)))
        guard length >= RecordCipher.tagLength, length <= AnimicaLimits.recordBytes else { throw fail(.malformed) }
        let total = AnimicaRecords.prefix + length
        guard input.count >= total else { return .incomplete(need: total) }
        let nonce = try receiving.next()
        let record = start + AnimicaRecords.prefix
        let isAuthentic = receiving.cipher.open(
            UnsafeRawBufferPointer(start: record, count: length),
            authenticating: UnsafeRawBufferPointer(start: start, count: AnimicaRecords.prefix), nonce: nonce, into: record)
        guard isAuthentic else { throw fail(.notAuthentic) }
        return .record(plaintext: AnimicaRecords.prefix..<total - RecordCipher.tagLength, consumed: total)
    }

    /// After a bad record nothing can be opened any more: an attacker gets one guess per connection.
    private func fail(_ error: RecordError) -> RecordError {
        receiving.end()
        return error
    }
}
