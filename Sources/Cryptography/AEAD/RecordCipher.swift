import COpenSSL
import WaggleBase

/// An authenticated cipher with one key that seals and opens many records without allocating.
///
/// A record is ciphertext ‖ 16-byte tag. The nonce of 12 bytes is 4 zero bytes and the 64-bit counter: little endian with
/// ChaCha20-Poly1305, big endian with AES-256-GCM (Noise rev 34, sections 12.3 and 12.4).
///
/// A cipher belongs to one loop: it may be handed over between threads, but two must never use it at once.
public final class RecordCipher: @unchecked Sendable {
    /// The ciphers a record can be sealed with.
    public enum Algorithm: Sendable, CaseIterable {
        /// RFC 8439.
        case chaCha20Poly1305
        /// NIST SP 800-38D with a 256-bit key.
        case aes256GCM

        fileprivate var fetched: OpaquePointer {
            switch self {
            case .chaCha20Poly1305: Fetched.chaCha20Poly1305
            case .aes256GCM: Fetched.aes256GCM
            }
        }
    }

    /// Fetching costs 200 ns, so it happens once in a process.
    private enum Fetched {
        nonisolated(unsafe) static let chaCha20Poly1305 = available(EVP_CIPHER_fetch(nil, "ChaCha20-Poly1305", nil), "ChaCha20-Poly1305")
        nonisolated(unsafe) static let aes256GCM = available(EVP_CIPHER_fetch(nil, "AES-256-GCM", nil), "AES-256-GCM")
    }

    /// Key size in bytes.
    public static let keyLength = 32
    /// What a record is longer than its plaintext, in bytes.
    public static let tagLength = 16
    /// The longest plaintext of one record in bytes (libcrypto counts in `int`; Noise needs 65,519).
    public static let maximumLength = 1 << 30

    public let algorithm: Algorithm
    private let key: SecureBytes
    // Each direction has a context of its own, made when it is first used: an ordinary channel seals with one key and opens with
    // another, so most ciphers need only one.
    private var sealing: OpaquePointer?
    private var opening: OpaquePointer?

    /// A cipher for a key of exactly 32 bytes; nil for any other length.
    public init?(_ algorithm: Algorithm, key: SecureBytes) {
        guard key.count == RecordCipher.keyLength else { return nil }
        self.algorithm = algorithm
        self.key = key
    }

    deinit {
        // Freeing cleanses the key schedule.
        if let sealing { EVP_CIPHER_CTX_free(sealing) }
        if let opening { EVP_CIPHER_CTX_free(opening) }
    }

    private func makeContext(encrypting: Int32) -> OpaquePointer {
        let context = available(EVP_CIPHER_CTX_new(), "a cipher context")
        let initialised = key.withUnsafeBytes { EVP_CipherInit_ex2(context, algorithm.fetched, $0.octets, nil, encrypting, nil) }
        precondition(initialised == 1)
        return context
    }

    fileprivate static func nonce(_ counter: UInt64, _ algorithm: Algorithm) -> Nonce {
        Nonce(counter: algorithm == .aes256GCM ? counter.bigEndian : counter.littleEndian)
    }

    /// Seals a plaintext that lies in two pieces (a frame header and its payload, say); either may be empty.
    ///
    /// Writes `first.count + second.count + 16` bytes at `output`. A piece may lie exactly where its ciphertext goes.
    public func seal(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        authenticating associated: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        nonce: UInt64, into output: UnsafeMutableRawPointer
    ) {
        seal(first, second, authenticating: associated, nonce: RecordCipher.nonce(nonce, algorithm), into: output)
    }

    /// The same with a nonce of the caller's making.
    package func seal(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, authenticating associated: UnsafeRawBufferPointer,
        nonce: Nonce, into output: UnsafeMutableRawPointer
    ) {
        let context = sealing ?? makeContext(encrypting: 1)
        sealing = context
        precondition(first.count + second.count <= RecordCipher.maximumLength)
        var worked = start(context, nonce, associated)
        worked = worked && update(context, first, output)
        worked = worked && update(context, second, output + first.count, at: first.count)
        let tag = output + (first.count + second.count)
        var written: Int32 = 0
        worked = worked && EVP_CipherFinal_ex(context, tag.octets, &written) == 1
        worked = worked && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(RecordCipher.tagLength), tag) == 1
        // Sealing has no input that can make it fail.
        precondition(worked, "sealing failed")
    }

    /// Opens a record (ciphertext ‖ tag) into `output`, which takes `record.count - 16` bytes and may be the record's own start.
    ///
    /// False when the record is shorter than a tag or is not authentic; nothing of the plaintext is left in `output` then.
    public func open(
        _ record: UnsafeRawBufferPointer, authenticating associated: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        nonce: UInt64, into output: UnsafeMutableRawPointer
    ) -> Bool {
        open(record, authenticating: associated, nonce: RecordCipher.nonce(nonce, algorithm), into: output)
    }

    /// The same with a nonce of the caller's making.
    package func open(
        _ record: UnsafeRawBufferPointer, authenticating associated: UnsafeRawBufferPointer, nonce: Nonce,
        into output: UnsafeMutableRawPointer
    ) -> Bool {
        let length = record.count - RecordCipher.tagLength
        guard length >= 0, length <= RecordCipher.maximumLength, let start = record.baseAddress else { return false }
        let context = opening ?? makeContext(encrypting: 0)
        opening = context
        let tag = UnsafeMutableRawPointer(mutating: start + length)
        var written: Int32 = 0
        let authentic =
            self.start(context, nonce, associated)
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(RecordCipher.tagLength), tag) == 1
            && update(context, UnsafeRawBufferPointer(start: start, count: length), output)
            && EVP_CipherFinal_ex(context, (output + length).octets, &written) == 1
        if !authentic {
            wipe(UnsafeMutableRawBufferPointer(start: output, count: length))
            ERR_clear_error()
        }
        return authentic
    }

    /// Sets the nonce and absorbs the associated data.
    @inline(__always)
    private func start(_ context: OpaquePointer, _ nonce: Nonce, _ associated: UnsafeRawBufferPointer) -> Bool {
        let started = withUnsafeBytes(of: nonce) { EVP_CipherInit_ex2(context, nil, nil, $0.octets, -1, nil) }
        guard started == 1 else { return false }
        guard associated.count > 0 else { return true }
        var written: Int32 = 0
        return EVP_CipherUpdate(context, nil, &written, associated.octets, Int32(associated.count)) == 1
    }

    /// Runs one piece of a record through the cipher; `position` bytes of the record went before it.
    ///
    /// libcrypto's Poly1305 takes eight blocks of 16 bytes at a time where the processor has AVX-512, but only if the number of blocks it is
    /// given is a multiple of eight plus at most three; else it takes all of them four at a time, and the whole cipher loses a quarter
    /// of its speed (3.8 instead of 5.0 GB/s). So a long piece of an unlucky length is given in parts: what completes a block of
    /// ChaCha20 begun before, a multiple of 128 bytes, and the rest.
    @inline(__always)
    private func update(
        _ context: OpaquePointer, _ piece: UnsafeRawBufferPointer, _ output: UnsafeMutableRawPointer, at position: Int = 0
    ) -> Bool {
        guard let start = piece.baseAddress, piece.count > 0 else { return true }
        guard algorithm == .chaCha20Poly1305, piece.count >= RecordCipher.splitLength else {
            return update(context, start, output, piece.count)
        }
        let head = -position & 63
        let rest = piece.count - head
        let bulk = rest & 64 == 0 ? rest : rest & ~127
        guard head == 0 || update(context, start, output, head) else { return false }
        guard update(context, start + head, output + head, bulk) else { return false }
        return bulk == rest || update(context, start + head + bulk, output + head + bulk, rest - bulk)
    }

    /// Shorter pieces, in bytes, gain nothing from being split.
    private static let splitLength = 2048

    @inline(__always)
    private func update(_ context: OpaquePointer, _ input: UnsafeRawPointer, _ output: UnsafeMutableRawPointer, _ length: Int) -> Bool {
        var written: Int32 = 0
        return EVP_CipherUpdate(context, output.octets, &written, input.octets, Int32(length)) == 1
    }

    /// Twelve bytes: four, then eight.
    package struct Nonce: BitwiseCopyable {
        private var words: (UInt32, UInt32, UInt32) = (0, 0, 0)

        /// Four zero bytes and the eight bytes of `counter` as they lie in memory.
        @inline(__always)
        init(counter: UInt64) {
            withUnsafeMutableBytes(of: &words) { $0.storeBytes(of: counter, toByteOffset: 4, as: UInt64.self) }
        }

        /// Size in bytes.
        package static let length = 12

        /// Exactly twelve bytes.
        package init?(_ bytes: RawSpan) {
            guard bytes.byteCount == 12 else { return nil }
            bytes.withUnsafeBytes { source in withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: source) } }
        }

        /// This nonce with a counter, in network byte order, exclusive-ored into its last eight bytes (RFC 8446, section 5.3).
        @inline(__always)
        package func adding(_ counter: UInt64) -> Nonce {
            var nonce = self
            withUnsafeMutableBytes(of: &nonce.words) {
                let last = $0.loadUnaligned(fromByteOffset: 4, as: UInt64.self)
                $0.storeBytes(of: last ^ counter.bigEndian, toByteOffset: 4, as: UInt64.self)
            }
            return nonce
        }
    }
}

extension RecordCipher {
    /// Seals one record into new memory.
    public func seal(_ plaintext: RawSpan, authenticating associated: RawSpan, nonce: UInt64) -> Bytes {
        seal(plaintext, authenticating: associated, nonce: RecordCipher.nonce(nonce, algorithm))
    }

    /// Opens one record into new memory; nil when it is not authentic.
    public func open(_ record: RawSpan, authenticating associated: RawSpan, nonce: UInt64) -> Bytes? {
        open(record, authenticating: associated, nonce: RecordCipher.nonce(nonce, algorithm))
    }

    /// The same with a nonce of the caller's making.
    package func seal(_ plaintext: RawSpan, authenticating associated: RawSpan, nonce: Nonce) -> Bytes {
        Bytes(count: plaintext.byteCount + RecordCipher.tagLength) { output in
            plaintext.withUnsafeBytes { plaintext in
                associated.withUnsafeBytes { associated in
                    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
                    if let start = output.baseAddress { seal(plaintext, nothing, authenticating: associated, nonce: nonce, into: start) }
                }
            }
            return output.count
        }
    }

    /// The same with a nonce of the caller's making.
    package func open(_ record: RawSpan, authenticating associated: RawSpan, nonce: Nonce) -> Bytes? {
        let length = record.byteCount - RecordCipher.tagLength
        guard length >= 0 else { return nil }
        var authentic = false
        let plaintext = Bytes(count: length) { output in
            record.withUnsafeBytes { record in
                associated.withUnsafeBytes { associated in
                    if let start = output.baseAddress { authentic = open(record, authenticating: associated, nonce: nonce, into: start) }
                }
            }
            return output.count
        }
        return authentic ? plaintext : nil
    }
}
