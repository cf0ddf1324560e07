import COpenSSL
import WaggleBase

/// SHA-512 (FIPS 180-4), a value that can be copied midway.
public struct SHA512: Sendable {
    private var state = SHA512_CTX()

    /// Digest size in bytes.
    public static let digestLength = 64

    /// Starts a hash.
    public init() { SHA512_Init(&state) }

    /// Appends bytes.
    public mutating func update(_ data: UnsafeRawBufferPointer) {
        guard let start = data.baseAddress else { return }
        SHA512_Update(&state, start, data.count)
    }

    /// Ends the hash; the value starts again from nothing.
    public mutating func finish() -> Bytes {
        let digest = Bytes(count: SHA512.digestLength) {
            SHA512_Final($0.octets, &state)
            return SHA512.digestLength
        }
        SHA512_Init(&state)
        return digest
    }

    /// The 64-byte digest of `data`.
    public static func hash(_ data: UnsafeRawBufferPointer) -> Bytes {
        var hash = SHA512()
        hash.update(data)
        return hash.finish()
    }

    public static func hash(_ data: RawSpan) -> Bytes { data.withUnsafeBytes { hash($0) } }
    public static func hash(_ data: Bytes) -> Bytes { data.withUnsafeBytes { hash($0) } }
}
