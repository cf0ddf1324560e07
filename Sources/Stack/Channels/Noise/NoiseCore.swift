import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// A Noise handshake without anything of libp2p: messages without length prefixes, payloads of any content.
///
/// Spec: Noise rev 34, section 5.3. A core that threw is at its end.
struct NoiseCore {
    private let pattern: NoisePattern
    private let role: Role
    private var symmetric: NoiseSymmetric
    private var random: NoiseRandom
    private let localStatic: X25519.PrivateKey?
    private var localEphemeral: X25519.PrivateKey?
    private var remoteEphemeral: Bytes?
    private var index = 0

    /// The other side's static key, once it is known; whose it is, is not known yet.
    private(set) var remoteStatic: Bytes?

    /// `random` feeds the ephemeral keys: `NoiseRandom.length` bytes used for nothing else. `remoteStatic` where the pattern knows it before.
    init(
        _ pattern: NoisePattern, role: Role, prologue: RawSpan = RawSpan(), localStatic: X25519.PrivateKey?, remoteStatic: Bytes? = nil,
        random: SecureBytes
    ) {
        self.pattern = pattern
        self.role = role
        self.localStatic = localStatic
        self.remoteStatic = remoteStatic
        self.random = NoiseRandom(random)
        symmetric = NoiseSymmetric(name: pattern.name)
        symmetric.mixHash(prologue)
        let initiatorStatic = role == .initiator ? localStatic?.publicKey : remoteStatic
        let responderStatic = role == .initiator ? remoteStatic : localStatic?.publicKey
        if pattern.initiatorKnown, let key = initiatorStatic { symmetric.mixHash(key.span) }
        if pattern.responderKnown, let key = responderStatic { symmetric.mixHash(key.span) }
    }

    /// Whether all messages have been exchanged.
    var isComplete: Bool { index == pattern.messages.count }

    /// Whether this side speaks next.
    var isOurTurn: Bool { !isComplete && (index % 2 == 0) == (role == .initiator) }

    /// The handshake hash: unique to this handshake once it is complete.
    var hash: Digest256 { symmetric.hash }

    /// Writes the next message behind `writer`. `payload` gets the hash that the payload is encrypted under.
    mutating func write(to writer: inout ByteWriter, payload: (Digest256) throws(HandshakeError) -> Bytes) throws(HandshakeError) {
        let hash = try begin(&writer)
        end(&writer, payload: try payload(hash))
    }

    /// Writes the next message as far as its payload, and gives the hash that this is encrypted under. `end` must follow.
    mutating func begin(_ writer: inout ByteWriter) throws(HandshakeError) -> Digest256 {
        for token in pattern.messages[index] {
            switch token {
            case .e:
                guard let key = random.ephemeral() else { throw .malformed }
                localEphemeral = key
                symmetric.mixHash(key.publicKey.span)
                writer.write(key.publicKey)
            case .s:
                guard let key = localStatic else { throw .malformed }
                symmetric.encryptAndHash(key.publicKey.span, to: &writer)
            case .ee, .es, .se, .ss: try mix(token)
            case .e1: try writeEncapsulationKey(to: &writer)
            case .ekem1: try writeEncapsulation(to: &writer)
            }
        }
        return symmetric.hash
    }

    /// Writes the payload behind what `begin` wrote.
    mutating func end(_ writer: inout ByteWriter, payload: Bytes) {
        symmetric.encryptAndHash(payload.span, to: &writer)
        index += 1
    }

    /// Reads the next message, all of `input`; gives the payload and the hash it was encrypted under.
    mutating func read(_ input: RawSpan) throws(HandshakeError) -> (payload: Bytes, hash: Digest256) {
        var reader = ByteReader(input)
        for token in pattern.messages[index] {
            switch token {
            case .e:
                guard let key = reader.take(X25519.keyLength) else { throw .malformed }
                symmetric.mixHash(key)
                remoteEphemeral = Bytes(key)
            case .s:
                guard let key = reader.take(X25519.keyLength + symmetric.overhead) else { throw .malformed }
                remoteStatic = try symmetric.decryptAndHash(key)
            case .ee, .es, .se, .ss: try mix(token)
            case .e1: try readEncapsulationKey(&reader)
            case .ekem1: try readEncapsulation(&reader)
            }
        }
        let hash = symmetric.hash
        guard let rest = reader.take(reader.remaining) else { throw .malformed }
        let payload = try symmetric.decryptAndHash(rest)
        index += 1
        return (payload, hash)
    }

    /// The two keys of the transport phase.
    var transportKeys: (initiator: SecureBytes, responder: SecureBytes) { symmetric.split() }

    /// The ciphers for sending and receiving, when the handshake is complete.
    func split() -> (send: RecordCipher, receive: RecordCipher) {
        let keys = transportKeys
        let initiator = NoiseSymmetric.cipher(keys.initiator)
        let responder = NoiseSymmetric.cipher(keys.responder)
        return role == .initiator ? (initiator, responder) : (responder, initiator)
    }

    /// Mixes the Diffie-Hellman result of two keys.
    private mutating func mix(_ token: NoisePattern.Token) throws(HandshakeError) {
        let usesStatic: (local: Bool, remote: Bool) =
            switch token {
            case .ss: (true, true)
            case .es: role == .initiator ? (false, true) : (true, false)
            case .se: role == .initiator ? (true, false) : (false, true)
            case .ee, .e, .s, .e1, .ekem1: (false, false)
            }
        guard let local = usesStatic.local ? localStatic : localEphemeral,
            let remote = usesStatic.remote ? remoteStatic : remoteEphemeral
        else { throw .malformed }
        // Nil is a key of small order, which no honest side sends.
        guard let secret = local.sharedSecret(with: remote) else { throw .notAuthentic }
        symmetric.mixKey(secret)
    }

    // MARK: ML-KEM-768

    private var decapsulationKey: MLKEM768.DecapsulationKey?
    private var remoteEncapsulationKey: MLKEM768.EncapsulationKey?

    private mutating func writeEncapsulationKey(to writer: inout ByteWriter) throws(HandshakeError) {
        guard let key = random.decapsulationKey() else { throw .malformed }
        decapsulationKey = key
        symmetric.encryptAndHash(key.encapsulationKey.encoded.span, to: &writer)
    }

    private mutating func readEncapsulationKey(_ reader: inout ByteReader) throws(HandshakeError) {
        guard let input = reader.take(MLKEM768.encapsulationKeyLength + symmetric.overhead) else { throw .malformed }
        // Nil is a key whose coefficients are not reduced (FIPS 203, section 7.2).
        guard let key = MLKEM768.EncapsulationKey(try symmetric.decryptAndHash(input)) else { throw .malformed }
        remoteEncapsulationKey = key
    }

    private mutating func writeEncapsulation(to writer: inout ByteWriter) throws(HandshakeError) {
        guard let key = remoteEncapsulationKey, let made = random.encapsulate(to: key) else { throw .malformed }
        symmetric.encryptAndHash(made.ciphertext.span, to: &writer)
        symmetric.mixKey(made.sharedSecret)
    }

    private mutating func readEncapsulation(_ reader: inout ByteReader) throws(HandshakeError) {
        guard let key = decapsulationKey, let input = reader.take(MLKEM768.ciphertextLength + symmetric.overhead) else { throw .malformed }
        let ciphertext = try symmetric.decryptAndHash(input)
        guard let secret = key.decapsulate(ciphertext) else { throw .malformed }
        symmetric.mixKey(secret)
    }
}
