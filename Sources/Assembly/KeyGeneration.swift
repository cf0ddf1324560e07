import WaggleBase
import WaggleCryptography

extension IdentityKeyPair {
    /// A new key of `kind` from the system's randomness; RSA from libcrypto's, with `bits` of modulus.
    ///
    /// Runs off the loops: SLH-DSA takes 10 ms, RSA with 4096 bits seconds.
    public static func generate(_ kind: KeyKind, bits: Int = RSALimits.bits.lowerBound, on system: any System) async throws -> IdentityKeyPair {
        let random = SecureBytes(count: kind.randomLength) { system.fillRandom($0) }
        return try await system.offload {
            kind == .rsa ? try IdentityKeyPair(generatingRSA: bits) : try IdentityKeyPair(generating: kind, random: random)
        }.hedged(on: system)
    }

    /// The same key, which mixes the system's randomness into its signatures: in simulated worlds too, where that repeats itself.
    public func hedged(on system: any System) -> IdentityKeyPair { hedged { system.fillRandom($0) } }
}
