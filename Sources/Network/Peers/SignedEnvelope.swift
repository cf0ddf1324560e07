import WaggleBase
import WaggleCryptography
import WaggleFormats

/// A payload with its type, signed by a peer for one purpose.
///
/// Wire: protobuf `Envelope { PublicKey public_key = 1; bytes payload_type = 2; bytes payload = 3; bytes signature = 5; }`. Signed are the
/// domain, the payload type and the payload, each with an unsigned varint of its length in front. Spec: libp2p RFC 0002.
public struct SignedEnvelope: Sendable {
    /// Longest envelope that is looked at, in bytes: SLH-DSA's signature takes 7,856, and addresses need room beside it.
    public static let maximumLength = 10 << 10

    public let key: PublicKey
    public let payloadType: Bytes
    public let payload: Bytes
    public let signature: Bytes
    /// The bytes as they were received or made.
    public let encoded: Bytes

    /// Who signed.
    public var signer: PeerID { PeerID(key) }

    /// Signs `payload` for the purpose that `domain` names; nil only when the key cannot sign for lack of randomness.
    public init?(signing payload: Bytes, type: Bytes, domain: String, with key: IdentityKeyPair) {
        guard let signature = key.sign(SignedEnvelope.signed(domain: domain, type: type, payload: payload)) else { return nil }
        self.key = key.publicKey
        payloadType = type
        self.payload = payload
        self.signature = signature
        var writer = ProtobufWriter(capacity: payload.count + key.publicKey.encoded.count + signature.count + 64)
        writer.write(1, key.publicKey.encoded)
        writer.write(2, type)
        writer.write(3, payload)
        writer.write(5, signature)
        encoded = writer.finish()
    }

    /// Reads an envelope and checks its signature for the purpose that `domain` names.
    public init(verifying bytes: Bytes, domain: String) throws(EnvelopeError) {
        guard bytes.count <= SignedEnvelope.maximumLength else { throw .tooLong }
        var key: PublicKey?
        var type = Bytes()
        var payload = Bytes()
        var signature = Bytes()
        do {
            var reader = ProtobufReader(bytes.span)
            while let field = try reader.next() {
                switch field.number {
                case 1: key = try PublicKey(decoding: try field.bytes())
                case 2: type = bytes[try field.range()]
                case 3: payload = bytes[try field.range()]
                case 5: signature = bytes[try field.range()]
                default: break
                }
            }
        } catch { throw .malformed }
        guard let key else { throw .malformed }
        guard key.verify(signature, of: SignedEnvelope.signed(domain: domain, type: type, payload: payload)) else { throw .forged }
        self.key = key
        payloadType = type
        self.payload = payload
        self.signature = signature
        encoded = bytes
    }

    private static func signed(domain: String, type: Bytes, payload: Bytes) -> Bytes {
        var writer = ByteWriter(capacity: payload.count + domain.utf8.count + 32)
        writer.write(varint: UInt64(domain.utf8.count))
        writer.write(utf8: domain)
        writer.write(varint: UInt64(type.count))
        writer.write(type)
        writer.write(varint: UInt64(payload.count))
        writer.write(payload)
        return writer.finish()
    }
}

/// Why an envelope or the record in it is refused.
public enum EnvelopeError: Error, Hashable, Sendable {
    case malformed
    case tooLong
    /// The signature is not the key's for this purpose.
    case forged
    /// The payload is of another type.
    case wrongType
    /// The record speaks for another peer than the one that signed it.
    case wrongPeer
}
