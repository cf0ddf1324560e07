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
/// Wire: each message behind its length, u16 big-endian. The payload of the first message is empty and ignored. Spec: libp2p noise.
struct NoiseMachine: Handshake {
    private let channel: NoiseChannel
    private let parameters: HandshakeParameters
    private var core: NoiseCore
    private var output: Bytes?
    private var failure: HandshakeError?
    private var remote: Remote?
    private var isFinished = false

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
        guard !core.isComplete, !core.isOurTurn else { return 0 }
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

    /// Writes the next message if it is our turn.
    private mutating func speak() throws(HandshakeError) {
        guard core.isOurTurn else { return }
        let opens = remote == nil && parameters.role == .initiator
        var writer = ByteWriter(capacity: 2048)
        let (channel, parameters) = (channel, parameters)
        // A dialer has heard whether the listener knows what a second identity is.
        let showsSecond = parameters.role == .responder || remote?.knowsTwo == true
        try core.write(to: &writer) { hash throws(HandshakeError) in
            opens ? Bytes() : try NoiseMachine.payload(channel, parameters, hash, showsSecond: showsSecond)
        }
        let message = writer.finish()
        guard let length = UInt16(exactly: message.count) else { throw .tooLong(bytes: message.count) }
        var framed = ByteWriter(capacity: 2 + message.count)
        framed.write(integer: length)
        framed.write(message)
        output = framed.finish()
    }

    private static func payload(
        _ channel: NoiseChannel, _ parameters: HandshakeParameters, _ hash: Digest256, showsSecond: Bool
    ) throws(HandshakeError) -> Bytes {
        var payload = NoisePayload()
        payload.identityKey = channel.keys.identity.key.publicKey.encoded
        payload.identitySignature = channel.keys.signature
        payload.muxers = parameters.muxers
        if !parameters.configuredChannels.isEmpty {
            guard let signed = NoiseTranscript.signedBytes(hash, parameters.configuredChannels),
                let signature = channel.keys.identity.key.sign(signed)
            else { throw .malformed }
            payload.channels = parameters.configuredChannels
            payload.transcriptSignature = signature
        }
        if showsSecond { try NoiseDualIdentity.write(to: &payload, channel.keys, hash, payload.channels) }
        return payload.encoded
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
