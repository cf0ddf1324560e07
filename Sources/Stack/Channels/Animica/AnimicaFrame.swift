import WaggleBase
import WaggleNetwork

/// The frame around a handshake message.
///
/// Wire: type (u8) ‖ length of what follows (u16 big-endian) ‖ content. Spec: `docs/specs/animica-channel.md`, section "Frames".
enum AnimicaFrame {
    /// Says which message it is and, with it, which side may send it: a reflected message has the wrong type.
    enum Kind: UInt8 {
        /// Initiator: open hello, ML-KEM key.
        case hello = 1
        /// Responder: open hello, ML-KEM ciphertext and key, sealed credentials.
        case answer = 2
        /// Initiator: ML-KEM ciphertext, sealed credentials.
        case finish = 3
        /// Either side, instead of its next message.
        case refusal = 0x7f
    }

    static let headerLength = 3

    /// How long the frame at the start of `input` is in all, and what it is; nil when it is not all there. A frame is looked at when it is
    /// complete: what is left unread when a connection is refused would make the kernel reset it, and the refusal be lost.
    ///
    /// Throws for a type that does not exist or is not `expected` (a refusal may come instead of what answers a message), and for a length
    /// that no such message has, as soon as they are seen.
    static func whole(_ input: RawSpan, expecting expected: Kind) throws(HandshakeError) -> (kind: Kind, total: Int)? {
        var reader = ByteReader(input)
        guard let type = reader.byte() else { return nil }
        guard let kind = Kind(rawValue: type), kind == expected || (kind == .refusal && expected != .hello) else { throw .malformed }
        guard let length = reader.integer(UInt16.self).map(Int.init) else { return nil }
        let longest =
            switch kind {
            case .hello: AnimicaLimits.helloBytes
            case .answer, .finish: AnimicaLimits.messageBytes
            case .refusal: 1 + AnimicaLimits.refusalBytes
            }
        guard length <= longest else { throw .tooLong(bytes: length) }
        return reader.remaining >= length ? (kind, headerLength + length) : nil
    }

    /// The three bytes in front of `length` bytes of content.
    static func header(_ kind: Kind, length: Int) throws(HandshakeError) -> Bytes {
        guard let short = UInt16(exactly: length) else { throw .tooLong(bytes: length) }
        return Bytes([kind.rawValue, UInt8(short >> 8), UInt8(short & 0xff)])
    }
}
