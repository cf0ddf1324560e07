import WaggleBase
import WaggleCryptography
import WaggleFormats

/// A CID without its digest: how a block of bitswap 1.1 says by which CID it was asked for.
///
/// Wire shape: varints version, codec, hash function, digest length in bytes. A version 0 CID writes 0, dag-pb, SHA2-256, 32.
struct BlockPrefix: Hashable, Sendable {
    var version: CID.Version
    var codec: Multicodec
    var hash: Multicodec
    var digestLength: Int

    /// What blocks of bitswap 1.0, which come without a prefix, are.
    static let v0 = BlockPrefix(version: .v0, codec: .dagPB, hash: .sha2_256, digestLength: 32)

    init(version: CID.Version, codec: Multicodec, hash: Multicodec, digestLength: Int) {
        self.version = version
        self.codec = codec
        self.hash = hash
        self.digestLength = digestLength
    }

    init(_ cid: CID) {
        self.init(version: cid.version, codec: cid.codec, hash: cid.hashCode, digestLength: cid.digest.count)
    }

    init(_ span: RawSpan) throws(BitswapError) {
        var reader = ByteReader(span)
        guard let version = reader.varint(), let codec = reader.varint(), let hash = reader.varint(), let length = reader.varint(),
            reader.isAtEnd, let version = CID.Version(rawValue: Int(version)), length <= UInt64(FormatsLimits.digestBytes)
        else { throw .malformed }
        self.init(
            version: version, codec: Multicodec(rawValue: codec), hash: Multicodec(rawValue: hash), digestLength: Int(length))
        guard version == .v1 || (self.codec == .dagPB && self.hash == .sha2_256 && length == 32) else { throw .malformed }
    }

    var encodedCount: Int {
        1 + Varint.length(of: codec.rawValue) + Varint.length(of: hash.rawValue) + Varint.length(of: UInt64(digestLength))
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(UInt8(version.rawValue))
        writer.write(varint: codec.rawValue)
        writer.write(varint: hash.rawValue)
        writer.write(varint: UInt64(digestLength))
    }

    /// The multihash that `data` has under this prefix; nil for a function this build does not know, and for identity, which proves nothing.
    func multihash(of data: Bytes) -> Multihash? {
        guard hash != .identity, let digest = Hashing.digest(hash.rawValue, data, length: digestLength) else { return nil }
        do { return try Multihash(hash, digest: digest) } catch { return nil }
    }
}
