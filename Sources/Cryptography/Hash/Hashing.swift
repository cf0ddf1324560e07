import COpenSSL
import WaggleBase

/// The hash functions by their multihash code (multicodec table), for making and checking CIDs.
public enum Hashing {
    /// Codes with a name of their own in the code base.
    public enum Code {
        public static let identity: UInt64 = 0x00
        public static let sha1: UInt64 = 0x11
        public static let sha256: UInt64 = 0x12
        public static let sha512: UInt64 = 0x13
        public static let blake3: UInt64 = 0x1e
        public static let murmur3: UInt64 = 0x22
        public static let blake2b8: UInt64 = 0xb201
        public static let blake2b256: UInt64 = 0xb220
        public static let blake2b512: UInt64 = 0xb240
        public static let blake2s8: UInt64 = 0xb241
        public static let blake2s256: UInt64 = 0xb260
    }

    /// How many bytes the function gives by default; nil for an unknown code, and for identity, whose digest is as long as its input.
    public static func digestLength(_ code: UInt64) -> Int? {
        switch code {
        case 0x11: 20
        case 0x12, 0x56: 32
        case 0x13: 64
        case 0x14, 0x1d: 64
        case 0x15, 0x1c: 48
        case 0x16, 0x1b: 32
        case 0x17, 0x1a: 28
        case 0x18: 32
        case 0x19: 64
        case Code.blake3: BLAKE3.digestLength
        case 0x20: 48
        case 0x22: 8
        case 0x1013: 28
        case 0x1014: 28
        case 0x1015: 32
        case Code.blake2b8...Code.blake2b512: Int(code - Code.blake2b8) + 1
        case Code.blake2s8...Code.blake2s256: Int(code - Code.blake2s8) + 1
        default: nil
        }
    }

    /// Whether this build can compute the function.
    public static func isKnown(_ code: UInt64) -> Bool { code == Code.identity || digestLength(code) != nil }

    /// The digest of `data`, cut to `length` bytes where that is shorter; nil for an unknown code or a length the function
    /// cannot give. BLAKE3 alone also gives more than `digestLength`, up to 128 bytes.
    public static func digest(_ code: UInt64, _ data: UnsafeRawBufferPointer, length: Int? = nil) -> Bytes? {
        guard let digest = whole(code, data, length) else { return nil }
        guard let length else { return digest }
        return length >= 0 && length <= digest.count ? digest.prefix(length) : nil
    }

    public static func digest(_ code: UInt64, _ data: RawSpan, length: Int? = nil) -> Bytes? {
        data.withUnsafeBytes { digest(code, $0, length: length) }
    }

    public static func digest(_ code: UInt64, _ data: Bytes, length: Int? = nil) -> Bytes? {
        data.withUnsafeBytes { digest(code, $0, length: length) }
    }

    /// Whether `digest` is the (possibly cut) digest of `data`; nil for an unknown code. No allocation for SHA-256.
    public static func matches(_ code: UInt64, digest: RawSpan, data: UnsafeRawBufferPointer) -> Bool? {
        if code == Code.sha256, let expected = Digest256(digest) { return SHA256.hash(data) == expected }
        guard isKnown(code) else { return nil }
        guard let actual = self.digest(code, data, length: digest.byteCount) else { return false }
        return actual.withUnsafeBytes { actual in digest.withUnsafeBytes { actual.elementsEqual($0) } }
    }

    private static func whole(_ code: UInt64, _ data: UnsafeRawBufferPointer, _ length: Int?) -> Bytes? {
        switch code {
        case Code.identity: length == nil || length == data.count ? Bytes(copying: data) : nil
        case 0x11: fixed(data, 20) { SHA1($0, $1, $2) }
        case 0x12: SHA256.hash(data).bytes
        case 0x13: SHA512.hash(data)
        case 0x14: SHA3.hash(data, .sha3_512)
        case 0x15: SHA3.hash(data, .sha3_384)
        case 0x16: SHA3.hash(data, .sha3_256)
        case 0x17: SHA3.hash(data, .sha3_224)
        case 0x18: shake(data, .shake128, 32)
        case 0x19: shake(data, .shake256, 64)
        case 0x1a: SHA3.hash(data, .keccak224)
        case 0x1b: SHA3.hash(data, .keccak256)
        case 0x1c: SHA3.hash(data, .keccak384)
        case 0x1d: SHA3.hash(data, .keccak512)
        case Code.blake3: BLAKE3.hash(data, length: length ?? BLAKE3.digestLength)
        case 0x20: truncated(data, "SHA2-384")
        case 0x22: Bytes(count: 8) {
            $0.storeBytes(of: Murmur3.x64_64(data).bigEndian, as: UInt64.self)
            return 8
        }
        case 0x56: SHA256.hash(SHA256.hash(data).bytes).bytes
        case 0x1013: truncated(data, "SHA2-224")
        case 0x1014: truncated(data, "SHA2-512/224")
        case 0x1015: truncated(data, "SHA2-512/256")
        case Code.blake2b8...Code.blake2b512: BLAKE2.hash2b(data, length: Int(code - Code.blake2b8) + 1)
        case Code.blake2s8...Code.blake2s256: BLAKE2.hash2s(data, length: Int(code - Code.blake2s8) + 1)
        default: nil
        }
    }

    private static func shake(_ data: UnsafeRawBufferPointer, _ variant: SHAKE.Variant, _ length: Int) -> Bytes {
        var sponge = SHAKE(variant)
        sponge.absorb(data)
        return sponge.squeeze(length)
    }

    private static func fixed(
        _ data: UnsafeRawBufferPointer, _ length: Int,
        _ function: (UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<UInt8>?) -> UnsafeMutablePointer<UInt8>?
    ) -> Bytes {
        Bytes(count: length) {
            _ = function(data.octets, data.count, $0.octets)
            return length
        }
    }

    /// The rarely used members of the SHA-2 family, fetched by name for each call.
    private static func truncated(_ data: UnsafeRawBufferPointer, _ name: String) -> Bytes? {
        var worked = false
        let digest = Bytes(count: 64) {
            var length = 0
            worked = EVP_Q_digest(nil, name, nil, data.baseAddress, data.count, $0.octets, &length) == 1
            return length
        }
        return worked ? digest.compacted() : nil
    }
}
