import WaggleBase

/// How messages of one type become bytes and come back.
public struct MessageCodec<Message: Sendable>: Sendable {
    public let encode: @Sendable (Message) throws -> Bytes
    /// Throws for bytes that are no such message. They come from a remote: anything is possible.
    public let decode: @Sendable (Bytes) throws -> Message

    public init(encode: @escaping @Sendable (Message) throws -> Bytes, decode: @escaping @Sendable (Bytes) throws -> Message) {
        self.encode = encode
        self.decode = decode
    }
}

extension MessageCodec where Message == Bytes {
    /// Bytes as they are.
    public static let bytes = MessageCodec(encode: { $0 }, decode: { $0 })
}

extension MessageCodec where Message == String {
    /// UTF-8.
    public static let text = MessageCodec(
        encode: { Bytes(utf8: $0) },
        decode: { bytes in
            guard let text = bytes.utf8 else { throw RequestError.malformed }
            return text
        })
}
