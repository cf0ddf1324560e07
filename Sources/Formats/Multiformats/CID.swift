import WaggleBase

/// A content identifier: the hash of a block and how to read the block.
///
/// Wire shape: version 1 is varint 1, varint codec, multihash; version 0 is a bare SHA2-256 multihash (`12 20`, 32 bytes) of a
/// dag-pb block. Spec: multiformats/cid, README "How does it work" and "Decoding Algorithm".
public struct CID: Sendable {
    /// The binary form.
    public let bytes: Bytes
    /// How the block is encoded, for example `dagPB` or `raw`.
    public let codec: Multicodec
    /// The hash function of `multihash`.
    public let hashCode: Multicodec
    private let hashOffset: UInt8
    private let digestOffset: UInt8

    /// The versions of a CID that exist.
    public enum Version: Int, Sendable { case v0, v1 }

    /// A version 1 CID.
    public init(codec: Multicodec, hash: Multihash) throws(CIDError) {
        guard codec.rawValue < 1 << 63 else { throw .malformed }
        let header = 1 + Varint.length(of: codec.rawValue)
        var writer = ByteWriter(capacity: header + hash.bytes.count)
        writer.write(1 as UInt8)
        writer.write(varint: codec.rawValue)
        writer.write(hash.bytes)
        self.init(
            bytes: writer.finish(), codec: codec, hashCode: hash.code, hashOffset: header, digestOffset: header + hash.digestOffset)
    }

    /// A version 0 CID; throws unless `hash` is a whole SHA2-256 digest.
    public init(v0 hash: Multihash) throws(CIDError) {
        guard hash.code == .sha2_256, hash.bytes.count == CID.v0Length else { throw .notVersion0 }
        self.init(bytes: hash.bytes.compacted(), codec: .dagPB, hashCode: .sha2_256, hashOffset: 0, digestOffset: 2)
    }

    /// The CID that takes all of `bytes`; keeps a window onto them unless they are a small part of their memory.
    public init(bytes: Bytes) throws(CIDError) {
        var reader = ByteReader(bytes.span)
        let layout = try CID.layout(&reader)
        guard reader.isAtEnd else { throw .trailingBytes(reader.remaining) }
        self.init(bytes: bytes.compacted(), layout: layout)
    }

    /// Reads one CID, copying it out of the reader's memory; what follows it stays in the reader.
    @_lifetime(reader: copy reader)
    public static func decode(from reader: inout ByteReader) throws(CIDError) -> CID {
        var probe = copy reader
        let layout = try CID.layout(&probe)
        guard let span = reader.take(reader.remaining - probe.remaining) else { throw .malformed }
        return CID(bytes: Bytes(span), layout: layout)
    }

    private init(bytes: Bytes, codec: Multicodec, hashCode: Multicodec, hashOffset: Int, digestOffset: Int) {
        self.bytes = bytes
        self.codec = codec
        self.hashCode = hashCode
        self.hashOffset = UInt8(truncatingIfNeeded: hashOffset)  // at most 19
        self.digestOffset = UInt8(truncatingIfNeeded: digestOffset)
    }

    private init(bytes: Bytes, layout: Layout) {
        self.init(
            bytes: bytes, codec: layout.codec, hashCode: layout.hash, hashOffset: layout.hashOffset, digestOffset: layout.digestOffset)
    }

    /// Where the parts lie.
    private struct Layout {
        var codec: Multicodec
        var hash: Multicodec
        var hashOffset: Int
        var digestOffset: Int
    }

    static let v0Length = 34

    /// Checks one CID and advances past it.
    @_lifetime(reader: copy reader)
    private static func layout(_ reader: inout ByteReader) throws(CIDError) -> Layout {
        let start = reader.remaining
        guard start > 0 else { throw .empty }
        var probe = copy reader
        if probe.byte() == 0x12, probe.byte() == 0x20 {
            guard reader.take(v0Length) != nil else { throw .malformed }
            return Layout(codec: .dagPB, hash: .sha2_256, hashOffset: 0, digestOffset: 2)
        }
        guard let version = reader.varint() else { throw .malformed }
        guard version == 1 else { throw .unsupportedVersion(version) }
        guard let codec = reader.varint() else { throw .malformed }
        let hashOffset = start - reader.remaining
        let header: (code: Multicodec, length: Int)
        do { header = try Multihash.header(&reader) } catch { throw .multihash(error) }
        let digestOffset = start - reader.remaining
        guard reader.take(header.length) != nil else { throw .malformed }
        return Layout(codec: Multicodec(rawValue: codec), hash: header.code, hashOffset: hashOffset, digestOffset: digestOffset)
    }
}

extension CID {
    /// 0 or 1.
    public var version: Version { hashOffset == 0 ? .v0 : .v1 }

    /// The hash of the block, a window onto `bytes`.
    public var multihash: Multihash {
        Multihash(
            code: hashCode, bytes: bytes[Int(hashOffset)..<bytes.count], digestOffset: Int(digestOffset) - Int(hashOffset))
    }

    /// The digest alone, a window onto `bytes`.
    public var digest: Bytes { bytes[Int(digestOffset)..<bytes.count] }

    /// The content itself where the hash function is `identity`, else nil.
    public var inlined: Bytes? { hashCode == .identity ? digest : nil }

    /// The same CID in version 1.
    public var v1: CID {
        guard version == .v0 else { return self }
        var writer = ByteWriter(capacity: 2 + bytes.count)
        writer.write(1 as UInt8)
        writer.write(varint: codec.rawValue)
        writer.write(bytes)
        return CID(bytes: writer.finish(), codec: codec, hashCode: hashCode, hashOffset: 2, digestOffset: 4)
    }

    /// The same CID in version 0; nil unless it is dag-pb with a whole SHA2-256 digest.
    public var v0: CID? {
        if version == .v0 { return self }
        guard codec == .dagPB, hashCode == .sha2_256, bytes.count - Int(hashOffset) == CID.v0Length else { return nil }
        return CID(
            bytes: Bytes(bytes[Int(hashOffset)..<bytes.count].span), codec: .dagPB, hashCode: .sha2_256, hashOffset: 0, digestOffset: 2)
    }
}

extension CID: Hashable, Comparable {
    public static func == (left: CID, right: CID) -> Bool { left.bytes == right.bytes }
    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

    /// Bytewise order of the binary forms.
    public static func < (left: CID, right: CID) -> Bool {
        left.bytes.withUnsafeBytes { left in right.bytes.withUnsafeBytes { right in left.lexicographicallyPrecedes(right) } }
    }
}
