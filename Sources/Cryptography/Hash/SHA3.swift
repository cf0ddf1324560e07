import WaggleBase

/// The fixed-length Keccak hashes: SHA-3 (FIPS 202, section 6.1) and original Keccak, which differs in one padding byte.
public struct SHA3: Sendable {
    /// Which hash.
    public enum Variant: Sendable, CaseIterable {
        case sha3_224, sha3_256, sha3_384, sha3_512
        case keccak224, keccak256, keccak384, keccak512

        /// Digest size in bytes.
        public var digestLength: Int {
            switch self {
            case .sha3_224, .keccak224: 28
            case .sha3_256, .keccak256: 32
            case .sha3_384, .keccak384: 48
            case .sha3_512, .keccak512: 64
            }
        }

        fileprivate var domain: KeccakSponge.Domain {
            switch self {
            case .sha3_224, .sha3_256, .sha3_384, .sha3_512: .sha3
            case .keccak224, .keccak256, .keccak384, .keccak512: .keccak
            }
        }
    }

    private let variant: Variant
    private var sponge: KeccakSponge

    /// Starts a hash.
    public init(_ variant: Variant) {
        self.variant = variant
        sponge = KeccakSponge(rate: 200 - 2 * variant.digestLength, domain: variant.domain)
    }

    /// Appends bytes.
    public mutating func update(_ data: UnsafeRawBufferPointer) { sponge.absorb(data) }
    public mutating func update(_ data: RawSpan) { data.withUnsafeBytes { sponge.absorb($0) } }

    /// Ends the hash; the value starts again from nothing.
    public mutating func finish() -> Bytes {
        let digest = Bytes(count: variant.digestLength) {
            sponge.squeeze(into: $0)
            return $0.count
        }
        self = SHA3(variant)
        return digest
    }

    /// The digest of `data`.
    public static func hash(_ data: UnsafeRawBufferPointer, _ variant: Variant) -> Bytes {
        var hash = SHA3(variant)
        hash.update(data)
        return hash.finish()
    }

    public static func hash(_ data: RawSpan, _ variant: Variant) -> Bytes { data.withUnsafeBytes { hash($0, variant) } }
}

/// The extendable-output functions SHAKE128 and SHAKE256 (FIPS 202, section 6.2): absorb any amount, then squeeze any amount.
public struct SHAKE: Sendable {
    /// Which function; the number is the security strength in bits.
    public enum Variant: Sendable, CaseIterable {
        case shake128, shake256

        var rate: Int { self == .shake128 ? 168 : 136 }
    }

    private var sponge: KeccakSponge

    /// Starts with no input.
    public init(_ variant: Variant) { sponge = KeccakSponge(rate: variant.rate, domain: .shake) }

    /// Appends input. Only before the first `squeeze`.
    public mutating func absorb(_ data: UnsafeRawBufferPointer) { sponge.absorb(data) }
    public mutating func absorb(_ data: RawSpan) { data.withUnsafeBytes { sponge.absorb($0) } }

    /// The next bytes of output.
    public mutating func squeeze(into output: UnsafeMutableRawBufferPointer) { sponge.squeeze(into: output) }

    /// Overwrites a state that absorbed a secret.
    mutating func wipe() { sponge.wipe() }

    /// The next `count` bytes of output.
    public mutating func squeeze(_ count: Int) -> Bytes {
        Bytes(count: count) {
            sponge.squeeze(into: $0)
            return $0.count
        }
    }
}
