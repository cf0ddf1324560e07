import WaggleBase

/// What a frame is for.
enum YamuxKind: UInt8 {
    case data = 0, windowUpdate = 1, ping = 2, goAway = 3
}

/// The flags of a frame.
struct YamuxFlags: OptionSet, Hashable {
    let rawValue: UInt16

    /// Opens a stream, or asks with a ping.
    static let syn = YamuxFlags(rawValue: 1)
    /// Accepts a stream, or answers a ping.
    static let ack = YamuxFlags(rawValue: 2)
    /// Ends the sender's side.
    static let fin = YamuxFlags(rawValue: 4)
    /// Abandons both sides.
    static let rst = YamuxFlags(rawValue: 8)
}

/// The header of a yamux frame.
///
/// Wire, in network byte order: version (1 byte, 0), type (1), flags (2), stream (4), length (4). The length is that of the payload (data), an
/// increase of the window (window update; with RST an error code), the value of a ping, or the code of a farewell.
/// Spec: hashicorp/yamux spec.md, section "Framing"; libp2p yamux, error codes on reset.
struct YamuxHeader: Hashable {
    var kind: YamuxKind
    var flags: YamuxFlags = []
    /// 0 for the session.
    var stream: UInt32 = 0
    var length: UInt32 = 0

    static let size = 12

    /// Reads a header from the first 12 of `bytes`; nil when the version or the type is unknown.
    init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= YamuxHeader.size else { return nil }
        let first = UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self))
        guard first >> 24 == 0, let kind = YamuxKind(rawValue: UInt8(truncatingIfNeeded: first >> 16)) else { return nil }
        self.kind = kind
        flags = YamuxFlags(rawValue: UInt16(truncatingIfNeeded: first))
        stream = UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt32.self))
        length = UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }

    init(_ kind: YamuxKind, _ flags: YamuxFlags = [], stream: UInt32 = 0, length: UInt32 = 0) {
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.length = length
    }

    /// Writes the 12 bytes to `target`.
    func write(to target: UnsafeMutableRawPointer) {
        let first = UInt32(kind.rawValue) << 16 | UInt32(flags.rawValue)
        target.storeBytes(of: first.bigEndian, toByteOffset: 0, as: UInt32.self)
        target.storeBytes(of: stream.bigEndian, toByteOffset: 4, as: UInt32.self)
        target.storeBytes(of: length.bigEndian, toByteOffset: 8, as: UInt32.self)
    }
}
