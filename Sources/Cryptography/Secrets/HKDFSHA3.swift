import WaggleBase

/// HMAC with SHA3-256 (RFC 2104 with the block of 136 bytes that FIPS 202, section 7, gives it).
///
/// The two key blocks are absorbed once, so a value that is kept authenticates many messages at two permutations less each.
struct HMACSHA3: KeyedHash, Sendable {
    /// Sizes of a block and of a tag in bytes.
    static let blockLength = 136
    static let digestLength = 32

    private var inner: KeccakSponge
    private var outer: KeccakSponge
    private var running: KeccakSponge

    /// Starts with a key of any length; keys over 136 bytes are hashed first.
    init(key: RawSpan) {
        var block = InlineArray<17, UInt64>(repeating: 0)
        withUnsafeMutableBytes(of: &block) { block in
            if key.byteCount > HMACSHA3.blockLength {
                var sponge = HMACSHA3.sponge()
                key.withUnsafeBytes { sponge.absorb($0) }
                sponge.squeeze(into: UnsafeMutableRawBufferPointer(rebasing: block[0..<HMACSHA3.digestLength]))
                sponge.wipe()
            } else {
                key.withUnsafeBytes { block.copyMemory(from: $0) }
            }
        }
        inner = HMACSHA3.absorb(block, 0x3636_3636_3636_3636)
        outer = HMACSHA3.absorb(block, 0x5c5c_5c5c_5c5c_5c5c)
        running = inner
        WaggleCryptography.wipe(&block)
    }

    private static func sponge() -> KeccakSponge { KeccakSponge(rate: blockLength, domain: .sha3) }

    private static func absorb(_ key: borrowing InlineArray<17, UInt64>, _ pad: UInt64) -> KeccakSponge {
        var block = InlineArray<17, UInt64>(repeating: pad)
        for index in 0..<17 { block[index] ^= key[index] }
        var sponge = sponge()
        withUnsafeBytes(of: &block) { sponge.absorb($0) }
        WaggleCryptography.wipe(&block)
        return sponge
    }

    mutating func update(_ data: UnsafeRawBufferPointer) { running.absorb(data) }
    mutating func update(_ data: RawSpan) { data.withUnsafeBytes { running.absorb($0) } }

    /// Writes the 32 bytes of the tag; the next message starts from nothing.
    mutating func finish(into tag: UnsafeMutableRawBufferPointer) {
        running.squeeze(into: tag)
        running = outer
        running.absorb(UnsafeRawBufferPointer(tag))
        running.squeeze(into: tag)
        running = inner
    }

    /// Overwrites what the key left here; the value is of no use then.
    mutating func wipe() {
        inner.wipe()
        outer.wipe()
        running.wipe()
    }
}

/// Key derivation with HMAC-SHA3-256: RFC 5869 with the hash of FIPS 202.
public enum HKDFSHA3 {
    /// Size of a pseudorandom key in bytes.
    public static let keyLength = HMACSHA3.digestLength
    /// The longest output in bytes (RFC 5869, section 2.3: 255 blocks).
    public static let maximumLength = 255 * HMACSHA3.digestLength

    /// The pseudorandom key of some input key material (RFC 5869, section 2.2).
    public static func extract(salt: RawSpan, input: RawSpan) -> SecureBytes {
        var hmac = HMACSHA3(key: salt)
        defer { hmac.wipe() }
        hmac.update(input)
        return SecureBytes(count: HMACSHA3.digestLength) { hmac.finish(into: $0) }
    }

    /// `length` bytes of output key material (RFC 5869, section 2.3); nil above `maximumLength`.
    public static func expand(key: RawSpan, info: RawSpan, length: Int) -> SecureBytes? {
        hkdfExpand(HMACSHA3.self, key: key, info: info, length: length)
    }
}
