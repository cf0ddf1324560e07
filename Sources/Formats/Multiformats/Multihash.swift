import WaggleBase

/// A digest that says which hash function made it.
///
/// Wire shape: varint function code, varint digest length in bytes, digest. Spec: multiformats/multihash, README "Format".
/// Digests shorter than the function's output are legal (truncation); more than `FormatsLimits.digestBytes` are refused.
public struct Multihash: Hashable, Sendable {
    private let storage: CompactBytes
    private let digestOffset: UInt8

    /// The digest of `code`.
    public init(_ code: Multicodec, digest: Bytes) throws(MultihashError) {
        self = try digest.withUnsafeBytes { digest throws(MultihashError) in try Multihash(code, digest: digest) }
    }

    /// The digest of `code` in `digest`.
    public init(_ code: Multicodec, digest: UnsafeRawBufferPointer) throws(MultihashError) {
        guard digest.count <= FormatsLimits.digestBytes else { throw .digestTooLong(bytes: UInt64(digest.count)) }
        guard code.rawValue < 1 << 63 else { throw .malformed }
        self = Varint.withBytes((code.rawValue, UInt64(digest.count), nil, nil)) { header in
            Multihash(storage: CompactBytes(header, digest), digestOffset: header.count)
        }
    }

    /// The encoding that takes all of `bytes`.
    public init(bytes: Bytes) throws(MultihashError) {
        self = try bytes.withUnsafeBytes { bytes throws(MultihashError) in
            var reader = ByteReader(bytes.bytes)
            let length = try Multihash.header(&reader)
            let offset = bytes.count - reader.remaining
            guard length == reader.remaining else {
                throw length > reader.remaining ? .malformed : .trailingBytes(reader.remaining - length)
            }
            return Multihash(storage: CompactBytes(bytes), digestOffset: offset)
        }
    }

    /// The base58btc text of `bytes`, without a multibase prefix, as PeerIDs and CIDv0 are written.
    public init(base58 text: String) throws(MultihashError) {
        let bytes: Bytes
        do { bytes = try Multibase.base58btc.decode(unprefixed: text) } catch { throw .malformed }
        try self.init(bytes: bytes)
    }

    init(storage: CompactBytes, digestOffset: Int) {
        self.storage = storage
        self.digestOffset = UInt8(truncatingIfNeeded: digestOffset)  // at most 11
    }

    /// Reads one multihash, copying it out of the reader's memory.
    @_lifetime(reader: copy reader)
    public static func decode(from reader: inout ByteReader) throws(MultihashError) -> Multihash {
        var probe = copy reader
        let length = try header(&probe)
        let offset = reader.remaining - probe.remaining
        guard let span = reader.take(offset + length) else { throw .malformed }
        return span.withUnsafeBytes { Multihash(storage: CompactBytes($0), digestOffset: offset) }
    }

    /// Advances past the header and gives the length of the digest, which may not be there.
    @_lifetime(reader: copy reader)
    static func header(_ reader: inout ByteReader) throws(MultihashError) -> Int {
        guard reader.varint() != nil, let length = reader.varint() else { throw .malformed }
        guard length <= UInt64(FormatsLimits.digestBytes) else { throw .digestTooLong(bytes: length) }
        return Int(length)
    }

    /// The hash function.
    public var code: Multicodec { Multicodec(rawValue: storage.varint(at: 0)) }

    /// The whole encoding: a copy, so that in hot places `withUnsafeBytes` is better.
    public var bytes: Bytes { storage.bytes() }

    /// The digest: a copy, so that in hot places `withUnsafeDigest` is better.
    public var digest: Bytes { storage.bytes(from: Int(digestOffset)) }

    /// Bytes in the encoding.
    public var count: Int { storage.count }

    /// Bytes in the digest.
    public var digestCount: Int { storage.count - Int(digestOffset) }

    /// Calls `body` with the whole encoding; the pointer must not escape.
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try storage.withUnsafeBytes(body)
    }

    /// Calls `body` with the digest; the pointer must not escape.
    public func withUnsafeDigest<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try storage.withUnsafeBytes(from: Int(digestOffset), body)
    }

    /// The base58btc text without a multibase prefix.
    public var base58: String { withUnsafeBytes { Multibase.base58btc.encode($0, prefixed: false) } }

    public static func == (left: Multihash, right: Multihash) -> Bool { left.storage == right.storage }
    public func hash(into hasher: inout Hasher) { hasher.combine(storage) }
}

extension Multihash: CustomStringConvertible {
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
