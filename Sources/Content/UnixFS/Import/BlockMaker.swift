import WaggleBase
import WaggleCryptography
import WaggleFormats

/// Names encoded blocks: hash function, CID version and inlining of one import.
struct BlockMaker: Sendable {
    private let version: CID.Version
    private let hash: Multicodec
    private let inlineLimit: Int

    init(_ options: ImportOptions) {
        version = options.cidVersion
        hash = options.hash
        inlineLimit = options.inlineLimit ?? -1
    }

    /// The block of `bytes`, or only its CID where that holds the bytes already.
    func make(_ bytes: Bytes, codec: Multicodec) throws(UnixFSError) -> (cid: CID, block: Block?) {
        if bytes.count <= inlineLimit || hash == .identity {
            guard bytes.count <= UnixFSLimits.inlineBytes else { throw .limit(bytes: bytes.count) }
            return (try cid(.identity, bytes, codec, .v1), nil)
        }
        let cid: CID
        if hash == .sha2_256 {
            let digest = SHA256.hash(bytes)
            cid = try digest.withUnsafeBytes { digest throws(UnixFSError) in try self.cid(hash, digest, codec, version) }
        } else {
            guard let digest = Hashing.digest(hash.rawValue, bytes) else { throw .limit(bytes: bytes.count) }
            cid = try self.cid(hash, digest, codec, version)
        }
        return (cid, Block(cid: cid, bytes: bytes))
    }

    private func cid(_ hash: Multicodec, _ digest: Bytes, _ codec: Multicodec, _ version: CID.Version) throws(UnixFSError) -> CID {
        try digest.withUnsafeBytes { digest throws(UnixFSError) in try cid(hash, digest, codec, version) }
    }

    private func cid(
        _ hash: Multicodec, _ digest: UnsafeRawBufferPointer, _ codec: Multicodec, _ version: CID.Version
    ) throws(UnixFSError) -> CID {
        do {
            let multihash = try Multihash(hash, digest: digest)
            return version == .v0 && codec == .dagPB ? try CID(v0: multihash) : try CID(codec: codec, hash: multihash)
        } catch {
            // Only a digest longer than any CID may hold ends here.
            throw .limit(bytes: digest.count)
        }
    }

    /// Whether CIDs may use the function: long enough and not known to be broken (SHA-1 stays, for git), and available.
    static func isAllowed(_ hash: Multicodec) -> Bool {
        switch hash {
        case .identity, .sha1, .sha2_256, .sha2_512, .shake256, .doubleSHA2_256, .blake3, .sha3_224, .sha3_256, .sha3_384, .sha3_512,
            .keccak224, .keccak256, .keccak384, .keccak512:
            Hashing.isKnown(hash.rawValue)
        case _ where (0xb201...0xb240).contains(hash.rawValue): hash.rawValue >= 0xb201 + 19
        case _ where (0xb241...0xb260).contains(hash.rawValue): hash.rawValue >= 0xb241 + 19
        default: false
        }
    }
}
