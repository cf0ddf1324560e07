import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// A node's static Noise key, signed by its identity once, and the peers whose static keys it has verified.
///
/// All Noise channels of a node share one.
public final class NoiseKeys: Sendable {
    let identity: LocalIdentity
    let staticKey: X25519.PrivateKey
    /// The identity's signature of the static key: the same in every handshake, so it is made once.
    let signature: Bytes
    /// Which peers have two identities; nil for a node that does not ask.
    let bindings: IdentityBindings?
    private let remembered = Mutex(Remembered())

    private static let domain = "noise-libp2p-static-key:"

    /// Makes the static key from `secret`, 32 random bytes that are used for nothing else. Throws `inconsistent` when the identity cannot sign.
    ///
    /// With `bindings` the channels know peers with two identities, and show our own second one where `identity` has it.
    public init(identity: LocalIdentity, secret: SecureBytes, bindings: IdentityBindings? = nil) throws(KeyError) {
        self.bindings = bindings
        guard let key = X25519.PrivateKey(secret) else { throw .malformed }
        guard let signature = identity.key.sign(NoiseKeys.signedBytes(key.publicKey)) else { throw .inconsistent }
        self.identity = identity
        self.signature = signature
        staticKey = key
    }

    /// A peer whose identity key signed a static key.
    struct Verified: Sendable {
        let peer: PeerID
        let key: PublicKey
    }

    /// Checks that the identity in `payload` signed `staticKey`.
    ///
    /// The signature is a statement about two keys that holds forever, so it is verified once for a peer and then remembered, which saves 65 µs
    /// at each further connection. That the peer *has* the static key is proven anew by every handshake.
    func verify(_ payload: NoisePayload, staticKey: Bytes) throws(HandshakeError) -> Verified {
        let fingerprint = NoiseKeys.fingerprint(payload, staticKey)
        if let verified = remembered.withLock({ $0.find(fingerprint) }) { return verified }
        let key: PublicKey
        do throws(KeyError) { key = try PublicKey(decoding: payload.identityKey) } catch { throw .keyRefused(error) }
        guard key.verify(payload.identitySignature, of: NoiseKeys.signedBytes(staticKey)) else { throw .notAuthentic }
        let verified = Verified(peer: PeerID(key), key: key)
        remembered.withLock { $0.insert(fingerprint, verified) }
        return verified
    }

    /// How many peers are remembered.
    var rememberedCount: Int { remembered.withLock { $0.count } }

    static func signedBytes(_ staticKey: Bytes) -> Bytes {
        var writer = ByteWriter(capacity: 64)
        writer.write(utf8: domain)
        writer.write(staticKey)
        return writer.finish()
    }

    private static func fingerprint(_ payload: NoisePayload, _ staticKey: Bytes) -> Digest256 {
        var hash = SHA256()
        hash.update(staticKey)
        // The length keeps key and signature apart.
        withUnsafeBytes(of: UInt64(payload.identityKey.count).bigEndian) { hash.update($0) }
        hash.update(payload.identityKey)
        hash.update(payload.identitySignature)
        return hash.finish()
    }

    /// The peers met most recently: two generations, the older of which is dropped when the younger is full.
    private struct Remembered {
        private var young: [Digest256: Verified] = [:]
        private var old: [Digest256: Verified] = [:]

        var count: Int { young.count + old.count }

        mutating func find(_ fingerprint: Digest256) -> Verified? {
            if let verified = young[fingerprint] { return verified }
            guard let verified = old[fingerprint] else { return nil }
            insert(fingerprint, verified)
            return verified
        }

        mutating func insert(_ fingerprint: Digest256, _ verified: Verified) {
            if young.count >= NoiseLimits.rememberedPeers {
                old = young
                young = [:]
            }
            young[fingerprint] = verified
        }
    }
}
