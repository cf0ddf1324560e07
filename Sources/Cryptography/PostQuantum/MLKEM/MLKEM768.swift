import COpenSSL
import CKernels
import WaggleBase

/// ML-KEM-768, the module-lattice key encapsulation of FIPS 203 (category 3).
///
/// Randomness comes in as arguments, so every operation is a function. All of them take constant time in their secrets, check
/// their inputs as the standard asks (section 7), and wipe what they leave behind.
///
/// ```swift
/// let ours = MLKEM768.generate(d: random32, z: otherRandom32)
/// let (ciphertext, secret) = MLKEM768.encapsulate(to: theirs, m: random32)
/// let same = ours.decapsulate(ciphertext)
/// ```
///
/// The folder: this file has the three operations, `MLKEM768+Keys` the key types, `MLKEM768+Encryption` the public-key encryption
/// inside, `MLKEM768+Sampling` the expansion of seeds. Arithmetic on polynomials is in C (`CKernels/mlkem.c`).
public enum MLKEM768 {
    /// Size of each random input in bytes.
    public static let seedLength = 32
    /// Size of an encapsulation key in bytes: three polynomials of 384 and a seed.
    public static let encapsulationKeyLength = 1184
    /// Size of an expanded decapsulation key in bytes.
    public static let decapsulationKeyLength = 2400
    /// Size of a ciphertext in bytes: three polynomials of 320 and one of 128.
    public static let ciphertextLength = 1088
    /// Size of a shared secret in bytes.
    public static let sharedSecretLength = 32

    /// The rank of the module (k in the standard).
    static let rank = 3
    /// Coefficients of a polynomial.
    static let degree = 256

    /// What encapsulation gives: the ciphertext for the key's owner, and the secret that both have then.
    public struct Encapsulation: Sendable {
        public let ciphertext: Bytes
        public let sharedSecret: SecureBytes
    }

    /// A new key pair (algorithm 16) from two secret random seeds of 32 bytes; nil for any other length.
    public static func generate(d: SecureBytes, z: SecureBytes) -> DecapsulationKey? {
        guard d.count == seedLength, z.count == seedLength else { return nil }
        if PostQuantum.usesLibcrypto(name) { return generateInLibcrypto(d, z) }
        return wipingStack { generateHere(d, z) }
    }

    private static func generateHere(_ d: SecureBytes, _ z: SecureBytes) -> DecapsulationKey {
        var seeds = hashToPair(d.span, suffix: UInt8(rank))
        defer { wipe(&seeds) }
        let workspace = Workspace()
        let expanded = ExpandedKey()
        let secret = PolynomialVector(count: rank, isSecret: true)

        sampleMatrix(seeds.low, into: expanded.matrix, workspace)
        let noise = workspace.noise
        sampleNoise(seeds.high, count: 2 * rank, into: noise, workspace)
        for index in 0..<2 * rank { ck_mlkem_ntt(noise + index * degree) }
        for index in 0..<rank { ck_mlkem_prepare(workspace.prepared + index * 2 * degree, noise + index * degree) }
        secret.pointer.update(from: noise, count: rank * degree)

        let encoded = Bytes(count: encapsulationKeyLength) { output in
            let start = output.baseAddress.unsafelyUnwrapped.octets
            for row in 0..<rank {
                let t = expanded.publicVector + row * degree
                ck_mlkem_dot(t, expanded.matrix + row * rank * degree, 1, workspace.prepared)
                ck_mlkem_lift_add(t, noise + (rank + row) * degree)
                ck_mlkem_encode12(start + row * 384, t)
                // The reduced form may be negative, which multiplication allows too.
            }
            withUnsafeBytes(of: seeds.low) { UnsafeMutableRawPointer(start + rank * 384).copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: seedLength) }
            return encapsulationKeyLength
        }
        let key = EncapsulationKey(encoded: encoded, expanded: expanded)
        return DecapsulationKey(secret: secret, encapsulationKey: key, z: z)
    }

    /// A shared secret for the owner of `key` (algorithm 17) from a secret random seed of 32 bytes; nil for any other length.
    public static func encapsulate(to key: EncapsulationKey, m: SecureBytes) -> Encapsulation? {
        guard m.count == seedLength else { return nil }
        if PostQuantum.usesLibcrypto(name), let other = LibcryptoKey(name, publicKey: key.encoded) {
            return other.encapsulate(m).map { Encapsulation(ciphertext: $0.ciphertext, sharedSecret: $0.sharedSecret) }
        }
        return wipingStack { encapsulateHere(key, m) }
    }

    private static func encapsulateHere(_ key: EncapsulationKey, _ m: SecureBytes) -> Encapsulation {
        let workspace = Workspace()
        var pair = hashToPair(m.span, key.digest)
        defer { wipe(&pair) }
        let ciphertext = Bytes(count: ciphertextLength) { output in
            m.withUnsafeBytes { m in
                encrypt(
                    m.octets.unsafelyUnwrapped, key.expanded, randomness: pair.high,
                    into: output.octets.unsafelyUnwrapped, workspace)
            }
            return ciphertextLength
        }
        let secret = withUnsafeBytes(of: pair.low) { SecureBytes(copying: $0) }
        return Encapsulation(ciphertext: ciphertext, sharedSecret: secret)
    }

    /// The shared secret of `ciphertext` (algorithm 18); nil when that has the wrong length.
    ///
    /// A ciphertext that was not made for this key gives a secret that nobody else knows, in the same time (implicit rejection).
    public static func decapsulate(_ ciphertext: RawSpan, with key: DecapsulationKey) -> SecureBytes? {
        guard ciphertext.byteCount == ciphertextLength else { return nil }
        if let other = key.libcrypto { return other.decapsulate(Bytes(ciphertext)) }
        return wipingStack { decapsulateHere(ciphertext, key) }
    }

    private static func decapsulateHere(_ ciphertext: RawSpan, _ key: DecapsulationKey) -> SecureBytes {
        let workspace = Workspace()
        var message = Seed.zero
        defer { wipe(&message) }
        ciphertext.withUnsafeBytes { ciphertext in
            withUnsafeMutableBytes(of: &message) {
                decrypt(ciphertext.octets.unsafelyUnwrapped, key.secret, into: $0.octets.unsafelyUnwrapped, workspace)
            }
        }
        var pair = withUnsafeBytes(of: message) { hashToPair(RawSpan(_unsafeBytes: $0), key.encapsulationKey.digest) }
        defer { wipe(&pair) }
        var rejection = SHAKE(.shake256)
        rejection.absorb(key.z.span)
        rejection.absorb(ciphertext)
        let other = SecureBytes(count: sharedSecretLength) { rejection.squeeze(into: $0) }
        rejection.wipe()

        return SecureBytes(count: sharedSecretLength) { output in
            withUnsafeBytes(of: message) { message in
                encrypt(
                    message.octets.unsafelyUnwrapped, key.encapsulationKey.expanded, randomness: pair.high,
                    into: workspace.ciphertext, workspace)
            }
            ciphertext.withUnsafeBytes { ciphertext in
                other.withUnsafeBytes { other in
                    withUnsafeBytes(of: pair.low) { secret in
                        ck_select_if_equal(
                            output.octets, secret.octets, other.octets, ciphertext.octets, workspace.ciphertext, ciphertextLength)
                    }
                }
            }
        }
    }

    static let name = "ML-KEM-768"

    private static func generateInLibcrypto(_ d: SecureBytes, _ z: SecureBytes) -> DecapsulationKey? {
        let seed = SecureBytes(count: 2 * seedLength) { output in
            d.withUnsafeBytes { output.copyMemory(from: $0) }
            z.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: output[seedLength...]).copyMemory(from: $0) }
        }
        return LibcryptoKey(name, seed: seed)?.privateKey.flatMap { DecapsulationKey($0) }
    }

    /// Thirty-two bytes held in place.
    typealias Seed = SIMD4<UInt64>

    /// The standard's G, SHA3-512 split in two halves, of `input ‖ digest`.
    private static func hashToPair(_ input: RawSpan, _ digest: Digest256) -> (low: Seed, high: Seed) {
        var sponge = KeccakSponge(rate: 72, domain: .sha3)
        input.withUnsafeBytes { sponge.absorb($0) }
        digest.withUnsafeBytes { sponge.absorb($0) }
        return squeezePair(&sponge)
    }

    /// The same of `input ‖ suffix`.
    private static func hashToPair(_ input: RawSpan, suffix: UInt8) -> (low: Seed, high: Seed) {
        var sponge = KeccakSponge(rate: 72, domain: .sha3)
        input.withUnsafeBytes { sponge.absorb($0) }
        withUnsafeBytes(of: suffix) { sponge.absorb($0) }
        return squeezePair(&sponge)
    }

    private static func squeezePair(_ sponge: inout KeccakSponge) -> (low: Seed, high: Seed) {
        var pair = (low: Seed.zero, high: Seed.zero)
        withUnsafeMutableBytes(of: &pair.low) { sponge.squeeze(into: $0) }
        withUnsafeMutableBytes(of: &pair.high) { sponge.squeeze(into: $0) }
        sponge.wipe()
        return pair
    }
}
