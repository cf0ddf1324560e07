import COpenSSL
import WaggleBase

/// The hash functions that may shorten a message before it is signed (FIPS 204, section 5.4.1; FIPS 205, section 10.2.2).
public enum PreHash: UInt8, Sendable, CaseIterable {
    // The values are the last arc of the object identifiers 2.16.840.1.101.3.4.2.x.
    case sha256 = 1, sha384, sha512, sha224, sha512_224, sha512_256
    case sha3_224, sha3_256, sha3_384, sha3_512
    /// SHAKE128 with 32 bytes of output and SHAKE256 with 64.
    case shake128, shake256

    /// What is signed in place of the message: the DER object identifier (11 bytes), then the digest.
    func encode(_ message: RawSpan) -> Bytes {
        let digest = digest(message)
        return Bytes([0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, rawValue] + digest.array)
    }

    private func digest(_ message: RawSpan) -> Bytes {
        switch self {
        case .sha256: libcrypto(EVP_sha256(), message)
        case .sha384: libcrypto(EVP_sha384(), message)
        case .sha512: libcrypto(EVP_sha512(), message)
        case .sha224: libcrypto(EVP_sha224(), message)
        case .sha512_224: libcrypto(EVP_sha512_224(), message)
        case .sha512_256: libcrypto(EVP_sha512_256(), message)
        case .sha3_224: SHA3.hash(message, .sha3_224)
        case .sha3_256: SHA3.hash(message, .sha3_256)
        case .sha3_384: SHA3.hash(message, .sha3_384)
        case .sha3_512: SHA3.hash(message, .sha3_512)
        case .shake128: shake(.shake128, message, 32)
        case .shake256: shake(.shake256, message, 64)
        }
    }

    private func libcrypto(_ function: OpaquePointer?, _ message: RawSpan) -> Bytes {
        Bytes(count: Int(EVP_MAX_MD_SIZE)) { output in
            var length: UInt32 = 0
            let isDone = message.withUnsafeBytes { EVP_Digest($0.baseAddress, $0.count, output.octets, &length, function, nil) } == 1
            return available(isDone ? Int(length) : nil)
        }
    }

    private func shake(_ variant: SHAKE.Variant, _ message: RawSpan, _ count: Int) -> Bytes {
        var shake = SHAKE(variant)
        shake.absorb(message)
        return shake.squeeze(count)
    }
}

/// What stands before a message under a signature: how it was treated, and the context (FIPS 204, algorithms 2 and 4; FIPS 205 the same).
struct SignatureContext {
    /// The most a context may have, in bytes: its length is one byte on the wire.
    static let maximumLength = 255

    let prefix: Bytes

    /// Nil when the context is too long.
    init?(_ context: Bytes, isPreHashed: Bool) {
        guard context.count <= SignatureContext.maximumLength else { return nil }
        prefix = Bytes([isPreHashed ? 1 : 0, UInt8(context.count)] + context.array)
    }
}
