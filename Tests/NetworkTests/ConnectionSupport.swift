import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation
import WaggleStack

@testable import WaggleNetwork

/// Records that are framed and marked but not encrypted: length (2 bytes), plaintext, mark (2 bytes).
final class TestRecords: RecordLayer {
    let overhead = 4
    let maximumPlaintext = 65_531
    private(set) var sealed = 0
    private let mark: UInt16 = 0xa55a

    func seal(
        _ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer, into output: UnsafeMutableRawPointer
    ) throws(RecordError) -> Int {
        let count = header.count + payload.count
        guard count <= maximumPlaintext else { throw .tooLong(bytes: count) }
        output.storeBytes(of: UInt16(count + 2).bigEndian, as: UInt16.self)
        UnsafeMutableRawBufferPointer(start: output + 2, count: header.count).copyMemory(from: header)
        UnsafeMutableRawBufferPointer(start: output + 2 + header.count, count: payload.count).copyMemory(from: payload)
        output.storeBytes(of: mark, toByteOffset: count + 2, as: UInt16.self)
        sealed += 1
        return count + 4
    }

    func open(_ input: UnsafeMutableRawBufferPointer) throws(RecordError) -> RecordOutcome {
        guard input.count >= 2 else { return .incomplete(need: 2) }
        let count = Int(UInt16(bigEndian: input.loadUnaligned(as: UInt16.self)))
        guard count >= 2 else { throw .malformed }
        guard input.count >= count + 2 else { return .incomplete(need: count + 2) }
        guard input.loadUnaligned(fromByteOffset: count, as: UInt16.self) == mark else { throw .notAuthentic }
        return .record(plaintext: 2..<count, consumed: count + 2)
    }
}

/// Serves what a test registers, and counts.
final class TestRouter: StreamRouter {
    struct State {
        var handlers: [ProtocolID: StreamHandler] = [:]
        var admitted = 0
        var released = 0
        var refuses = false
        var closed: [CloseReason] = []
    }

    let state = Mutex(State())

    func serve(_ id: ProtocolID, _ handler: @escaping StreamHandler) { state.withLock { $0.handlers[id] = handler } }

    func admitStream(on connection: Connection) -> Bool {
        state.withLock {
            if $0.refuses { return false }
            $0.admitted += 1
            return true
        }
    }

    func releaseStream(on connection: Connection) { state.withLock { $0.released += 1 } }
    func speaks(_ protocolID: ProtocolID) -> Bool { state.withLock { $0.handlers[protocolID] != nil } }
    func handler(for protocolID: ProtocolID, on connection: Connection) -> StreamHandler? { state.withLock { $0.handlers[protocolID] } }
    func connectionClosed(_ connection: Connection, _ reason: CloseReason) { state.withLock { $0.closed.append(reason) } }

    var open: Int { state.withLock { $0.admitted - $0.released } }
    var closed: [CloseReason] { state.withLock { $0.closed } }
}

/// Two hosts with one connection between them.
final class ConnectionPair: @unchecked Sendable {
    let world: World
    let near: Connection
    let far: Connection
    let nearRouter: TestRouter
    let farRouter: TestRouter
    let nearHost: Host
    let farHost: Host
    let farSocket: any ByteSocket

    private init(
        _ world: World, _ hosts: (Host, Host), _ sockets: (any ByteSocket, any ByteSocket), _ limits: ConnectionLimits,
        _ routers: (TestRouter, TestRouter)
    ) throws {
        self.world = world
        nearRouter = routers.0
        farRouter = routers.1
        nearHost = hosts.0
        farHost = hosts.1
        farSocket = sockets.1
        near = try makeConnection(sockets.0, .outbound, limits, routers.0)
        far = try makeConnection(sockets.1, .inbound, limits, routers.1)
    }

    /// A world, two hosts, a connection, and `body` on it.
    static func run<R: Sendable>(
        seed: UInt64 = 1, options: WorldOptions = WorldOptions(), limits: ConnectionLimits = ConnectionLimits(),
        _ body: @escaping @Sendable (ConnectionPair) async throws -> R
    ) throws -> R {
        let world = World(seed: seed, options: options)
        let (alice, bob) = (world.host("alice"), world.host("bob"))
        return try world.run(limit: .seconds(3600)) {
            let pair = try await ConnectionPair.make(world, alice, bob, limits)
            return try await body(pair)
        }
    }

    /// A task beside the test's own.
    func task<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) -> Task<R, any Error> {
        Task(executorPreference: world.mainLoop.taskExecutor) { try await body() }
    }

    static func make(_ world: World, _ alice: Host, _ bob: Host, _ limits: ConnectionLimits) async throws -> ConnectionPair {
        let accepted = Accepted(on: world.mainLoop)
        let listener = try await bob.system.network.listen(
            on: SocketAddress(ip: bob.addresses[0], port: 4001), admit: { _ in true }, accept: { accepted.take($0) })
        let near = try await alice.system.network.connect(to: listener.address, from: nil, on: alice.system.home)
        let far = try await accepted.socket()
        let pair = try ConnectionPair(world, (alice, bob), (near, far), limits, (TestRouter(), TestRouter()))
        pair.near.start()
        pair.far.start()
        return pair
    }

    private final class Accepted: @unchecked Sendable {
        private var sockets: [any ByteSocket] = []
        private let arrived: Waiter

        init(on loop: any EventLoop) { arrived = Waiter(on: loop) }

        func take(_ socket: any ByteSocket) {
            sockets.append(socket)
            arrived.wake()
        }

        func socket() async throws -> any ByteSocket {
            while sockets.isEmpty { try await arrived.wait() }
            return sockets.removeFirst()
        }
    }
}

func makeConnection(
    _ socket: any ByteSocket, _ direction: Direction, _ limits: ConnectionLimits, _ router: TestRouter, unread: Bytes = Bytes(), memory: MemoryBudget? = nil
) throws -> Connection {
    let key = try IdentityKeyPair(ed25519Seed: SecureBytes(pattern(32, seed: 5).span)).publicKey
    let security = SecurityInfo(
        channel: "/test", keyExchange: "none", signature: "none", isPostQuantum: false, transcriptVerified: false)
    let secured = Secured(peer: PeerID(key), key: key, muxer: nil, records: TestRecords(), security: security)
    return Connection(
        ConnectionParameters(
            socket: socket, direction: direction, upgraded: Upgraded(secured: secured, muxer: "/yamux/1.0.0", leftover: Bytes()),
            muxer: Yamux(), localAddress: Multiaddr(socket.localAddress, over: .tcp),
            remoteAddress: Multiaddr(socket.remoteAddress, over: .tcp), unread: unread, limits: limits, router: router,
            pool: ChunkPool(on: socket.loop), memory: memory))
}

/// The far end of a connection under test, by hand: a yamux machine and a socket, driven by the test.
final class RawPeer: SocketHandler, @unchecked Sendable {
    let socket: any ByteSocket
    let records = TestRecords()
    var yamux: YamuxEnd
    private var input: [UInt8] = []
    private let arrived: Waiter
    private(set) var hasEnded = false

    init(_ socket: any ByteSocket, _ role: Role) {
        self.socket = socket
        yamux = YamuxEnd(role, at: socket.loop.now)
        arrived = Waiter(on: socket.loop)
        socket.handler = self
    }

    func socketWritable() {}

    func socketReadable() {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while !hasEnded {
            let outcome = buffer.withUnsafeMutableBytes { socket.read(into: $0) }
            guard case .moved(let count) = outcome else {
                if outcome != .wouldBlock { hasEnded = true }
                break
            }
            input += buffer[0..<count]
            if count < buffer.count { break }
        }
        while true {
            let outcome = input.withUnsafeMutableBytes { bytes in try? records.open(bytes) }
            guard case .record(let plaintext, let consumed) = outcome else { break }
            yamux.take(Bytes(Array(input[plaintext])), at: socket.loop.now)
            input.removeFirst(consumed)
        }
        arrived.wake()
    }

    /// Waits until `condition` holds.
    func until(_ condition: (RawPeer) -> Bool) async throws {
        while !condition(self) {
            if hasEnded { throw StreamError.connectionLost }
            try await arrived.wait()
        }
    }

    /// Sends plaintext as one record.
    func send(_ plaintext: Bytes) throws {
        let record = ByteStorage(capacity: plaintext.count + 4)
        let size = try plaintext.withUnsafeBytes {
            try records.seal(UnsafeRawBufferPointer(start: nil, count: 0), $0, into: record.base)
        }
        write(Bytes(storage: record, range: 0..<size))
    }

    func write(_ bytes: Bytes) {
        bytes.withUnsafeBytes { piece in
            withUnsafePointer(to: piece) { _ = socket.write(UnsafeBufferPointer(start: $0, count: 1)) }
        }
    }

    /// Sends what the machine has to say.
    func flush() throws { try send(yamux.wire(at: socket.loop.now)) }
}

extension ConnectionPair {
    /// A connection and, at the other end, a peer by hand.
    static func withRawPeer<R: Sendable>(
        seed: UInt64 = 1, limits: ConnectionLimits = ConnectionLimits(), router: TestRouter = TestRouter(), memory: MemoryBudget? = nil,
        _ body: @escaping @Sendable (Connection, RawPeer, World) async throws -> R
    ) throws -> R {
        let world = World(seed: seed)
        let (alice, bob) = (world.host("alice"), world.host("bob"))
        return try world.run(limit: .seconds(3600)) {
            let accepted = Accepted(on: world.mainLoop)
            let listener = try await bob.system.network.listen(
                on: SocketAddress(ip: bob.addresses[0], port: 4001), admit: { _ in true }, accept: { accepted.take($0) })
            let near = try await alice.system.network.connect(to: listener.address, from: nil, on: alice.system.home)
            let peer = RawPeer(near, .initiator)
            let connection = try makeConnection(try await accepted.socket(), .inbound, limits, router, memory: memory)
            connection.start()
            return try await body(connection, peer, world)
        }
    }
}

/// The lines with which a dialer proposes one protocol.
func proposal(_ id: String) -> Bytes {
    var machine = MultistreamMachine(proposing: [ProtocolID(id)])
    return machine.next() ?? Bytes()
}
