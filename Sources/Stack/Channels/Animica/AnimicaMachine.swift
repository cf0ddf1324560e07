import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The handshake of `/animica/1`.
///
/// ```
/// initiator                                                  responder
///   HELLO   open hello, ek_i ────────────────────────────►     cheap checks, then ct_i = Encaps(ek_i)
///   ◄──── ANSWER  open hello, ct_i, ek_r, {credentials, signature}   sealed under the secret of ct_i
///   FINISH  ct_r, {credentials, signature} ──────────────►     sealed under the secrets of both
/// ```
/// Three messages are the fewest in which each side can sign something fresh of the other and the initiator tells who it is to an
/// authenticated peer only. Either side may send a REFUSAL instead of its next message when the open hellos do not fit.
///
/// States of the initiator: answer → (signing) → complete; of the responder: hello → (signing) → finish → complete. A signature that
/// takes long is handed out as work. Spec: `docs/specs/animica-channel.md`.
struct AnimicaMachine: Handshake {
    private enum State {
        /// Responder: nothing has come.
        case hello
        /// Initiator: HELLO is sent.
        case answer(MLKEM768.DecapsulationKey)
        /// Our credentials wait for their signature.
        case signing(Draft)
        /// Responder: ANSWER is sent.
        case finish(MLKEM768.DecapsulationKey)
        case complete(RecordCipher.Algorithm)
        case over(HandshakeError?)
    }

    /// A message that lacks its sealed part.
    private struct Draft {
        /// Header and open part, which the transcript has absorbed.
        let open: Bytes
        let credentials: Bytes
        /// Ours, when the other side still has to answer.
        let key: MLKEM768.DecapsulationKey?
    }

    /// What the other side proved and said.
    private struct Remote {
        let names: IdentityBindings.Names
        let key: PublicKey
        /// The kinds of keys that signed.
        let signature: String
        let muxer: ProtocolID?
        let transcriptVerified: Bool
    }

    static let keyLength = MLKEM768.encapsulationKeyLength

    private let channel: AnimicaChannel
    private let parameters: HandshakeParameters
    private let random: NoiseRandom
    private var schedule = AnimicaSchedule()
    private var state: State
    private var cipher: RecordCipher.Algorithm?
    /// What the other side must sign with, as its hello said.
    private var theirSignature: AlgorithmPolicy.Algorithm?
    private var output: Bytes?
    private var work: HandshakeWork?
    private var remote: Remote?

    init(_ channel: AnimicaChannel, _ parameters: HandshakeParameters) {
        self.channel = channel
        self.parameters = parameters
        random = NoiseRandom(parameters.random)
        state = .hello
        guard parameters.role == .initiator else { return }
        do throws(HandshakeError) { try sayHello() } catch { state = .over(error) }
    }

    // MARK: The law

    mutating func receive(_ input: RawSpan) throws(HandshakeError) -> Int {
        do throws(HandshakeError) {
            switch state {
            case .hello: return try receiveHello(input)
            case .answer(let key): return try receiveAnswer(input, key)
            case .finish(let key): return try receiveFinish(input, key)
            case .over(let error?): throw error
            case .signing, .complete, .over: return 0
            }
        } catch {
            fail(error)
            throw error
        }
    }

    mutating func next() -> Bytes? { output.take() }

    mutating func finish() -> Secured? {
        guard case .complete(let algorithm) = state, let remote else { return nil }
        state = .over(nil)
        let (ours, theirs): (Role, Role) = parameters.role == .initiator ? (.initiator, .responder) : (.responder, .initiator)
        return Secured(
            peer: remote.names.peer, alias: remote.names.alias, key: remote.key, muxer: remote.muxer,
            records: AnimicaRecords(
                sending: AnimicaDirection(schedule.traffic(ours), algorithm, channel.schedule),
                receiving: AnimicaDirection(schedule.traffic(theirs), algorithm, channel.schedule)),
            security: SecurityInfo(
                channel: channel.protocolID, keyExchange: "ML-KEM-768 mutual", signature: remote.signature, isPostQuantum: true,
                transcriptVerified: remote.transcriptVerified, lifetime: AnimicaLimits.lifetime))
    }

    mutating func takeWork() -> HandshakeWork? { work.take() }

    mutating func complete(_ result: Bytes?) throws(HandshakeError) {
        guard case .signing(let draft) = state else { return }
        do throws(HandshakeError) {
            guard let result else { throw .refused(HandshakeRefusal(.busy, ours: "", theirs: "")) }
            try send(draft, result)
        } catch {
            fail(error)
            throw error
        }
    }

    /// What does not fit is told, anything else is not.
    private mutating func fail(_ error: HandshakeError) {
        output = nil
        work = nil
        if case .over = state { return }
        state = .over(error)
        guard case .refused(let refusal) = error, !refusal.isByPeer else { return }
        output = AnimicaRefusal.frame(refusal.reason, channel)
    }

    // MARK: HELLO

    private mutating func sayHello() throws(HandshakeError) {
        guard let key = random.decapsulationKey() else { throw .malformed }
        let hello = channel.hello
        var frame = ByteWriter(capacity: 1280)
        frame.write(try AnimicaFrame.header(.hello, length: hello.encodedLength + AnimicaMachine.keyLength))
        frame.write(hello.encoded)
        frame.write(key.encapsulationKey.encoded)
        let bytes = frame.finish()
        schedule.absorb(bytes.span)
        output = bytes
        state = .answer(key)
    }

    private mutating func receiveHello(_ input: RawSpan) throws(HandshakeError) -> Int {
        guard let frame = try AnimicaFrame.whole(input, expecting: .hello) else { return 0 }
        let content = input.extracting(AnimicaFrame.headerLength..<frame.total)
        // All that can be refused is refused before the first key is computed.
        let hello = try AnimicaHello.read(content, ours: channel.hello)
        guard content.byteCount == hello.encodedLength + AnimicaMachine.keyLength else { throw .malformed }
        let cipher = try choose(hello)

        schedule.absorb(input.extracting(first: frame.total))
        // Nil is a key whose coefficients are not reduced (FIPS 203, section 7.2).
        guard let theirs = MLKEM768.EncapsulationKey(content.extracting(droppingFirst: hello.encodedLength)),
            let made = random.encapsulate(to: theirs), let ours = random.decapsulationKey()
        else { throw .malformed }
        var answer = channel.hello
        answer.ciphers = [cipher]
        try draft(.answer, [answer.encoded, made.ciphertext, ours.encapsulationKey.encoded], key: ours, mixing: made.sharedSecret)
        return frame.total
    }

    /// Takes the other side's signature algorithm and the first of its ciphers that is allowed; refuses what is not.
    private mutating func choose(_ hello: AnimicaHello) throws(HandshakeError) -> UInt16 {
        let policy = channel.network.policy
        func refuse(_ ours: [UInt16], _ theirs: [UInt16]) -> HandshakeError {
            .refused(HandshakeRefusal(.algorithm, ours: AnimicaRefusal.names(ours), theirs: AnimicaRefusal.names(theirs)))
        }
        guard hello.kem == AlgorithmPolicy.Algorithm.mlKEM768.id else { throw refuse(policy.ids(.kem), [hello.kem]) }
        guard let signature = policy.algorithms.first(where: { $0.category == .signature && $0.id == hello.signature }) else {
            throw refuse(policy.ids(.signature), [hello.signature])
        }
        guard let id = hello.ciphers.first(where: { policy.allows(.cipher, $0) }), let algorithm = AnimicaChannel.cipher(id) else {
            throw refuse(policy.ids(.cipher), hello.ciphers)
        }
        theirSignature = signature
        cipher = algorithm
        return id
    }

    // MARK: ANSWER

    private mutating func receiveAnswer(_ input: RawSpan, _ key: MLKEM768.DecapsulationKey) throws(HandshakeError) -> Int {
        guard let frame = try AnimicaFrame.whole(input, expecting: .answer) else { return 0 }
        let content = input.extracting(AnimicaFrame.headerLength..<frame.total)
        if frame.kind == .refusal { throw try AnimicaRefusal.read(content, channel) }
        let hello = try AnimicaHello.read(content, ours: channel.hello)
        guard hello.ciphers.count == 1 else { throw .malformed }
        _ = try choose(hello)
        let openLength = hello.encodedLength + MLKEM768.ciphertextLength + AnimicaMachine.keyLength
        guard content.byteCount > openLength + RecordCipher.tagLength else { throw .malformed }

        schedule.absorb(input.extracting(first: AnimicaFrame.headerLength + openLength))
        var reader = ByteReader(content.extracting(droppingFirst: hello.encodedLength))
        guard let ciphertext = reader.take(MLKEM768.ciphertextLength), let encoded = reader.take(AnimicaMachine.keyLength),
            let theirs = MLKEM768.EncapsulationKey(encoded), let secret = key.decapsulate(ciphertext), let sealed = reader.take(reader.remaining)
        else { throw .malformed }
        schedule.mix(secret)
        try receiveCredentials(sealed, from: .responder)

        guard let made = random.encapsulate(to: theirs) else { throw .malformed }
        try draft(.finish, [made.ciphertext], key: nil, mixing: made.sharedSecret)
        return frame.total
    }

    // MARK: FINISH

    private mutating func receiveFinish(_ input: RawSpan, _ key: MLKEM768.DecapsulationKey) throws(HandshakeError) -> Int {
        guard let frame = try AnimicaFrame.whole(input, expecting: .finish) else { return 0 }
        let content = input.extracting(AnimicaFrame.headerLength..<frame.total)
        if frame.kind == .refusal { throw try AnimicaRefusal.read(content, channel) }
        guard content.byteCount > MLKEM768.ciphertextLength + RecordCipher.tagLength, let cipher else { throw .malformed }

        schedule.absorb(input.extracting(first: AnimicaFrame.headerLength + MLKEM768.ciphertextLength))
        guard let secret = key.decapsulate(content.extracting(first: MLKEM768.ciphertextLength)) else { throw .malformed }
        schedule.mix(secret)
        try receiveCredentials(content.extracting(droppingFirst: MLKEM768.ciphertextLength), from: .initiator)
        state = .complete(cipher)
        return frame.total
    }

    // MARK: Credentials

    /// Absorbs the open part of our next message, mixes its secret and has our credentials signed, here or as work.
    private mutating func draft(
        _ kind: AnimicaFrame.Kind, _ parts: [Bytes], key: MLKEM768.DecapsulationKey?, mixing secret: SecureBytes
    ) throws(HandshakeError) {
        let identity = channel.key
        var mine = AnimicaCredentials(
            identityKey: identity.publicKey.encoded, transports: channel.transports, muxers: parameters.muxers,
            channels: parameters.configuredChannels)
        if let pair = channel.pair, let bindings = channel.bindings {
            guard let certificate = pair.second.certificate(at: bindings.now) else { throw .malformed }
            mine.certificate = certificate.encoded
        }
        let pairLength = mine.certificate.isEmpty ? 0 : AnimicaPairProof.signatureLength
        let unproven = try mine.encoded()
        let length =
            parts.reduce(0) { $0 + $1.count } + unproven.count + pairLength + identity.publicKey.kind.maximumSignatureLength
            + RecordCipher.tagLength
        var writer = ByteWriter(capacity: AnimicaFrame.headerLength + length)
        writer.write(try AnimicaFrame.header(kind, length: length))
        for part in parts { writer.write(part) }
        let open = writer.finish()
        schedule.absorb(open.span)
        schedule.mix(secret)
        if pairLength > 0, let pair = channel.pair { mine.pairSignature = try pair.sign(unproven, schedule, parameters.role) }
        let credentials = try mine.encoded()
        let draft = Draft(open: open, credentials: credentials, key: key)
        let signed = schedule.signedBytes(parameters.role, credentials.span)
        if identity.isSlow {
            state = .signing(draft)
            work = { identity.sign(signed) }
        } else {
            guard let signature = identity.sign(signed) else { throw .malformed }
            try send(draft, signature)
        }
    }

    /// Seals credentials and signature behind the open part.
    private mutating func send(_ draft: Draft, _ signature: Bytes) throws(HandshakeError) {
        guard let algorithm = cipher else { throw .malformed }
        var plaintext = ByteWriter(capacity: draft.credentials.count + signature.count)
        plaintext.write(draft.credentials)
        plaintext.write(signature)
        let bytes = plaintext.finish()
        let sealing = schedule.sealing(parameters.role, algorithm)
        let sealed = schedule.hash.withUnsafeBytes {
            sealing.cipher.seal(bytes.span, authenticating: $0.bytes, nonce: sealing.nonce)
        }
        schedule.absorb(sealed.span)
        var frame = ByteWriter(capacity: draft.open.count + sealed.count)
        frame.write(draft.open)
        frame.write(sealed)
        output = frame.finish()
        if let key = draft.key { state = .finish(key) } else { state = .complete(algorithm) }
    }

    /// Opens the other side's credentials and believes them if its identity signed them and all that was said before.
    private mutating func receiveCredentials(_ sealed: RawSpan, from role: Role) throws(HandshakeError) {
        guard let algorithm = cipher else { throw .malformed }
        let sealing = schedule.sealing(role, algorithm)
        let opened = schedule.hash.withUnsafeBytes { sealing.cipher.open(sealed, authenticating: $0.bytes, nonce: sealing.nonce) }
        guard let plaintext = opened else { throw .notAuthentic }
        let (credentials, length) = try AnimicaCredentials.read(plaintext)
        let key: PublicKey
        do throws(KeyError) { key = try PublicKey(decoding: credentials.identityKey) } catch { throw .keyRefused(error) }
        guard AnimicaChannel.algorithm(of: key.kind) == theirSignature else { throw .notAuthentic }
        let signed = schedule.signedBytes(role, plaintext.prefix(length).span)
        guard key.verify(plaintext.dropFirst(length), of: signed) else { throw .notAuthentic }
        let pairBytes = schedule.pairBytes(role, plaintext.prefix(length - credentials.pairSignature.count).span)
        schedule.absorb(sealed)
        let verified = try parameters.verifyNegotiation(offered: credentials.channels, negotiated: channel.protocolID)
        let (names, named, signature) = try AnimicaPairProof.settle(PeerID(key), key, credentials, signed: pairBytes, channel.bindings)
        if let expected = parameters.expectedPeer, expected != names.peer, expected != names.alias {
            throw .wrongPeer(expected: expected, actual: names.peer)
        }
        remote = Remote(
            names: names, key: named, signature: signature, muxer: try parameters.muxer(offered: credentials.muxers),
            transcriptVerified: verified)
    }
}
