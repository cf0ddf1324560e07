import WaggleBase
import WaggleFormats
import WaggleNetwork

/// TCP: `/ip4/…/tcp/…` and `/ip6/…/tcp/…`, secured and multiplexed by the upgrader.
///
/// Dials leave from the port that the node listens on where there is one of the same kind, so that a peer behind a NAT is seen at one port.
public struct TCP: Transport {
    public let name = "tcp"

    public init() {}

    public func canDial(_ address: Multiaddr) -> Bool {
        guard let socket = TCP.socketAddress(address) else { return false }
        return !socket.ip.isUnspecified && socket.port != 0
    }

    public func canListen(_ address: Multiaddr) -> Bool { TCP.socketAddress(address) != nil }

    public func dial(_ dial: Dial) async throws(TransportError) -> Connection {
        guard let remote = TCP.socketAddress(dial.address) else { throw .unsupportedAddress }
        guard let local = TCP.departure(to: remote.ip, listening: dial.listening) else { return try await connect(dial, remote, from: nil) }
        do throws(TransportError) {
            return try await connect(dial, remote, from: local)
        } catch {
            guard TCP.mayComeFromReuse(error), !Task.isCancelled else { throw error }
            return try await connect(dial, remote, from: nil)
        }
    }

    private func connect(_ dial: Dial, _ remote: SocketAddress, from local: SocketAddress?) async throws(TransportError) -> Connection {
        let assumes = dial.context.upgrader.assumesFirstChannel(of: dial.peer)
        do throws(TransportError) {
            return try await connectOnce(dial, remote, from: local)
        } catch {
            // The peer may not speak any more what it spoke last time. If that was in the way, nothing is assumed now.
            guard assumes, !dial.context.upgrader.assumesFirstChannel(of: dial.peer), !Task.isCancelled else { throw error }
            if case .wrongPeer = error { throw error }
            return try await connectOnce(dial, remote, from: nil)
        }
    }

    private func connectOnce(_ dial: Dial, _ remote: SocketAddress, from local: SocketAddress?) async throws(TransportError) -> Connection {
        let socket: any ByteSocket
        do throws(NetworkError) {
            socket = try await dial.context.system.network.connect(to: remote, from: local, on: dial.loop)
        } catch {
            throw error == .cancelled ? .cancelled : .network(error)
        }
        return try await dial.context.upgrader.upgrade(
            socket, as: .initiator, expecting: dial.peer, local: Multiaddr(socket.localAddress, over: .tcp),
            remote: Multiaddr(socket.remoteAddress, over: .tcp))
    }

    public func listen(on address: Multiaddr, in context: TransportContext) async throws(TransportError) -> any TransportListener {
        guard let local = TCP.socketAddress(address) else { throw .unsupportedAddress }
        do throws(NetworkError) {
            let listening = try await context.system.network.listen(
                on: local, admit: { context.admit($0.ip) }, accept: { context.accept(TCP.incoming($0, context)) })
            return TCPListener(listening)
        } catch {
            throw error == .cancelled ? .cancelled : .network(error)
        }
    }

    private static func incoming(_ socket: any ByteSocket, _ context: TransportContext) -> Incoming {
        let remote = socket.remoteAddress
        return Incoming(
            ip: remote.ip, loop: socket.loop,
            upgrade: { () async throws(TransportError) -> Connection in
                try await context.upgrader.upgrade(
                    socket, as: .responder, local: Multiaddr(socket.localAddress, over: .tcp), remote: Multiaddr(remote, over: .tcp))
            },
            refuse: { socket.close(abort: true) })
    }

    /// The address and port when there is nothing behind `/tcp/port`.
    static func socketAddress(_ address: Multiaddr) -> SocketAddress? {
        guard let socket = address.socketAddress(over: .tcp), address.lastComponent?.kind == .tcp else { return nil }
        return socket
    }

    /// Where a dial to `remote` leaves from: the listener of the same family that could have reached it.
    static func departure(to remote: IPAddress, listening: [Multiaddr]) -> SocketAddress? {
        for address in listening {
            guard let socket = socketAddress(address) else { continue }
            switch (socket.ip, remote) {
            case (.v4, .v4), (.v6, .v6): break
            default: continue
            }
            if socket.ip.isUnspecified || socket.ip.isLoopback == remote.isLoopback { return socket }
        }
        return nil
    }

    /// Whether a dial from the listening port may succeed from another one: the pair of addresses is still taken here, or there by a connection
    /// that we forgot in a crash, or both sides dialed each other at the same moment from their listening ports, which TCP makes into one
    /// connection with two initiators.
    static func mayComeFromReuse(_ error: TransportError) -> Bool {
        switch error {
        case .network(.addressInUse), .network(.addressNotAvailable), .network(.permissionDenied), .network(.connectionRefused): true
        case .handshake(.negotiation), .handshake(.truncated), .handshake(.handshake(.notAuthentic)), .handshake(.handshake(.malformed)),
            .handshake(.handshake(.tooLong)):
            true
        default: false
        }
    }
}

/// A listening TCP socket.
final class TCPListener: TransportListener {
    let address: Multiaddr
    private let socket: any ListeningSocket

    init(_ socket: any ListeningSocket) {
        self.socket = socket
        address = Multiaddr(socket.address, over: .tcp)
    }

    func close() { socket.close() }
}
