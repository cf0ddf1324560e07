import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The transcript hash and the chain of secrets of an `/animica/1` handshake.
///
/// Spec: `docs/specs/animica-channel.md`, section "Key schedule". Every derivation is HKDF-Expand of the current secret with a label and the
/// transcript hash, so that no key is the same when one byte on the wire was different.
struct AnimicaSchedule {
    /// What the first hash is made of.
    static let name = "/animica/1 ML-KEM-768 HKDF-SHA3-256"

    enum Label {
        static let chain = "animica/1 chain"
        static let traffic = (initiator: "animica/1 initiator traffic", responder: "animica/1 responder traffic")
        static let sealing = (initiator: "animica/1 initiator credentials", responder: "animica/1 responder credentials")
        static let signature = (initiator: "animica/1 initiator signature:", responder: "animica/1 responder signature:")
        static let pair = (initiator: "animica/1 initiator second identity:", responder: "animica/1 responder second identity:")
        static let key = "animica/1 key"
        static let nonce = "animica/1 nonce"
        static let rekey = "animica/1 rekey"
    }

    /// The hash of all bytes on the wire so far.
    private(set) var hash: Digest256
    private(set) var secret: SecureBytes

    init() {
        hash = AnimicaSchedule.hash(Bytes(utf8: AnimicaSchedule.name).span)
        secret = hash.withUnsafeBytes { SecureBytes(copying: $0) }
    }

    /// h ← SHA3-256(h ‖ parts).
    mutating func absorb(_ first: RawSpan, _ second: RawSpan = RawSpan()) { hash = combined(first, second) }

    /// SHA3-256(h ‖ parts), without changing h.
    func combined(_ first: RawSpan, _ second: RawSpan = RawSpan()) -> Digest256 {
        var running = SHA3(.sha3_256)
        hash.withUnsafeBytes { running.update($0) }
        running.update(first)
        running.update(second)
        return AnimicaSchedule.digest(running.finish())
    }

    /// s ← HKDF-Extract(salt: HKDF-Expand(s, "animica/1 chain" ‖ h, 32), shared secret).
    mutating func mix(_ shared: SecureBytes) {
        let salt = expand(Label.chain, HKDFSHA3.keyLength)
        secret = HKDFSHA3.extract(salt: salt.span, input: shared.span)
    }

    /// HKDF-Expand(s, label ‖ h, length).
    func expand(_ label: String, _ length: Int) -> SecureBytes {
        var info = ByteWriter(capacity: 80)
        info.write(utf8: label)
        hash.withUnsafeBytes { info.write($0) }
        return AnimicaSchedule.expand(secret, info.finish(), length)
    }

    /// Cipher and nonce for the one message that a side's credentials are sealed in.
    func sealing(_ role: Role, _ algorithm: RecordCipher.Algorithm) -> (cipher: RecordCipher, nonce: RecordCipher.Nonce) {
        let label = role == .initiator ? Label.sealing.initiator : Label.sealing.responder
        let material = expand(label, RecordCipher.keyLength + RecordCipher.Nonce.length)
        return AnimicaSchedule.cipher(
            SecureBytes(material.span.extracting(0..<RecordCipher.keyLength)), material.span.extracting(droppingFirst: RecordCipher.keyLength),
            algorithm)
    }

    /// The first traffic secret of what `role` sends.
    func traffic(_ role: Role) -> SecureBytes {
        expand(role == .initiator ? Label.traffic.initiator : Label.traffic.responder, HKDFSHA3.keyLength)
    }

    /// What `role` signs: a label and SHA3-256(h ‖ credentials).
    func signedBytes(_ role: Role, _ credentials: RawSpan) -> Bytes { labelled(Label.signature, role, credentials) }

    /// What the classical key of a node with two identities signs: another label and SHA3-256(h ‖ credentials as far as the certificate).
    func pairBytes(_ role: Role, _ credentials: RawSpan) -> Bytes { labelled(Label.pair, role, credentials) }

    private func labelled(_ label: (initiator: String, responder: String), _ role: Role, _ credentials: RawSpan) -> Bytes {
        var writer = ByteWriter(capacity: 80)
        writer.write(utf8: role == .initiator ? label.initiator : label.responder)
        combined(credentials).withUnsafeBytes { writer.write($0) }
        return writer.finish()
    }

    // MARK: Primitives

    static func hash(_ data: RawSpan) -> Digest256 { digest(SHA3.hash(data, .sha3_256)) }

    private static func digest(_ bytes: Bytes) -> Digest256 {
        guard let digest = Digest256(bytes.span) else { preconditionFailure("SHA3-256 gives 32 bytes") }
        return digest
    }

    static func expand(_ secret: SecureBytes, _ info: Bytes, _ length: Int) -> SecureBytes {
        guard let output = HKDFSHA3.expand(key: secret.span, info: info.span, length: length) else {
            preconditionFailure("lengths are constants below HKDF's limit")
        }
        return output
    }

    static func cipher(
        _ key: SecureBytes, _ nonce: RawSpan, _ algorithm: RecordCipher.Algorithm
    ) -> (cipher: RecordCipher, nonce: RecordCipher.Nonce) {
        guard let cipher = RecordCipher(algorithm, key: key), let nonce = RecordCipher.Nonce(nonce) else {
            preconditionFailure("keys have 32 bytes, nonces 12")
        }
        return (cipher, nonce)
    }
}
