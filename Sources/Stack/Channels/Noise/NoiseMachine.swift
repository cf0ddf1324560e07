import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The libp2p handshake over Noise XX or XXhfs.
///
/// ```
/// initiator                                    responder
///     e [, e1] ────────────────────────────►
///     ◄──── e, ee [, ekem1], s, es, payload      identity, muxers, channels (signed)
///     s, se, payload ──────────────────────►      identity, muxers, channels (signed)
/// ```
/// A message whose payload waits for a slow signature stands in `draft` meanwhile; nothing is received then.
///
/// Wire: each message behind its length, u16 big-endian. The payload of the first message is empty and ignored. Spec: libp2p noise.
struct NoiseMachine: Handshake {
    private let channel: NoiseChannel
    private let parameters: HandshakeParameters
    private var core: NoiseCore
    private var output: Bytes?
    private var failure: HandshakeError?
    private var remote: Remote?
    private var isFinished = false
    private var draft: Draft?
    private var work: HandshakeWork?

    /// A message that lacks its payload.
    private struct Draft {
        let head: Bytes
        let payload: NoisePayload
    }

    /// What the other side's payload proved and said.
    private struct Remote {
        let names: IdentityBindings.Names
        let key: PublicKey
        /// The kinds of keys that signed.
        let signature: String
        /// Whether the other side can verify a second identity.
        let knowsTwo: Bool
        let muxer: ProtocolID?
        let transcriptVerified: Bool
    }

    init(_ channel: NoiseChannel, _ parameters: HandshakeParameters, prologue: RawSpan = RawSpan()) {
        self.channel = channel
        self.parameters = parameters
        core = NoiseCore(
            channel.pattern, role: parameters.role, prologue: prologue, localStatic: channel.keys.staticKey, random: parameters.random)
        do throws(HandshakeError) { try speak() } catch { failure = error }
    }

    mutating func receive(_ input: RawSpan) throws(HandshakeError) -> Int {
        if let failure { throw failure }
        guard !core.isComplete, !core.isOurTurn, draft == nil else { return 0 }
        do throws(HandshakeError) {
            var reader = ByteReader(input)
            guard let length = reader.integer(UInt16.self) else { return 0 }
            guard Int(length) <= NoiseLimits.handshakeMessageBytes else { throw .tooLong(bytes: Int(length)) }
            guard let message = reader.take(Int(length)) else { return 0 }
            try handle(message)
            try speak()
            return 2 + Int(length)
        } catch {
            failure = error
            output = nil
            throw error
        }
    }

    mutating func next() -> Bytes? { output.take() }

    mutating func finish() -> Secured? {
        guard core.isComplete, !isFinished, failure == nil, let remote else { return nil }
        isFinished = true
        let ciphers = core.split()
        return Secured(
            peer: remote.names.peer, alias: remote.names.alias, key: remote.key, muxer: remote.muxer,
            records: NoiseRecords(sending: ciphers.send, receiving: ciphers.receive),
            security: SecurityInfo(
                channel: channel.protocolID, keyExchange: channel.suite.keyExchange, signature: remote.signature,
                isPostQuantum: channel.isPostQuantum, transcriptVerified: remote.transcriptVerified))
    }

    mutating func takeWork() -> HandshakeWork? { work.take() }

    mutating func complete(_ result: Bytes?) throws(HandshakeError) {
        guard let draft else { return }
        self.draft = nil
        do throws(HandshakeError) {
            guard let result else { throw .refused(HandshakeRefusal(.busy, ours: "", theirs: "")) }
            var payload = draft.payload
            payload.transcriptSignature = result
            try send(draft.head, payload.encoded)
        } catch {
            failure = error
            throw error
        }
    }

    /// Writes the next message if it is our turn.
    private mutating func speak() throws(HandshakeError) {
        guard core.isOurTurn else { return }
        var writer = ByteWriter(capacity: 2048)
        let hash = try core.begin(&writer)
        let head = writer.finish()
        let opens = remote == nil && parameters.role == .initiator
        guard !opens else { return try send(head, Bytes()) }
        let keys = channel.keys
        var payload = NoisePayload()
        payload.identityKey = keys.identity.key.publicKey.encoded
        payload.identitySignature = keys.signature
        payload.muxers = parameters.muxers
        payload.channels = parameters.configuredChannels
        // A dialer has heard whether the listener knows what a second identity is.
        let showsSecond = parameters.role == .responder || remote?.knowsTwo == true
        if showsSecond { try NoiseDualIdentity.write(to: &payload, keys, hash, payload.channels) }
        guard !parameters.configuredChannels.isEmpty else { return try send(head, payload.encoded) }
        guard let signed = NoiseTranscript.signedBytes(hash, parameters.configuredChannels) else { throw .malformed }
        let key = keys.identity.key
        guard !key.isSlow else {
            draft = Draft(head: head, payload: payload)
            work = { key.sign(signed) }
            return
        }
        guard let signature = key.sign(signed) else { throw .malformed }
        payload.transcriptSignature = signature
        try send(head, payload.encoded)
    }

    /// Puts the payload behind the head of a message, and the length before it.
    private mutating func send(_ head: Bytes, _ payload: Bytes) throws(HandshakeError) {
        var writer = ByteWriter(capacity: head.count + payload.count + 32)
        writer.write(head)
        core.end(&writer, payload: payload)
        let message = writer.finish()
        guard let length = UInt16(exactly: message.count) else { throw .tooLong(bytes: message.count) }
        var framed = ByteWriter(capacity: 2 + message.count)
        framed.write(integer: length)
        framed.write(message)
        output = framed.finish()
    }

    private mutating func handle(_ message: RawSpan) throws(HandshakeError) {
        let (bytes, hash) = try core.read(message)
        // Nothing is known of who sent the first message, so nothing in it is believed.
        guard let staticKey = core.remoteStatic else { return }
        let payload = try NoisePayload(bytes)
        let verified = try channel.keys.verify(payload, staticKey: staticKey)
        let (names, key, signature) = try NoiseDualIdentity.read(payload, channel.keys, hash, verified)
        if let expected = parameters.expectedPeer, expected != names.peer, expected != names.alias {
            throw .wrongPeer(expected: expected, actual: names.peer)
        }
        let transcriptVerified = try NoiseTranscript.verify(
            payload, hash, signedBy: verified.key, negotiated: channel.protocolID, parameters)
        remote = Remote(
            names: names, key: key, signature: signature, knowsTwo: payload.certificate != nil,
            muxer: try parameters.muxer(offered: payload.muxers), transcriptVerified: transcriptVerified)
    }
}
