import WaggleBase
import WaggleCryptography
import WaggleFormats

/// Checking bytes against the hash that names them.
enum BlockHash {
    /// Whether `bytes` have the hash in `cid`; nil when the hash function is unknown.
    static func matches(_ cid: CID, _ bytes: UnsafeRawBufferPointer) -> Bool? {
        let digest = cid.digest
        return digest.withUnsafeBytes { digest in
            Hashing.matches(cid.hashCode.rawValue, digest: RawSpan(_unsafeBytes: digest), data: bytes)
        }
    }

    static func matches(_ cid: CID, _ bytes: Bytes) -> Bool? { bytes.withUnsafeBytes { matches(cid, $0) } }

    /// Whether `bytes` have the hash `key`; nil when the hash function is unknown.
    static func matches(_ key: Multihash, _ bytes: UnsafeRawBufferPointer) -> Bool? {
        key.digest.withUnsafeBytes { digest in
            Hashing.matches(key.code.rawValue, digest: RawSpan(_unsafeBytes: digest), data: bytes)
        }
    }

    /// Whether both hold the same bytes, a word at a time.
    static func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        let words = left.count & ~31
        var offset = 0
        while offset < words {
            let difference =
                (left.loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self)
                ^ right.loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self))
            guard difference == SIMD4() else { return false }
            offset += 32
        }
        while offset < left.count {
            guard left[offset] == right[offset] else { return false }
            offset += 1
        }
        return true
    }
}
