import COpenSSL
import Synchronization
import WaggleBase

/// Which implementation does the work of the post-quantum primitives.
///
/// They are written in this package, because not every libcrypto has them. Where the linked one does (OpenSSL 3.5), its own can be chosen, once at
/// the start: keys made before keep what they were made with. Both take the same inputs, randomness included, and give the same bytes.
public enum PostQuantum {
    /// Who computes.
    public enum Implementation: String, Sendable, CaseIterable {
        /// The one of this package. The default: it is faster.
        case waggle
        /// libcrypto's, for every primitive that it has; this package's for the others.
        case openssl
    }

    /// What can be computed by either.
    public enum Primitive: String, Sendable, CaseIterable {
        case mlKEM768 = "ML-KEM-768"
        case mlDSA44 = "ML-DSA-44"
        case mlDSA65 = "ML-DSA-65"
        case mlDSA87 = "ML-DSA-87"
        case slhDSAShake128s = "SLH-DSA-SHAKE-128s"
    }

    private static let choice = Atomic<Bool>(false)

    /// Chooses for all keys made from now on.
    public static func use(_ implementation: Implementation) { choice.store(implementation == .openssl, ordering: .relaxed) }

    /// Who computes `primitive` now.
    public static func implementation(of primitive: Primitive) -> Implementation { usesLibcrypto(primitive.rawValue) ? .openssl : .waggle }

    /// Whether the linked libcrypto has `primitive`.
    public static func libcryptoHas(_ primitive: Primitive) -> Bool { known.contains(primitive.rawValue) }

    /// The version of the libcrypto that runs, which may be newer than the one this program was built with.
    public static var libcryptoVersion: String { String(cString: OpenSSL_version(OPENSSL_VERSION)) }

    static func usesLibcrypto(_ name: String) -> Bool { choice.load(ordering: .relaxed) && known.contains(name) }

    /// What the linked libcrypto has, asked once.
    private static let known = Set(Primitive.allCases.map(\.rawValue).filter(isKnown))

    private static func isKnown(_ name: String) -> Bool {
        defer { ERR_clear_error() }
        guard let keys = EVP_KEYMGMT_fetch(nil, name, nil) else { return false }
        EVP_KEYMGMT_free(keys)
        if let signature = EVP_SIGNATURE_fetch(nil, name, nil) {
            EVP_SIGNATURE_free(signature)
            return true
        }
        guard let encapsulation = EVP_KEM_fetch(nil, name, nil) else { return false }
        EVP_KEM_free(encapsulation)
        return true
    }
}
