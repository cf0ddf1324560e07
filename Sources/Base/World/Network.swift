/// An IP address: four bytes of IPv4 or sixteen of IPv6.
public enum IPAddress: Hashable, Sendable {
    /// In host order, so 127.0.0.1 is 0x7f000001.
    case v4(UInt32)
    /// High and low half in host order, and the scope of a link-local address (0 for none).
    case v6(high: UInt64, low: UInt64, zone: UInt32)

    public static let loopback = IPAddress.v4(0x7f00_0001)

    public var isLoopback: Bool {
        switch self {
        case .v4(let value): value >> 24 == 127
        case .v6(let high, let low, _): high == 0 && low == 1
        }
    }

    public var isMulticast: Bool {
        switch self {
        case .v4(let value): value >> 28 == 0xe
        case .v6(let high, _, _): high >> 56 == 0xff
        }
    }

    public var isUnspecified: Bool {
        switch self {
        case .v4(let value): value == 0
        case .v6(let high, let low, _): high == 0 && low == 0
        }
    }
}

/// Where a socket is: address and port.
public struct SocketAddress: Hashable, Sendable {
    public var ip: IPAddress
    public var port: UInt16

    public init(ip: IPAddress, port: UInt16) {
        self.ip = ip
        self.port = port
    }
}

/// Why the network refused. `errno` values are Linux's.
public enum NetworkError: Error, Hashable, Sendable {
    case addressInUse(SocketAddress)
    case permissionDenied(SocketAddress)
    case addressNotAvailable(SocketAddress)
    case connectionRefused(SocketAddress)
    case unreachable(SocketAddress)
    case timedOut(SocketAddress)
    case cancelled
    case outOfDescriptors
    case other(errno: Int32)
}

/// What one read or write on a non-blocking socket did.
public enum SocketOutcome: Equatable, Sendable {
    /// Bytes moved (at least one).
    case moved(Int)
    /// Nothing now; the handler hears when to try again.
    case wouldBlock
    /// The other side sent its end of stream (reads only).
    case ended
    /// Broken; `errno` says how.
    case failed(errno: Int32)
}

/// A connected byte stream of the network, pinned to a loop. All members only on that loop.
public protocol ByteSocket: AnyObject, Sendable {
    var loop: any EventLoop { get }
    var localAddress: SocketAddress { get }
    var remoteAddress: SocketAddress { get }

    /// Who hears of readiness; held strongly until `close`. Readiness is edge-triggered: it is told again only after a call said
    /// `wouldBlock`, or a read was short. Setting a handler reports readiness that is already there, on the next turn of the loop.
    var handler: (any SocketHandler)? { get set }

    /// Reads what is there. A short read means that nothing more is waiting.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> SocketOutcome

    /// Writes as much of the pieces, in order, as the network takes; one system call for all (at most 64 pieces).
    func write(_ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> SocketOutcome

    /// Sends the end of the stream; reading goes on.
    func shutdownWrite()

    /// Gives the socket back; `abort` drops unsent data and resets the connection. No callback follows.
    func close(abort: Bool)
}

/// Hears of a socket's readiness, on its loop.
public protocol SocketHandler: AnyObject {
    func socketReadable()
    func socketWritable()
}

/// A listening socket.
public protocol ListeningSocket: AnyObject, Sendable {
    /// Where it listens, with the port that the system chose when 0 was asked for.
    var address: SocketAddress { get }
    func close()
}

/// The network of a host.
public protocol ByteNetwork: Sendable {
    /// Listens on `address`. For each connection `admit` is asked first, with the remote address; what it admits is handed to
    /// `accept` on the loop that will carry the connection, the loops taking turns.
    func listen(
        on address: SocketAddress,
        admit: @escaping @Sendable (SocketAddress) -> Bool,
        accept: @escaping @Sendable (any ByteSocket) -> Void
    ) async throws(NetworkError) -> any ListeningSocket

    /// Connects to `remote`; the socket belongs to `loop`. With `local` the connection leaves from that address and port even while a
    /// listener holds it (port reuse), which lets peers behind a NAT see one port; where that pair is taken, from another port.
    /// Cancelling the task gives up.
    func connect(to remote: SocketAddress, from local: SocketAddress?, on loop: any EventLoop) async throws(NetworkError) -> any ByteSocket

    /// The addresses of this host's interfaces.
    func interfaceAddresses() -> [IPAddress]
}
