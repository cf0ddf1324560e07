import COpenSSL
import WaggleBase

/// SHA-256 (FIPS 180-4), a value that can be copied midway.
///
/// ```swift
/// let digest = SHA256.hash(block)
/// ```
public struct SHA256: Sendable {
    private var state = SHA256_CTX()

    /// Digest size in bytes.
    public static let digestLength = 32
    /// Block size in bytes.
    static let blockLength = 64

    /// Starts a hash.
    public init() { SHA256_Init(&state) }

    /// Appends bytes.
    public mutating func update(_ data: UnsafeRawBufferPointer) {
        guard let start = data.baseAddress else { return }
        SHA256_Update(&state, start, data.count)
    }

    public mutating func update(_ data: RawSpan) { data.withUnsafeBytes { update($0) } }
    public mutating func update(_ data: Bytes) { data.withUnsafeBytes { update($0) } }
    public mutating func update(_ data: [UInt8]) { data.withUnsafeBytes { update($0) } }
    public mutating func update(_ data: Digest256) { data.withUnsafeBytes { update($0) } }
    public mutating func update(_ data: SecureBytes) { data.withUnsafeBytes { update($0) } }

    /// Ends the hash; the value starts again from nothing.
    public mutating func finish() -> Digest256 {
        var digest = Digest256()
        digest.withUnsafeMutableBytes { finish(into: $0) }
        return digest
    }

    /// Ends the hash into exactly 32 bytes; the value starts again from nothing.
    mutating func finish(into digest: UnsafeMutableRawBufferPointer) {
        precondition(digest.count == SHA256.digestLength)
        SHA256_Final(digest.octets, &state)
        SHA256_Init(&state)
    }

    /// Overwrites a state that absorbed a secret.
    mutating func wipe() { WaggleCryptography.wipe(&state) }

    /// The digest of `data`.
    public static func hash(_ data: UnsafeRawBufferPointer) -> Digest256 {
        var hash = SHA256()
        hash.update(data)
        return hash.finish()
    }

    public static func hash(_ data: RawSpan) -> Digest256 { data.withUnsafeBytes { hash($0) } }
    public static func hash(_ data: Bytes) -> Digest256 { data.withUnsafeBytes { hash($0) } }
    public static func hash(_ data: [UInt8]) -> Digest256 { data.withUnsafeBytes { hash($0) } }
}
