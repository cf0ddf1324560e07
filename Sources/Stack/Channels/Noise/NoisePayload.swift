import WaggleBase
import WaggleFormats
import WaggleNetwork

/// What the second and third message of a libp2p Noise handshake carry.
///
/// Wire: protobuf. `NoiseHandshakePayload { bytes identity_key = 1; bytes identity_sig = 2; NoiseExtensions extensions = 4; }`,
/// `NoiseExtensions { repeated bytes webtransport_certhashes = 1; repeated string stream_muxers = 2; repeated string security_protocols = 4;
/// bytes transcript_sig = 5; bytes identity_certificate = 1025; bytes second_identity_sig = 1026; }`. Unknown fields are ignored. Spec: libp2p noise, section "The libp2p Handshake Payload".
struct NoisePayload {
    /// The protobuf `PublicKey` of the sender.
    var identityKey = Bytes()
    /// Its signature of the static key.
    var identitySignature = Bytes()
    /// The muxers it speaks, best first; empty when it wants to negotiate later.
    var muxers: [ProtocolID] = []
    /// The channels it offers or accepts, best first, and its signature of them; both or neither. See `NoiseTranscript`.
    var channels: [ProtocolID] = []
    var transcriptSignature = Bytes()
    /// The certificate of its two identities and the second one's signature; empty when it has one only, nil when it does not know of two.
    /// See `NoiseDualIdentity`.
    var certificate: Bytes?
    var secondSignature = Bytes()

    init() {}

    /// Reads a payload; the byte fields are windows onto `bytes`.
    init(_ bytes: Bytes) throws(HandshakeError) {
        do throws(ProtobufError) { try read(bytes) } catch { throw .malformed }
        guard !identityKey.isEmpty, !identitySignature.isEmpty, channels.isEmpty == transcriptSignature.isEmpty,
            (certificate?.isEmpty ?? true) == secondSignature.isEmpty
        else { throw .malformed }
    }

    private mutating func read(_ bytes: Bytes) throws(ProtobufError) {
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1: identityKey = bytes[try field.range()]
            case 2: identitySignature = bytes[try field.range()]
            case 4:
                var extensions = try field.message()
                while let field = try extensions.next() {
                    switch field.number {
                    case 2: try NoisePayload.append(try field.string(), to: &muxers, limit: NoiseLimits.muxers, field: 2)
                    case 4: try NoisePayload.append(try field.string(), to: &channels, limit: NoiseLimits.channels, field: 4)
                    case 5: transcriptSignature = bytes[try field.range()]
                    case 1025: certificate = bytes[try field.range()]
                    case 1026: secondSignature = bytes[try field.range()]
                    default: break
                    }
                }
            default: break
            }
        }
    }

    private static func append(_ text: String, to list: inout [ProtocolID], limit: Int, field: Int) throws(ProtobufError) {
        guard list.count < limit, text.utf8.count <= NegotiationLimits.lineBytes else { throw .limit(field: field) }
        list.append(ProtocolID(text))
    }

    var encoded: Bytes {
        var writer = ProtobufWriter(capacity: 512)
        writer.write(1, identityKey)
        writer.write(2, identitySignature)
        if !muxers.isEmpty || !channels.isEmpty || !transcriptSignature.isEmpty || certificate != nil {
            writer.message(4) { writer in
                for muxer in muxers { writer.write(2, muxer.text) }
                for channel in channels { writer.write(4, channel.text) }
                if !transcriptSignature.isEmpty { writer.write(5, transcriptSignature) }
                if let certificate { writer.write(1025, certificate) }
                if !secondSignature.isEmpty { writer.write(1026, secondSignature) }
            }
        }
        return writer.finish()
    }
}
