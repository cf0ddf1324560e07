import WaggleBase
import WaggleFormats

/// A way to reach other nodes: dials and listens, and always yields finished connections, secured and multiplexed.
///
/// Byte-stream transports get there through the context's `upgrader`. To add one: a folder in `Stack/Transports` and a line in the catalog.
public protocol Transport: Sendable {
    /// What logs call it: "tcp".
    var name: String { get }

    /// Whether `address` (without a PeerID at its end) is of this transport and can be dialed.
    func canDial(_ address: Multiaddr) -> Bool

    /// Whether `address` is of this transport and can be listened on.
    func canListen(_ address: Multiaddr) -> Bool

    /// Connects. Runs on `dial.loop`, which the connection belongs to. Cancelling the task gives up.
    func dial(_ dial: Dial) async throws(TransportError) -> Connection

    /// Listens on `address` and hands what comes to `context.accept` until the listener is closed.
    func listen(on address: Multiaddr, in context: TransportContext) async throws(TransportError) -> any TransportListener
}

/// What a transport is to dial.
public struct Dial: Sendable {
    /// Without a PeerID at its end.
    public let address: Multiaddr
    /// The only peer that is accepted; nil to take whoever answers.
    public let peer: PeerID?
    /// The loop that the connection is to live on.
    public let loop: any EventLoop
    /// Where this node listens now, as bound, so that a dial can leave from a listening port; empty when it shall not.
    public let listening: [Multiaddr]
    public let context: TransportContext
}

/// What the swarm gives its transports.
public struct TransportContext: Sendable {
    public let system: any System
    public let upgrader: Upgrader
    /// Asked before anything is read from or written to an inbound connection: whether the gate and the limits have room for it.
    public let admit: @Sendable (IPAddress?) -> Bool
    /// Takes an inbound connection that was admitted.
    public let accept: @Sendable (Incoming) -> Void
}

/// A raw inbound connection, before any cryptography. The swarm either upgrades or refuses it, once.
public struct Incoming: Sendable {
    /// Where it comes from; nil where the transport knows no IP addresses.
    public let ip: IPAddress?
    /// The loop that it lives on.
    public let loop: any EventLoop
    /// Secures and multiplexes it. Runs on the loop; closes the raw connection when it throws.
    public let upgrade: @Sendable () async throws(TransportError) -> Connection
    /// Closes the raw connection without a word. On the loop.
    public let refuse: @Sendable () -> Void

    public init(
        ip: IPAddress?, loop: any EventLoop, upgrade: @escaping @Sendable () async throws(TransportError) -> Connection,
        refuse: @escaping @Sendable () -> Void
    ) {
        self.ip = ip
        self.loop = loop
        self.upgrade = upgrade
        self.refuse = refuse
    }
}

/// Something that listens.
public protocol TransportListener: AnyObject, Sendable {
    /// Where it listens, with the port that the system chose when 0 was asked for. May be unspecified (`/ip4/0.0.0.0/…`).
    var address: Multiaddr { get }
    func close()
}
