import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The chaining key and the running hash of a Noise handshake.
///
/// Spec: Noise rev 34, sections 5.1 and 5.2.
struct NoiseSymmetric {
    private var chainingKey: SecureBytes
    private var cipher: RecordCipher?
    private var nonce: UInt64 = 0
    /// The hash of all that both sides have seen.
    private(set) var hash: Digest256

    /// `InitializeSymmetric`.
    init(name: String) {
        var digest: Digest256?
        if name.utf8.count <= Digest256.count {
            let padded = Array(name.utf8) + [UInt8](repeating: 0, count: Digest256.count - name.utf8.count)
            digest = Digest256(padded.span.bytes)
        }
        hash = digest ?? SHA256.hash(Array(name.utf8))
        chainingKey = hash.withUnsafeBytes { SecureBytes(copying: $0) }
    }

    mutating func mixHash(_ data: RawSpan) {
        var running = SHA256()
        running.update(hash)
        running.update(data)
        hash = running.finish()
    }

    mutating func mixKey(_ secret: SecureBytes) {
        let (next, key) = HKDFSHA256.noise2(chainingKey: chainingKey, input: secret.span)
        chainingKey = next
        cipher = NoiseSymmetric.cipher(key)
        nonce = 0
    }

    /// Appends what `plaintext` becomes: its ciphertext and tag, or itself while there is no key.
    mutating func encryptAndHash(_ plaintext: RawSpan, to writer: inout ByteWriter) {
        guard let cipher else {
            mixHash(plaintext)
            writer.write(plaintext)
            return
        }
        let sealed = hash.withUnsafeBytes { cipher.seal(plaintext, authenticating: $0.bytes, nonce: nonce) }
        nonce += 1
        mixHash(sealed.span)
        writer.write(sealed)
    }

    mutating func decryptAndHash(_ input: RawSpan) throws(HandshakeError) -> Bytes {
        guard let cipher else {
            mixHash(input)
            return Bytes(input)
        }
        guard let opened = hash.withUnsafeBytes({ cipher.open(input, authenticating: $0.bytes, nonce: nonce) }) else {
            throw .notAuthentic
        }
        nonce += 1
        mixHash(input)
        return opened
    }

    /// What `encryptAndHash` adds now, in bytes.
    var overhead: Int { cipher == nil ? 0 : RecordCipher.tagLength }

    /// The keys for what the initiator and what the responder sends.
    func split() -> (initiator: SecureBytes, responder: SecureBytes) {
        HKDFSHA256.noise2(chainingKey: chainingKey, input: RawSpan())
    }

    static func cipher(_ key: SecureBytes) -> RecordCipher {
        guard let cipher = RecordCipher(.chaCha20Poly1305, key: key) else { preconditionFailure("HKDF gives 32 bytes") }
        return cipher
    }
}
