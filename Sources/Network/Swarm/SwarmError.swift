import WaggleBase
import WaggleFormats

/// Why the swarm could not do what was asked.
public enum SwarmError: Error, Hashable, Sendable {
    /// No address of the peer is known that a transport could dial.
    case noAddresses(PeerID)
    /// Every address was tried without success.
    case dialFailed([DialFailure])
    /// A limit or a rule of the gate forbids it.
    case refused(Refusal)
    /// No transport can dial or listen on the address.
    case unsupportedAddress(Multiaddr)
    case listenFailed(Multiaddr, TransportError)
    /// The connection was there, its stream was not.
    case stream(StreamError)
    case cancelled
    /// The swarm is closed.
    case closed
}

/// What became of one address of a dial.
public struct DialFailure: Error, Hashable, Sendable {
    public let address: Multiaddr
    public let cause: TransportError

    public init(address: Multiaddr, cause: TransportError) {
        self.address = address
        self.cause = cause
    }
}

/// Why a transport gave no connection.
public enum TransportError: Error, Hashable, Sendable {
    case network(NetworkError)
    case handshake(UpgradeError)
    /// Another peer than the expected one answered.
    case wrongPeer(PeerID)
    case refused(Refusal)
    case unsupportedAddress
    /// The host name in the address could not be resolved.
    case unresolved(ResolveError)
    case timedOut
    /// The address failed lately and is left alone until then.
    case backOff(until: Instant)
    case cancelled
}
