import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The extension that notices a stripped offer.
///
/// Channels are negotiated in plaintext. Someone on the path can drop the dialer's proposal of a post-quantum channel, or answer `na` in the
/// listener's place, and both sides end up on a weaker channel, each believing that the other has nothing better. So each side
/// puts the ordered list of all channels it offers (dialer) or accepts (listener) into its encrypted payload and signs it, and
/// each recomputes what the negotiation should have given: *the dialer's first channel that the listener accepts*. If that is not
/// the channel they are on, it aborts.
///
/// Why this is sound:
/// - The signature covers the handshake hash under which the payload is encrypted. That hash covers the channel's name, both ephemeral keys
///   and the sender's static key, so a list cannot be replayed from another session or carried over from another channel.
/// - The listener speaks in the second message, so the dialer finds a forged `na` before it sends anything but keys; the dialer's list is in the
///   third, so the listener finds a stripped proposal before it sends anything at all in the transport phase.
/// - Both compute from the same two lists, each from its own and a verified one. Changing either takes the signing key of the identity: even
///   someone who holds a peer's static Noise key (or will compute it with a quantum computer) cannot make its identity say this.
///   `identity_sig` alone is no such proof, since it covers only the static key and is the same in each session; with a
///   post-quantum identity key this signature is what authenticates the session against a quantum computer.
/// - A list without a signature, or the other way round, is an error. Nobody on the path can remove both, because they travel inside the
///   authenticated encryption of the payload; so an absent extension means a peer that does not know it. It is accepted, and
///   `SecurityInfo.transcriptVerified` is false. What remains is an attacker who can break the *weak* channel while it is being
///   set up. Only the policy `require` helps against that one.
///
/// Wire: extension fields 4 and 5; the signed bytes are `noise-libp2p-transcript:` ‖ h (32) ‖ for each id: u16 big-endian length in bytes,
/// UTF-8. The lengths keep `["ab", "c"]` and `["a", "bc"]` apart.
enum NoiseTranscript {
    private static let domain = "noise-libp2p-transcript:"

    /// What is signed; nil when the list is longer than `NoiseLimits` allow.
    static func signedBytes(_ hash: Digest256, _ channels: [ProtocolID]) -> Bytes? {
        var writer = ByteWriter(capacity: 256)
        writer.write(utf8: domain)
        hash.withUnsafeBytes { writer.write($0) }
        return write(channels, to: &writer) ? writer.finish() : nil
    }

    /// Appends the signed form of a list; false when it is longer than `NoiseLimits` allow.
    static func write(_ channels: [ProtocolID], to writer: inout ByteWriter) -> Bool {
        guard channels.count <= NoiseLimits.channels else { return false }
        let start = writer.count
        for channel in channels {
            guard let length = UInt16(exactly: channel.text.utf8.count) else { return false }
            writer.write(integer: length)
            writer.write(utf8: channel.text)
        }
        return writer.count - start <= NoiseLimits.channelBytes
    }

    /// The channel that the negotiation should have given.
    static func expected(dialer: [ProtocolID], listener: [ProtocolID]) -> ProtocolID? {
        dialer.first { listener.contains($0) }
    }

    /// Checks the list in `payload`, which was encrypted under `hash`, against ours. False when the other side does not know the
    /// extension, or when our channel was not negotiated.
    static func verify(
        _ payload: NoisePayload, _ hash: Digest256, signedBy key: PublicKey, negotiated: ProtocolID, _ parameters: HandshakeParameters
    ) throws(HandshakeError) -> Bool {
        guard !payload.channels.isEmpty, !parameters.configuredChannels.isEmpty else { return false }
        guard let signed = signedBytes(hash, payload.channels) else { throw .malformed }
        guard key.verify(payload.transcriptSignature, of: signed) else { throw .notAuthentic }
        return try parameters.verifyNegotiation(offered: payload.channels, negotiated: negotiated)
    }
}
