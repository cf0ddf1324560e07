import WaggleBase

/// A content identifier: the hash of a block and how to read the block.
///
/// Wire shape: version 1 is varint 1, varint codec, multihash; version 0 is a bare SHA2-256 multihash (`12 20`, 32 bytes) of a
/// dag-pb block. Spec: multiformats/cid, README "How does it work" and "Decoding Algorithm".
/// Cost: up to 40 bytes of it lie in the value itself, so that copying, comparing and hashing a usual CID touches no other memory.
public struct CID: Sendable {
    private let storage: CompactBytes
    private let hashOffset: UInt8
    private let digestOffset: UInt8

    /// The versions of a CID that exist.
    public enum Version: Int, Sendable { case v0, v1 }

    /// A version 1 CID.
    public init(codec: Multicodec, hash: Multihash) throws(CIDError) {
        guard codec.rawValue < 1 << 63 else { throw .malformed }
        self = Varint.withBytes((1, codec.rawValue, nil, nil)) { header in
            hash.withUnsafeBytes { hash in CompactBytes(header, hash) }.cid(header.count, header.count + hash.count - hash.digestCount)
        }
    }

    /// A version 1 CID of the SHA2-256 digest in `digest`, which must have 32 bytes: the usual one, without a detour.
    public init(codec: Multicodec, sha256 digest: UnsafeRawBufferPointer) throws(CIDError) {
        guard codec.rawValue < 1 << 63, digest.count == 32 else { throw .malformed }
        self = Varint.withBytes((1, codec.rawValue, Multicodec.sha2_256.rawValue, 32)) { header in
            CompactBytes(header, digest).cid(header.count - 2, header.count)
        }
    }

    /// A version 0 CID; throws unless `hash` is a whole SHA2-256 digest.
    public init(v0 hash: Multihash) throws(CIDError) {
        guard hash.code == .sha2_256, hash.count == CID.v0Length else { throw .notVersion0 }
        self = hash.withUnsafeBytes { CompactBytes($0).cid(0, 2) }
    }

    /// The CID that takes all of `bytes`.
    public init(bytes: Bytes) throws(CIDError) {
        self = try bytes.withUnsafeBytes { bytes throws(CIDError) in
            var reader = ByteReader(bytes.bytes)
            let cid = try CID.decode(from: &reader)
            guard reader.isAtEnd else { throw .trailingBytes(reader.remaining) }
            return cid
        }
    }

    /// Reads one CID, copying it out of the reader's memory; what follows it stays in the reader.
    @_lifetime(reader: copy reader)
    public static func decode(from reader: inout ByteReader) throws(CIDError) -> CID {
        var probe = copy reader
        let layout = try CID.layout(&probe)
        guard let span = reader.take(reader.remaining - probe.remaining) else { throw .malformed }
        return span.withUnsafeBytes { CompactBytes($0).cid(layout.hash, layout.digest) }
    }

    fileprivate init(storage: CompactBytes, hashOffset: Int, digestOffset: Int) {
        self.storage = storage
        self.hashOffset = UInt8(truncatingIfNeeded: hashOffset)  // at most 10
        self.digestOffset = UInt8(truncatingIfNeeded: digestOffset)  // at most 21
    }

    static let v0Length = 34

    /// Checks one CID, advances past it, and says where its multihash and its digest begin.
    @_lifetime(reader: copy reader)
    private static func layout(_ reader: inout ByteReader) throws(CIDError) -> (hash: Int, digest: Int) {
        let start = reader.remaining
        guard start > 0 else { throw .empty }
        var probe = copy reader
        if probe.byte() == 0x12, probe.byte() == 0x20 {
            guard reader.take(v0Length) != nil else { throw .malformed }
            return (0, 2)
        }
        guard let version = reader.varint() else { throw .malformed }
        guard version == 1 else { throw .unsupportedVersion(version) }
        guard reader.varint() != nil else { throw .malformed }
        let hash = start - reader.remaining
        let length: Int
        do { length = try Multihash.header(&reader) } catch { throw .multihash(error) }
        let digest = start - reader.remaining
        guard reader.take(length) != nil else { throw .malformed }
        return (hash, digest)
    }
}

extension CompactBytes {
    fileprivate func cid(_ hashOffset: Int, _ digestOffset: Int) -> CID {
        CID(storage: self, hashOffset: hashOffset, digestOffset: digestOffset)
    }
}

extension CID {
    /// 0 or 1.
    public var version: Version { hashOffset == 0 ? .v0 : .v1 }

    /// How the block is encoded, for example `dagPB` or `raw`.
    public var codec: Multicodec { hashOffset == 0 ? .dagPB : Multicodec(rawValue: storage.varint(at: 1)) }

    /// The hash function.
    public var hashCode: Multicodec { Multicodec(rawValue: storage.varint(at: Int(hashOffset))) }

    /// The hash of the block.
    public var multihash: Multihash {
        if hashOffset == 0 { return Multihash(storage: storage, digestOffset: 2) }
        return storage.withUnsafeBytes(from: Int(hashOffset)) {
            Multihash(storage: CompactBytes($0), digestOffset: Int(digestOffset) - Int(hashOffset))
        }
    }

    /// The binary form: a copy, so that in hot places `withUnsafeBytes` is better.
    public var bytes: Bytes { storage.bytes() }

    /// The digest alone: a copy, so that in hot places `withUnsafeDigest` is better.
    public var digest: Bytes { storage.bytes(from: Int(digestOffset)) }

    /// Bytes in the binary form.
    public var count: Int { storage.count }

    /// Calls `body` with the binary form; the pointer must not escape.
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try storage.withUnsafeBytes(body)
    }

    /// Calls `body` with the multihash in the binary form; the pointer must not escape.
    public func withUnsafeMultihash<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try storage.withUnsafeBytes(from: Int(hashOffset), body)
    }

    /// Calls `body` with the digest; the pointer must not escape.
    public func withUnsafeDigest<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try storage.withUnsafeBytes(from: Int(digestOffset), body)
    }

    /// The content itself where the hash function is `identity`, else nil.
    public var inlined: Bytes? { hashCode == .identity ? digest : nil }

    /// The same CID in version 1.
    public var v1: CID {
        guard version == .v0 else { return self }
        return Varint.withBytes((1, Multicodec.dagPB.rawValue, nil, nil)) { header in
            storage.withUnsafeBytes { CompactBytes(header, $0).cid(2, 4) }
        }
    }

    /// The same CID in version 0; nil unless it is dag-pb with a whole SHA2-256 digest.
    public var v0: CID? {
        if version == .v0 { return self }
        guard codec == .dagPB, hashCode == .sha2_256, count - Int(hashOffset) == CID.v0Length else { return nil }
        return storage.withUnsafeBytes(from: Int(hashOffset)) { CompactBytes($0).cid(0, 2) }
    }
}

extension CID: Hashable, Comparable {
    public static func == (left: CID, right: CID) -> Bool { left.storage == right.storage }
    public func hash(into hasher: inout Hasher) { hasher.combine(storage) }

    /// Bytewise order of the binary forms.
    public static func < (left: CID, right: CID) -> Bool {
        left.withUnsafeBytes { left in right.withUnsafeBytes { right in left.lexicographicallyPrecedes(right) } }
    }
}
