import CKernels
import WaggleBase

/// BLAKE2b and BLAKE2s without a key, for every digest length (RFC 7693): libcrypto has only the longest of each.
public enum BLAKE2 {
    /// BLAKE2b of `data` with a digest of 1 to 64 bytes; nil for any other length.
    public static func hash2b(_ data: UnsafeRawBufferPointer, length: Int) -> Bytes? {
        guard (1...64).contains(length) else { return nil }
        return Bytes(count: length) {
            ck_blake2b($0.octets, length, data.octets, data.count)
            return length
        }
    }

    /// BLAKE2s of `data` with a digest of 1 to 32 bytes; nil for any other length.
    public static func hash2s(_ data: UnsafeRawBufferPointer, length: Int) -> Bytes? {
        guard (1...32).contains(length) else { return nil }
        return Bytes(count: length) {
            ck_blake2s($0.octets, length, data.octets, data.count)
            return length
        }
    }
}

/// BLAKE3 in its plain mode, with eight chunks at a time where the processor can.
public enum BLAKE3 {
    /// The usual digest length in bytes.
    public static let digestLength = 32
    /// The longest digest given out, in bytes: what other implementations of the multihash accept.
    public static let maximumLength = 128

    /// The first `length` bytes of the output for `data`; nil for a length outside 1 to 128.
    public static func hash(_ data: UnsafeRawBufferPointer, length: Int = digestLength) -> Bytes? {
        guard (1...maximumLength).contains(length) else { return nil }
        return Bytes(count: length) {
            ck_blake3($0.octets, length, data.octets, data.count)
            return length
        }
    }
}
