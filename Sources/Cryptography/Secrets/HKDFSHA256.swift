import WaggleBase

/// Key derivation with HMAC-SHA-256: RFC 5869, and the chain form that Noise uses.
public enum HKDFSHA256 {
    /// The longest output in bytes (RFC 5869, section 2.3: 255 blocks).
    public static let maximumLength = 255 * SHA256.digestLength

    /// The pseudorandom key of some input key material (RFC 5869, section 2.2).
    public static func extract(salt: RawSpan, input: RawSpan) -> SecureBytes {
        var hmac = HMACSHA256(key: salt)
        defer { hmac.wipe() }
        hmac.update(input)
        return SecureBytes(count: SHA256.digestLength) { hmac.finish(into: $0) }
    }

    /// `length` bytes of output key material (RFC 5869, section 2.3); nil above `maximumLength`.
    public static func expand(key: RawSpan, info: RawSpan, length: Int) -> SecureBytes? {
        hkdfExpand(HMACSHA256.self, key: key, info: info, length: length)
    }

    /// Extract, then expand.
    public static func derive(input: RawSpan, salt: RawSpan, info: RawSpan, length: Int) -> SecureBytes? {
        expand(key: extract(salt: salt, input: input).span, info: info, length: length)
    }

    /// Noise's HKDF with two outputs of 32 bytes (Noise rev 34, section 4.3): the next chaining key and one key.
    public static func noise2(chainingKey: SecureBytes, input: RawSpan) -> (SecureBytes, SecureBytes) {
        var chain = NoiseChain(chainingKey, input)
        defer { chain.wipe() }
        return (chain.next(), chain.next())
    }

    /// Noise's HKDF with three outputs of 32 bytes (Noise rev 34, section 4.3).
    public static func noise3(chainingKey: SecureBytes, input: RawSpan) -> (SecureBytes, SecureBytes, SecureBytes) {
        var chain = NoiseChain(chainingKey, input)
        defer { chain.wipe() }
        return (chain.next(), chain.next(), chain.next())
    }

    /// The outputs one after the other: HMAC(temp, previous ‖ index).
    private struct NoiseChain {
        private var hmac: HMACSHA256
        private var previous: SecureBytes?
        private var index: UInt8 = 0

        init(_ chainingKey: SecureBytes, _ input: RawSpan) {
            hmac = HMACSHA256(key: HKDFSHA256.extract(salt: chainingKey.span, input: input))
        }

        mutating func next() -> SecureBytes {
            index += 1
            if let previous { hmac.update(previous.span) }
            withUnsafeBytes(of: index) { hmac.update($0) }
            let output = SecureBytes(count: SHA256.digestLength) { hmac.finish(into: $0) }
            previous = output
            return output
        }

        mutating func wipe() { hmac.wipe() }
    }
}

/// A message authentication code that HKDF can be made of.
protocol KeyedHash {
    static var digestLength: Int { get }
    init(key: RawSpan)
    mutating func update(_ data: UnsafeRawBufferPointer)
    mutating func update(_ data: RawSpan)
    /// Writes the tag; the next message starts from nothing.
    mutating func finish(into tag: UnsafeMutableRawBufferPointer)
    /// Overwrites what the key left; the value is of no use then.
    mutating func wipe()
}

extension HMACSHA256: KeyedHash {
    static var digestLength: Int { SHA256.digestLength }
}

/// HKDF-Expand (RFC 5869, section 2.3) of at most 255 blocks; nil for more.
func hkdfExpand<Hash: KeyedHash>(_: Hash.Type, key: RawSpan, info: RawSpan, length: Int) -> SecureBytes? {
    guard length >= 0, length <= 255 * Hash.digestLength else { return nil }
    var hmac = Hash(key: key)
    defer { hmac.wipe() }
    return SecureBytes(count: length) { output in
        withUnsafeTemporaryAllocation(byteCount: Hash.digestLength, alignment: 8) { block in
            var counter: UInt8 = 0
            var filled = 0
            while filled < length {
                if counter > 0 { hmac.update(UnsafeRawBufferPointer(block)) }
                counter += 1
                hmac.update(info)
                withUnsafeBytes(of: counter) { hmac.update($0) }
                hmac.finish(into: block)
                let part = min(block.count, length - filled)
                UnsafeMutableRawBufferPointer(rebasing: output[filled..<filled + part])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: block[0..<part]))
                filled += part
            }
            WaggleCryptography.wipe(block)
        }
    }
}
