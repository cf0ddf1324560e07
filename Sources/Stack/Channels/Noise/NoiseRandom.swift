import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The random bytes of one handshake, each part for one purpose: X25519 key (32), ML-KEM key seed d ‖ z (64), ML-KEM message m (32).
struct NoiseRandom {
    private let bytes: SecureBytes

    /// Exactly `HandshakeParameters.randomLength` bytes.
    init(_ bytes: SecureBytes) {
        precondition(bytes.count == HandshakeParameters.randomLength, "a handshake takes \(HandshakeParameters.randomLength) random bytes")
        self.bytes = bytes
    }

    func ephemeral() -> X25519.PrivateKey? { X25519.PrivateKey(part(0)) }

    func decapsulationKey() -> MLKEM768.DecapsulationKey? { MLKEM768.generate(d: part(1), z: part(2)) }

    func encapsulate(to key: MLKEM768.EncapsulationKey) -> MLKEM768.Encapsulation? { MLKEM768.encapsulate(to: key, m: part(3)) }

    /// One of the four parts of 32 bytes.
    private func part(_ index: Int) -> SecureBytes { SecureBytes(bytes.span.extracting(32 * index..<32 * index + 32)) }
}
