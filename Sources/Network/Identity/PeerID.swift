import WaggleBase
import WaggleCryptography
import WaggleFormats

/// The name of a peer: a multihash of its public key.
///
/// Wire: a multihash. The protobuf key itself under the code `identity` when it has at most 42 bytes (Ed25519, secp256k1), else its
/// SHA2-256 digest. Spec: libp2p peer-ids, section "Peer Ids".
public struct PeerID: Sendable {
    /// The multihash.
    public let bytes: Bytes

    /// The longest protobuf key that is kept whole, in bytes.
    static let inlinedKeyBytes = 42

    /// The PeerID of a key.
    public init(_ key: PublicKey) {
        if key.encoded.count <= PeerID.inlinedKeyBytes {
            self.init(code: 0x00, digest: key.encoded.span)
        } else {
            self = SHA256.hash(key.encoded).withUnsafeBytes { PeerID(code: 0x12, digest: $0.bytes) }
        }
    }

    // Both codes and both lengths are varints of one byte.
    private init(code: UInt8, digest: RawSpan) {
        var writer = ByteWriter(capacity: 2 + digest.byteCount)
        writer.write(code)
        writer.write(UInt8(digest.byteCount))
        writer.write(digest)
        bytes = writer.finish()
    }

    /// The PeerID whose multihash takes all of `bytes`, which are copied when they are a small part of their memory.
    public init(bytes: Bytes) throws(PeerIDError) {
        if let peer = PeerID(window: bytes.compacted()) {
            self = peer
            return
        }
        let hash: Multihash
        do { hash = try Multihash(bytes: bytes.compacted()) } catch { throw .malformed }
        try self.init(hash)
    }

    /// The PeerID that takes all of `bytes`, as a window onto them however large their memory is: for those that are looked at once.
    package init?(window bytes: Bytes) {
        // Each of the two forms has one encoding, whose code and length take a byte each.
        guard bytes.count > 2, bytes.count <= 2 + PeerID.inlinedKeyBytes, Int(bytes[1]) == bytes.count - 2 else { return nil }
        guard bytes[0] == 0x00 || bytes[0] == 0x12 && Int(bytes[1]) == SHA256.digestLength else { return nil }
        self.bytes = bytes
    }

    public init(bytes: RawSpan) throws(PeerIDError) {
        // Checked before it is copied: this may come from anywhere.
        guard bytes.byteCount <= 2 + PeerID.inlinedKeyBytes else { throw .malformed }
        try self.init(bytes: Bytes(bytes))
    }

    /// The PeerID with this multihash; throws unless it is a whole SHA2-256 digest or an inlined key of at most 42 bytes.
    public init(_ hash: Multihash) throws(PeerIDError) {
        switch hash.code {
        case .sha2_256 where hash.digest.count == SHA256.digestLength: break
        case .identity where (1...PeerID.inlinedKeyBytes).contains(hash.digest.count): break
        default: throw .unsupportedHash
        }
        bytes = hash.bytes
    }

    /// The PeerID in `text`: base58btc (`Qm…`, `12D3Koo…`) or a CIDv1 of codec `libp2p-key` in any multibase (`k51…`, `bafz…`).
    public init(_ text: String) throws(PeerIDError) {
        guard text.utf8.count <= FormatsLimits.cidTextBytes else { throw .malformed }
        let hash: Multihash
        if text.hasPrefix("Qm") || text.hasPrefix("1") {
            do { hash = try Multihash(base58: text) } catch { throw .malformed }
        } else {
            let cid: CID
            do { cid = try CID(parsing: text) } catch { throw .malformed }
            guard cid.version == .v1, cid.codec == .libp2pKey else { throw .notAKey }
            hash = cid.multihash
        }
        try self.init(hash)
    }

    /// The multihash as a value.
    public var multihash: Multihash {
        do { return try Multihash(bytes: bytes) } catch { preconditionFailure("a PeerID is a multihash") }
    }

    /// The key itself where the PeerID carries it and it is valid; nil for hashed keys.
    public var publicKey: PublicKey? {
        guard bytes.first == 0x00 else { return nil }
        do { return try PublicKey(decoding: bytes.dropFirst(2)) } catch { return nil }
    }

    /// Whether `key` is the key of this peer.
    public func matches(_ key: PublicKey) -> Bool { self == PeerID(key) }

    /// The CIDv1 text in base 36 that Kubo shows for keys and IPNS names: `k51…`, `k2k4r8…`.
    public var cidText: String { cidText(base: .base36) }

    /// The CIDv1 text of codec `libp2p-key` in `base`.
    public func cidText(base: Multibase) -> String {
        var writer = ByteWriter(capacity: 2 + bytes.count)
        writer.write(1 as UInt8)
        writer.write(varint: Multicodec.libp2pKey.rawValue)
        writer.write(bytes)
        return base.encode(writer.finish())
    }

    /// The last eight characters of the base58 text, for logs.
    public var short: String { "…" + description.suffix(8) }
}

extension PeerID: Hashable, Comparable, CustomStringConvertible {
    public static func == (left: PeerID, right: PeerID) -> Bool { left.bytes == right.bytes }
    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

    /// Bytewise order of the multihashes.
    public static func < (left: PeerID, right: PeerID) -> Bool {
        left.bytes.withUnsafeBytes { left in right.bytes.withUnsafeBytes { right in left.lexicographicallyPrecedes(right) } }
    }

    /// The base58btc text.
    public var description: String { Multibase.base58btc.encode(bytes, prefixed: false) }
}

/// Why bytes or text are not a PeerID.
public enum PeerIDError: Error, Hashable, Sendable {
    /// Not a multihash, or not text that holds one.
    case malformed
    /// A CID of another codec than `libp2p-key`.
    case notAKey
    /// A multihash that is neither a whole SHA2-256 digest nor an inlined key of at most 42 bytes.
    case unsupportedHash
}
