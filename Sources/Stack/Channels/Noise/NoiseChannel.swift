import WaggleBase
import WaggleNetwork

/// The Noise channels: `/noise`, and its post-quantum hybrid under the two ids that are in use for it.
///
/// The folder: `NoiseMachine` is the handshake as libp2p runs it, over `NoiseCore` (Noise itself) and `NoiseSymmetric`; `NoisePayload` what it
/// carries; `NoiseTranscript` the protection of the negotiation; `NoiseKeys` the node's static key; `NoiseRecords` the transport.
public struct NoiseChannel: SecureChannel {
    /// The key exchange that runs.
    public enum Suite: Sendable, Hashable {
        /// `Noise_XX_25519_ChaChaPoly_SHA256`.
        case classical
        /// `Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256`: secret as long as one of X25519 and ML-KEM-768 holds.
        case hybrid

        var keyExchange: String {
            switch self {
            case .classical: "X25519"
            case .hybrid: "X25519+ML-KEM-768"
            }
        }
    }

    public let protocolID: ProtocolID
    public let suite: Suite
    let keys: NoiseKeys

    private init(_ protocolID: ProtocolID, _ suite: Suite, _ keys: NoiseKeys) {
        self.protocolID = protocolID
        self.suite = suite
        self.keys = keys
    }

    /// `/noise`.
    public static func classical(_ keys: NoiseKeys) -> NoiseChannel { NoiseChannel("/noise", .classical, keys) }

    /// `/noise-mlkem768-hfs/0.2.0` and `/0.1.0`: the same bytes under two names.
    public static func hybrid(_ keys: NoiseKeys) -> [NoiseChannel] {
        ["/noise-mlkem768-hfs/0.2.0", "/noise-mlkem768-hfs/0.1.0"].map { NoiseChannel($0, .hybrid, keys) }
    }

    public var isPostQuantum: Bool { suite == .hybrid }

    var pattern: NoisePattern {
        switch suite {
        case .classical: .xx
        case .hybrid: .xxhfs
        }
    }

    public func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake { NoiseMachine(self, parameters) }
}
