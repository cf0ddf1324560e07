import WaggleBase
import WaggleNetwork
import WaggleSimulation

/// Somebody on the path: takes the dialer's connection, makes one of its own to the listener, and every byte goes through its hands.
final class Relay: @unchecked Sendable {
    private let listener: any ListeningSocket
    private let scope: TaskScope

    /// Sits on `host` at port 4001 in front of `target`; `makeTampering` decides what happens to each connection.
    init(
        on host: Host, before target: SocketAddress, _ makeTampering: @escaping @Sendable () -> any Tampering
    ) async throws {
        let system = host.system
        let scope = TaskScope()
        self.scope = scope
        listener = try await system.network.listen(
            on: host.address(port: 4001), admit: { _ in true },
            accept: { near in
                scope.spawn(on: near.loop) {
                    guard let far = try? await system.network.connect(to: target, from: nil, on: near.loop) else {
                        return near.close(abort: true)
                    }
                    RelayedConnection(near, far, makeTampering()).start()
                }
            })
    }

    func close() async {
        listener.close()
        await scope.close()
    }
}

/// What the attacker does with one connection. Called on its loop with what came in; gives what goes out.
protocol Tampering: AnyObject {
    func begin() -> RelayOutput
    func receive(_ bytes: [UInt8], fromDialer: Bool) -> RelayOutput
}

struct RelayOutput {
    var toDialer: [UInt8] = []
    var toListener: [UInt8] = []
}

/// Moves bytes between the two sockets.
private final class RelayedConnection: @unchecked Sendable {
    private final class Leg: SocketHandler {
        let socket: any ByteSocket
        unowned let owner: RelayedConnection
        var pending: [UInt8] = []

        init(_ socket: any ByteSocket, _ owner: RelayedConnection) {
            self.socket = socket
            self.owner = owner
        }

        func socketReadable() { owner.readable(self) }
        func socketWritable() { flush() }

        func write(_ bytes: [UInt8]) {
            pending += bytes
            flush()
        }

        func flush() {
            while !pending.isEmpty {
                let outcome = pending.withUnsafeBytes { bytes in
                    withUnsafePointer(to: bytes) { socket.write(UnsafeBufferPointer(start: $0, count: 1)) }
                }
                guard case .moved(let count) = outcome else { return }
                pending.removeFirst(count)
            }
        }
    }

    private var near: Leg!
    private var far: Leg!
    private let tampering: any Tampering
    private var keepsItself: RelayedConnection?

    init(_ near: any ByteSocket, _ far: any ByteSocket, _ tampering: any Tampering) {
        self.tampering = tampering
        self.near = Leg(near, self)
        self.far = Leg(far, self)
    }

    func start() {
        keepsItself = self
        near.socket.handler = near
        far.socket.handler = far
        send(tampering.begin())
    }

    private func readable(_ leg: Leg) {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while keepsItself != nil {
            switch buffer.withUnsafeMutableBytes({ leg.socket.read(into: $0) }) {
            case .moved(let count): send(tampering.receive(Array(buffer[..<count]), fromDialer: leg === near))
            case .wouldBlock: return
            case .ended, .failed: return end()
            }
        }
    }

    private func send(_ output: RelayOutput) {
        if !output.toDialer.isEmpty { near.write(output.toDialer) }
        if !output.toListener.isEmpty { far.write(output.toListener) }
    }

    private func end() {
        for leg in [near, far] {
            leg?.flush()
            leg?.socket.handler = nil
            leg?.socket.close(abort: false)
        }
        keepsItself = nil
    }
}
