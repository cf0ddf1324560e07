import WaggleBase

/// The network as one start of a host sees it.
final class HostNetwork: ByteNetwork {
    private let host: Host
    private let loop: HostLoop

    init(host: Host, loop: HostLoop) {
        self.host = host
        self.loop = loop
    }

    func listen(
        on address: SocketAddress,
        admit: @escaping @Sendable (SocketAddress) -> Bool,
        accept: @escaping @Sendable (any ByteSocket) -> Void
    ) async throws(NetworkError) -> any ListeningSocket {
        if loop.isDead { throw .cancelled }
        guard address.ip.isUnspecified || address.ip.isLoopback || host.addresses.contains(address.ip) else {
            throw .addressNotAvailable(address)
        }
        let stack = host.world.fabric.stack(of: host)
        var bound = address
        if bound.port == 0 {
            guard let port = stack.freePort(bound.ip, to: nil) else { throw .addressInUse(address) }
            bound.port = port
        }
        let listener = SimulatedListener(
            address: bound, number: stack.number(), stack: stack, loop: loop, admit: admit, accept: accept)
        guard stack.add(listener) else { throw .addressInUse(bound) }
        return listener
    }

    func connect(to remote: SocketAddress, from local: SocketAddress?, on loop: any EventLoop) async throws(NetworkError)
        -> any ByteSocket
    {
        if self.loop.isDead || Task.isCancelled { throw .cancelled }
        let fabric = host.world.fabric
        let stack = fabric.stack(of: host)
        guard let tuple = tuple(to: remote, from: local, stack) else { throw .addressNotAvailable(remote) }
        let attempt = ConnectAttempt(host: host, loop: self.loop, tuple: tuple, number: stack.number())
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in attempt.start(continuation) }
        } onCancel: {
            self.loop.execute { attempt.end(.failure(.cancelled)) }
        }
        return try result.get()
    }

    /// The local end: what was asked for when it is free, else a port of the system's choice.
    private func tuple(to remote: SocketAddress, from local: SocketAddress?, _ stack: NetworkStack) -> NetworkStack.Tuple? {
        let ip: IPAddress
        if let wanted = local?.ip, !wanted.isUnspecified, wanted.isVersion4 == remote.ip.isVersion4 {
            ip = wanted
        } else if remote.ip.isLoopback {
            ip = remote.ip
        } else if let own = host.addresses.first(where: { $0.isVersion4 == remote.ip.isVersion4 }) {
            ip = own
        } else {
            return nil
        }
        if let port = local?.port, port != 0 {
            let tuple = NetworkStack.Tuple(local: SocketAddress(ip: ip, port: port), remote: remote)
            if !stack.isTaken(tuple), tuple.local != remote { return tuple }
        }
        guard let port = stack.freePort(ip, to: remote) else { return nil }
        return NetworkStack.Tuple(local: SocketAddress(ip: ip, port: port), remote: remote)
    }

    func interfaceAddresses() -> [IPAddress] { [.loopback] + host.addresses }
}

final class SimulatedListener: ListeningSocket, @unchecked Sendable {
    let address: SocketAddress
    let number: UInt64
    let loop: HostLoop
    private let stack: NetworkStack
    private let admitHandler: @Sendable (SocketAddress) -> Bool
    private let acceptHandler: @Sendable (any ByteSocket) -> Void
    private(set) var isClosed = false

    init(
        address: SocketAddress, number: UInt64, stack: NetworkStack, loop: HostLoop,
        admit: @escaping @Sendable (SocketAddress) -> Bool, accept: @escaping @Sendable (any ByteSocket) -> Void
    ) {
        self.address = address
        self.number = number
        self.stack = stack
        self.loop = loop
        admitHandler = admit
        acceptHandler = accept
    }

    /// The kernel has established the connection; the program takes or resets it.
    func deliver(_ socket: SimulatedSocket) {
        loop.handle(\.accept) { [self] in
            if isClosed || !admitHandler(socket.remoteAddress) { return socket.close(abort: true) }
            acceptHandler(socket)
        }
    }

    func close() {
        isClosed = true
        stack.remove(self)
    }
}
