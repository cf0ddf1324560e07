/// A Noise protocol: which keys travel in which message and which secrets are mixed when.
///
/// Spec: Noise rev 34, section 7; for `e1` and `ekem1` the Hybrid Forward Secrecy extension.
struct NoisePattern: Sendable {
    /// One step of a message.
    enum Token: Sendable {
        /// An ephemeral or static X25519 key.
        case e, s
        /// A Diffie-Hellman result; the first letter is the initiator's key, the second the responder's.
        case ee, es, se, ss
        /// An ephemeral ML-KEM-768 encapsulation key, and the ciphertext for it.
        case e1, ekem1
    }

    /// The full name, from which the first hash is made.
    let name: String
    /// Keys that the other side knows before: only `s` can stand here.
    var initiatorKnown = false
    var responderKnown = false
    /// The messages in turn, the initiator's first.
    let messages: [[Token]]

    /// `Noise_XX`, the handshake of `/noise`.
    static let xx = NoisePattern(name: "Noise_XX_25519_ChaChaPoly_SHA256", messages: [[.e], [.e, .ee, .s, .es], [.s, .se]])

    /// `Noise_XXhfs`: the same with an ML-KEM-768 encapsulation mixed in behind the first Diffie-Hellman result.
    static let xxhfs = NoisePattern(
        name: "Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256",
        messages: [[.e, .e1], [.e, .ee, .ekem1, .s, .es], [.s, .se]])
}
