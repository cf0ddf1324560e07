import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The extension with which a node proves a second, post-quantum identity in the same handshake.
///
/// Wire: extension fields 1025 and 1026 of the payload, from the range that libp2p leaves to applications, so that others ignore them. 1025 is the
/// certificate that names both identities, or empty for a node that has only one but can verify two; 1026 the post-quantum key's signature of
/// `noise-waggle-second-identity:` ‖ h (32) ‖ SHA2-256 of the certificate (32) ‖ the sender's channels as in `NoiseTranscript`. The listener always
/// sends field 1025; the dialer when the listener did.
///
/// A certificate alone proves nothing about a session: it can be copied. The signature does, because h covers this handshake's ephemeral
/// keys and the sender's static key. It covers the list of channels too, so that stripping an offer takes both keys.
/// Spec: `docs/specs/dual-identity.md`.
enum NoiseDualIdentity {
    private static let domain = "noise-waggle-second-identity:"

    /// Adds our side to a payload.
    static func write(
        to payload: inout NoisePayload, _ keys: NoiseKeys, _ hash: Digest256, _ channels: [ProtocolID]
    ) throws(HandshakeError) {
        guard let bindings = keys.bindings else { return }
        guard let second = keys.identity.second else {
            payload.certificate = Bytes()
            return
        }
        guard let certificate = second.certificate(at: bindings.now), let signed = signedBytes(hash, certificate.digest, channels),
            let signature = second.key.sign(signed)
        else { throw .malformed }
        payload.certificate = certificate.encoded
        payload.secondSignature = signature
    }

    /// Who sent a payload, after both proofs where there are two. `verified` is what the payload's own identity key proved.
    static func read(
        _ payload: NoisePayload, _ keys: NoiseKeys, _ hash: Digest256, _ verified: NoiseKeys.Verified
    ) throws(HandshakeError) -> (names: IdentityBindings.Names, key: PublicKey, signature: String) {
        let single = (names: IdentityBindings.Names(verified.peer), key: verified.key, signature: verified.key.kind.name)
        guard let bindings = keys.bindings else { return single }
        do throws(IdentityRefusal) {
            guard let encoded = payload.certificate, !encoded.isEmpty else {
                _ = try bindings.settle(verified.peer)
                return single
            }
            let certificate: IdentityCertificate
            do throws(IdentityCertificateError) {
                certificate = try IdentityCertificate(
                    verifying: encoded, at: bindings.now, isKnown: { bindings.isKnown($0, of: verified.peer) })
            } catch {
                throw IdentityRefusal(verified.peer, error)
            }
            // The certificate must be of who speaks, and its other key must speak in this very handshake.
            guard certificate.classicalPeer == verified.peer else { throw IdentityRefusal(verified.peer, .wrongPeer) }
            guard let signed = signedBytes(hash, certificate.digest, payload.channels),
                certificate.postQuantumKey.verify(payload.secondSignature, of: signed)
            else { throw IdentityRefusal(verified.peer, .forged) }
            let names = try bindings.settle(certificate)
            if names.alias != nil {
                return (names, verified.key, "\(verified.key.kind.name)+\(certificate.postQuantumKey.kind.name)")
            }
            let key = names.peer == verified.peer ? verified.key : certificate.postQuantumKey
            return (names, key, key.kind.name)
        } catch {
            throw .identityRefused(error)
        }
    }

    private static func signedBytes(_ hash: Digest256, _ certificate: Digest256, _ channels: [ProtocolID]) -> Bytes? {
        var writer = ByteWriter(capacity: 512)
        writer.write(utf8: domain)
        hash.withUnsafeBytes { writer.write($0) }
        certificate.withUnsafeBytes { writer.write($0) }
        guard NoiseTranscript.write(channels, to: &writer) else { return nil }
        return writer.finish()
    }
}
