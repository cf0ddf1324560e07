import CKernels
import WaggleBase

/// ML-DSA, the module-lattice signature scheme of FIPS 204.
///
/// Randomness comes in as arguments, so every operation is a function. What depends on secrets takes constant time, apart from the number
/// of attempts that signing needs, which the standard lets be seen; secrets are wiped when their owner goes.
///
/// ```swift
/// let key = MLDSA.PrivateKey(seed: random32, .mldsa65)
/// let signature = key?.sign(message, context: purpose, randomness: otherRandom32)
/// let isGenuine = key?.publicKey.verify(signature, of: message, context: purpose)
/// ```
///
/// The folder: `MLDSA+Parameters` has the three sets, `MLDSA+PrivateKey` and `MLDSA+PublicKey` the keys, `MLDSA+Signing` the two
/// operations, `MLDSA+Sampling` polynomials from seeds, `MLDSA+Hint` the one encoding that can be malformed. Arithmetic on
/// polynomials is in C (`CKernels/mldsa.c`).
public enum MLDSA {
    /// Size of a key's seed, and of the randomness of a hedged signature, in bytes.
    public static let seedLength = 32
    /// Size of a message representative (the standard's µ) in bytes.
    public static let representativeLength = 64

    /// Coefficients of a polynomial.
    static let degree = 256
    /// Bits that `t` loses in a public key (d in the standard).
    static let droppedBits = 13
    /// Attempts after which signing gives up (FIPS 204, appendix C): that happens with probability below 2^-256.
    static let maximumAttempts = 814

    /// Thirty-two and sixty-four bytes held in place.
    typealias Seed = SIMD4<UInt64>
    typealias Representative = SIMD8<UInt64>

    /// Some polynomials in memory of their own, wiped at the end if they are secret.
    final class Polynomials: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<Int32>
        private let memory: UnsafeMutableRawBufferPointer
        private let isSecret: Bool

        init(count: Int, isSecret: Bool) {
            memory = .allocate(byteCount: count * MLDSA.degree * 4, alignment: 64)
            pointer = memory.baseAddress.unsafelyUnwrapped.bindMemory(to: Int32.self, capacity: count * MLDSA.degree)
            self.isSecret = isSecret
        }

        deinit {
            if isSecret { wipe(memory) }
            memory.deallocate()
        }

        subscript(_ index: Int) -> UnsafeMutablePointer<Int32> { pointer + index * MLDSA.degree }
    }

    /// The 64 bytes that stand for a message under a key with this digest (algorithm 7, line 6).
    static func representative(_ keyDigest: Representative, _ parts: Bytes...) -> Representative {
        var sponge = KeccakSponge(rate: 136, domain: .shake)
        withUnsafeBytes(of: keyDigest) { sponge.absorb($0) }
        for part in parts { part.withUnsafeBytes { sponge.absorb($0) } }
        var result = Representative.zero
        withUnsafeMutableBytes(of: &result) { sponge.squeeze(into: $0) }
        return result
    }

    static func bytes(_ representative: Representative) -> Bytes {
        withUnsafeBytes(of: representative) { Bytes(RawSpan(_unsafeBytes: $0)) }
    }

    /// Reads a representative; nil unless it has 64 bytes.
    static func representative(_ bytes: Bytes) -> Representative? {
        guard bytes.count == representativeLength else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: Representative.self) }
    }
}
