import WaggleBase

/// HMAC with SHA-256 (RFC 2104).
///
/// The two key blocks are absorbed once, so a value that is kept authenticates many messages at two compressions less each.
public struct HMACSHA256: Sendable {
    private var inner: SHA256
    private var outer: SHA256
    private var running: SHA256

    /// Starts with a key of any length; keys over 64 bytes are hashed first.
    public init(key: UnsafeRawBufferPointer) {
        var block = InlineArray<8, UInt64>(repeating: 0)
        Swift.withUnsafeMutableBytes(of: &block) { block in
            if key.count > SHA256.blockLength {
                var hash = SHA256()
                hash.update(key)
                hash.finish(into: UnsafeMutableRawBufferPointer(rebasing: block[0..<SHA256.digestLength]))
            } else {
                block.copyMemory(from: key)
            }
        }
        inner = HMACSHA256.absorb(block, 0x3636_3636_3636_3636)
        outer = HMACSHA256.absorb(block, 0x5c5c_5c5c_5c5c_5c5c)
        running = inner
        WaggleCryptography.wipe(&block)
    }

    private static func absorb(_ key: borrowing InlineArray<8, UInt64>, _ pad: UInt64) -> SHA256 {
        var block = InlineArray<8, UInt64>(repeating: pad)
        for index in 0..<8 { block[index] ^= key[index] }
        var hash = SHA256()
        Swift.withUnsafeBytes(of: &block) { hash.update($0) }
        WaggleCryptography.wipe(&block)
        return hash
    }

    public init(key: RawSpan) { self = key.withUnsafeBytes { HMACSHA256(key: $0) } }
    public init(key: SecureBytes) { self = key.withUnsafeBytes { HMACSHA256(key: $0) } }

    /// Appends bytes of the message.
    public mutating func update(_ data: UnsafeRawBufferPointer) { running.update(data) }
    public mutating func update(_ data: RawSpan) { running.update(data) }

    /// The tag of what was appended; the next message starts from nothing.
    public mutating func finish() -> Digest256 {
        var tag = Digest256()
        tag.withUnsafeMutableBytes { finish(into: $0) }
        return tag
    }

    mutating func finish(into tag: UnsafeMutableRawBufferPointer) {
        running.finish(into: tag)
        running = outer
        running.update(UnsafeRawBufferPointer(tag))
        running.finish(into: tag)
        running = inner
    }

    /// Overwrites what the key left here; the value is of no use then.
    mutating func wipe() {
        inner.wipe()
        outer.wipe()
        running.wipe()
    }

    /// The tag of one message.
    public static func authenticate(_ message: RawSpan, key: RawSpan) -> Digest256 {
        var hmac = HMACSHA256(key: key)
        defer { hmac.wipe() }
        hmac.update(message)
        return hmac.finish()
    }
}
