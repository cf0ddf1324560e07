import WaggleBase

/// A digest that says which hash function made it.
///
/// Wire shape: varint function code, varint digest length in bytes, digest. Spec: multiformats/multihash, README "Format".
/// Digests shorter than the function's output are legal (truncation); more than `FormatsLimits.digestBytes` are refused.
public struct Multihash: Sendable {
    /// The hash function.
    public let code: Multicodec
    /// The whole encoding.
    public let bytes: Bytes
    @usableFromInline let digestOffset: Int

    /// The digest of `code`.
    public init(_ code: Multicodec, digest: Bytes) throws(MultihashError) {
        self = try digest.withUnsafeBytes { digest throws(MultihashError) in try Multihash(code, digest: digest) }
    }

    /// The digest of `code` in `digest`, which is copied.
    public init(_ code: Multicodec, digest: UnsafeRawBufferPointer) throws(MultihashError) {
        guard digest.count <= FormatsLimits.digestBytes else { throw .digestTooLong(bytes: UInt64(digest.count)) }
        guard code.rawValue < 1 << 63 else { throw .malformed }
        let header = Varint.length(of: code.rawValue) + Varint.length(of: UInt64(digest.count))
        var writer = ByteWriter(capacity: header + digest.count)
        writer.write(varint: code.rawValue)
        writer.write(varint: UInt64(digest.count))
        writer.write(digest)
        self.init(code: code, bytes: writer.finish(), digestOffset: header)
    }

    /// An encoding that takes all of `bytes`; keeps a window onto them.
    public init(bytes: Bytes) throws(MultihashError) {
        var reader = ByteReader(bytes.span)
        let header = try Multihash.header(&reader)
        guard header.length == reader.remaining else {
            throw header.length > reader.remaining ? .malformed : .trailingBytes(reader.remaining - header.length)
        }
        self.init(code: header.code, bytes: bytes, digestOffset: bytes.count - header.length)
    }

    /// The base58btc text of `bytes`, without a multibase prefix, as PeerIDs and CIDv0 are written.
    public init(base58 text: String) throws(MultihashError) {
        let bytes: Bytes
        do { bytes = try Multibase.base58btc.decode(unprefixed: text) } catch { throw .malformed }
        try self.init(bytes: bytes)
    }

    init(code: Multicodec, bytes: Bytes, digestOffset: Int) {
        self.code = code
        self.bytes = bytes
        self.digestOffset = digestOffset
    }

    /// Reads one multihash, copying it out of the reader's memory.
    @_lifetime(reader: copy reader)
    public static func decode(from reader: inout ByteReader) throws(MultihashError) -> Multihash {
        let header = try Multihash.header(&reader)
        guard let digest = reader.take(header.length) else { throw .malformed }
        return try digest.withUnsafeBytes { digest throws(MultihashError) in try Multihash(header.code, digest: digest) }
    }

    @_lifetime(reader: copy reader)
    static func header(_ reader: inout ByteReader) throws(MultihashError) -> (code: Multicodec, length: Int) {
        guard let code = reader.varint(), let length = reader.varint() else { throw .malformed }
        guard length <= UInt64(FormatsLimits.digestBytes) else { throw .digestTooLong(bytes: length) }
        return (Multicodec(rawValue: code), Int(length))
    }

    /// The digest, a window onto `bytes`.
    @inlinable public var digest: Bytes { bytes[digestOffset..<bytes.count] }

    /// The base58btc text without a multibase prefix.
    public var base58: String { Multibase.base58btc.encode(bytes, prefixed: false) }
}

extension Multihash: Hashable, CustomStringConvertible {
    public static func == (left: Multihash, right: Multihash) -> Bool { left.bytes == right.bytes }
    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

    /// The base58btc text.
    public var description: String { base58 }
}

/// Why bytes or text are not a multihash.
public enum MultihashError: Error, Equatable, Sendable {
    /// Cut short, a varint that is not canonical, or not base58.
    case malformed
    /// A digest of more than `FormatsLimits.digestBytes`.
    case digestTooLong(bytes: UInt64)
    /// This many bytes after the digest.
    case trailingBytes(Int)
}
