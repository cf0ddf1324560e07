import Synchronization
import WaggleBase
import WaggleCryptography

/// A node's post-quantum identity beside its classical one, and the certificate that says that the two are one node.
public final class SecondIdentity: Sendable {
    /// Signs for this node, in a scheme that stands against quantum computers.
    public let key: IdentityKeyPair
    public let peer: PeerID
    private let first: IdentityKeyPair
    private let current = Mutex<IdentityCertificate?>(nil)

    /// Nil when the first key is not classical or the second not of ML-DSA: it signs in every handshake, which SLH-DSA is too slow for.
    public init?(_ key: IdentityKeyPair, of first: IdentityKeyPair) {
        guard !first.publicKey.kind.isPostQuantum, [.mlDSA44, .mlDSA65, .mlDSA87].contains(key.publicKey.kind) else { return nil }
        self.key = key
        self.first = first
        peer = PeerID(key.publicKey)
    }

    /// The certificate, valid for some days at least; made anew when it grows old. Its sequence number is the time of day in seconds, so that it
    /// rises over restarts. Costs a signature of each key then.
    public func certificate(at now: WallTime) -> IdentityCertificate? {
        current.withLock { current in
            if let current, current.expires >= now + IdentityCertificateLimits.renewal { return current }
            let sequence = max((current?.sequence ?? 0) + 1, UInt64(clamping: now.nanoseconds / 1_000_000_000))
            current = IdentityCertificate(
                classical: first, postQuantum: key, sequence: sequence, expires: now + IdentityCertificateLimits.lifetime)
            return current
        }
    }
}
