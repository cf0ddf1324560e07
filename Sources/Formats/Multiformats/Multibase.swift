import WaggleBase

/// The encodings that a multibase prefix character can name.
///
/// Spec: multiformats/multibase, README and `multibase.csv`.
public enum Multibase: String, CaseIterable, Sendable {
    case identity
    case base2, base8, base10
    case base16, base16upper
    case base32, base32upper, base32pad, base32padupper
    case base32hex, base32hexupper, base32hexpad, base32hexpadupper
    case base32z
    case base36, base36upper
    case base58btc, base58flickr
    case base64, base64pad, base64url, base64urlpad
    case base256emoji

    /// The base named `name` in the registry, for example `base58btc`.
    public init?(name: String) { self.init(rawValue: name) }

    /// The name in the registry.
    public var name: String { rawValue }

    /// The base whose text begins with `prefix`.
    public init?(prefix: Unicode.Scalar) {
        switch prefix {
        case "z": self = .base58btc
        case "b": self = .base32
        default:
            guard let base = Multibase.allCases.first(where: { $0.prefix == prefix }) else { return nil }
            self = base
        }
    }

    /// The character that a text in this base begins with.
    public var prefix: Unicode.Scalar {
        switch self {
        case .identity: "\0"
        case .base2: "0"
        case .base8: "7"
        case .base10: "9"
        case .base16: "f"
        case .base16upper: "F"
        case .base32: "b"
        case .base32upper: "B"
        case .base32pad: "c"
        case .base32padupper: "C"
        case .base32hex: "v"
        case .base32hexupper: "V"
        case .base32hexpad: "t"
        case .base32hexpadupper: "T"
        case .base32z: "h"
        case .base36: "k"
        case .base36upper: "K"
        case .base58btc: "z"
        case .base58flickr: "Z"
        case .base64: "m"
        case .base64pad: "M"
        case .base64url: "u"
        case .base64urlpad: "U"
        case .base256emoji: "\u{1F680}"
        }
    }

    /// `bytes` as text, with the prefix character unless `prefixed` is false.
    ///
    /// Bases 10, 36 and 58 take time quadratic in the length. `identity` is exact only for bytes that are valid UTF-8.
    public func encode(_ bytes: Bytes, prefixed: Bool = true) -> String {
        bytes.withUnsafeBytes { encode($0, prefixed: prefixed) }
    }

    /// The memory in `bytes` as text, with the prefix character unless `prefixed` is false.
    public func encode(_ bytes: UnsafeRawBufferPointer, prefixed: Bool = true) -> String {
        switch scheme {
        case .bits(let codec): codec.encode(bytes, prefix: prefixed ? UInt8(ascii: prefix) : nil)
        case .positional(let codec): codec.encode(bytes, prefix: prefixed ? UInt8(ascii: prefix) : nil)
        case .identity: (prefixed ? "\0" : "") + String(decoding: bytes, as: UTF8.self)
        case .emoji: (prefixed ? String(prefix) : "") + EmojiCodec.encode(bytes)
        }
    }

    /// The base and the bytes of a text that begins with a prefix character.
    ///
    /// Decoding is strict: padding where the base has it and nowhere else, unused bits zero, so that in a base without case folding every
    /// value has one text. Bases 16, 32 and 36 accept either case, as the registry says.
    public static func decode(_ text: String) throws(MultibaseError) -> (base: Multibase, bytes: Bytes) {
        guard let first = text.unicodeScalars.first else { throw .empty }
        guard let base = Multibase(prefix: first) else { throw .unknownPrefix(first) }
        return (base, try base.decode(text, dropping: UTF8.width(first)))
    }

    /// The bytes of a text in this base without its prefix character.
    public func decode(unprefixed text: String) throws(MultibaseError) -> Bytes { try decode(text, dropping: 0) }

    /// Decodes what follows the first `prefix` bytes of `text`.
    private func decode(_ text: String, dropping prefix: Int) throws(MultibaseError) -> Bytes {
        if case .emoji = scheme { return try EmojiCodec.decode(text.unicodeScalars.dropFirst(prefix == 0 ? 0 : 1)) }
        var text = text
        // `withUTF8` has no typed throws.
        let result = text.withUTF8 { text in
            let digits = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(text)[prefix...])
            return Result { () throws(MultibaseError) in
                switch scheme {
                case .bits(let codec): try codec.decode(digits)
                case .positional(let codec): try codec.decode(digits)
                case .identity, .emoji: Bytes(copying: digits)
                }
            }
        }
        return try result.get()
    }

    private enum Scheme {
        case bits(BitCodec)
        case positional(PositionalCodec)
        case identity
        case emoji
    }

    private var scheme: Scheme {
        switch self {
        case .identity: .identity
        case .base2: .bits(.base2)
        case .base8: .bits(.base8)
        case .base10: .positional(.base10)
        case .base16: .bits(.base16)
        case .base16upper: .bits(.base16upper)
        case .base32: .bits(.base32)
        case .base32upper: .bits(.base32upper)
        case .base32pad: .bits(.base32pad)
        case .base32padupper: .bits(.base32padupper)
        case .base32hex: .bits(.base32hex)
        case .base32hexupper: .bits(.base32hexupper)
        case .base32hexpad: .bits(.base32hexpad)
        case .base32hexpadupper: .bits(.base32hexpadupper)
        case .base32z: .bits(.base32z)
        case .base36: .positional(.base36)
        case .base36upper: .positional(.base36upper)
        case .base58btc: .positional(.base58btc)
        case .base58flickr: .positional(.base58flickr)
        case .base64: .bits(.base64)
        case .base64pad: .bits(.base64pad)
        case .base64url: .bits(.base64url)
        case .base64urlpad: .bits(.base64urlpad)
        case .base256emoji: .emoji
        }
    }
}

/// Why a text is not multibase.
public enum MultibaseError: Error, Equatable, Sendable {
    /// No prefix character.
    case empty
    /// No base has this prefix.
    case unknownPrefix(Unicode.Scalar)
    /// A character outside the alphabet, at this offset (in bytes of UTF-8, not counting the prefix).
    case invalidCharacter(at: Int)
    /// The number of characters, the padding or the unused bits are such as no encoder writes.
    case notCanonical
    /// Longer than `FormatsLimits.positionalTextCharacters`.
    case tooLong(characters: Int)
}
