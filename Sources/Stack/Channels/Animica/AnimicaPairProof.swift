import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// How a node with two identities shows both of them in one `/animica/1` handshake.
///
/// The post-quantum identity is the one of the credentials; they hold the certificate of the pair besides, and the Ed25519 key's signature of this
/// session. The post-quantum signature covers all of that, so what the channel promises does not rest on Ed25519.
/// Spec: `docs/specs/animica-channel.md`, section "Credentials"; `docs/specs/dual-identity.md`.
struct AnimicaPairProof: Sendable {
    static let signatureLength = 64

    let first: IdentityKeyPair
    let second: SecondIdentity

    /// Nil for a node with one identity, or with a first one that is not of Ed25519.
    init?(_ identity: LocalIdentity) {
        guard let second = identity.second, identity.key.publicKey.kind == .ed25519 else { return nil }
        first = identity.key
        self.second = second
    }

    /// The signature of the credentials so far, under the transcript so far.
    func sign(_ credentials: Bytes, _ schedule: AnimicaSchedule, _ role: Role) throws(HandshakeError) -> Bytes {
        guard let signature = first.sign(schedule.pairBytes(role, credentials.span)), signature.count == AnimicaPairProof.signatureLength else {
            throw .malformed
        }
        return signature
    }

    /// Who it is whose post-quantum key proved `name`: by both names, if a certificate and a signature of this session say so.
    ///
    /// A peer whose post-quantum name is contested is refused: what is left would be a name of Ed25519 alone.
    static func settle(
        _ name: PeerID, _ key: PublicKey, _ credentials: AnimicaCredentials, signed: Bytes, _ bindings: IdentityBindings?
    ) throws(HandshakeError) -> (names: IdentityBindings.Names, key: PublicKey, signature: String) {
        let single = (names: IdentityBindings.Names(name), key: key, signature: key.kind.name)
        guard let bindings else { return single }
        do throws(IdentityRefusal) {
            guard !credentials.certificate.isEmpty else {
                _ = try bindings.settle(name)
                return single
            }
            let certificate: IdentityCertificate
            do throws(IdentityCertificateError) {
                certificate = try IdentityCertificate(
                    verifying: credentials.certificate, at: bindings.now, isKnown: { bindings.isKnown($0, of: name) })
            } catch {
                throw IdentityRefusal(name, error)
            }
            guard certificate.postQuantumPeer == name else { throw IdentityRefusal(name, .wrongPeer) }
            guard certificate.classicalKey.kind == .ed25519 else { throw IdentityRefusal(name, .wrongKind) }
            guard certificate.classicalKey.verify(credentials.pairSignature, of: signed) else { throw IdentityRefusal(name, .forged) }
            let names = try bindings.settle(certificate)
            if names.alias != nil {
                return (names, certificate.classicalKey, "\(certificate.classicalKey.kind.name)+\(key.kind.name)")
            }
            guard names.peer == name else { throw IdentityRefusal(name, cause: .contested) }
            return single
        } catch {
            throw .identityRefused(error)
        }
    }
}
