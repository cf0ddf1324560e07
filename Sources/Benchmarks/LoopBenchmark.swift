import CBaseline
import WaggleBase
import WaggleRuntime

/// The event loop: messages, bytes and wake-ups against a plain C epoll program, and what tasks and timers cost on it.
enum LoopBenchmark {
    /// One under way on each of so many connections.
    private static let connections = 64
    private static let messages = 30_000
    private static let streamBytes: Int64 = 256 << 20

    static func run() throws {
        let system = LinuxSystem(loops: 1)
        defer { system.shutdown() }
        let scope = TaskScope()
        let ours = try blocking(system) {
            try await (
                echo: listen(system, scope, Peer.echo), callback: listenWithCallbacks(system),
                sink: listen(system, scope, Peer.sink), source: listen(system, scope, Peer.source)
            )
        }
        let plain = (
            echo: cbaseline_serve(Int32(cbaseline_echo)), sink: cbaseline_serve(Int32(cbaseline_sink)),
            source: cbaseline_serve(Int32(cbaseline_source))
        )
        let echo = Int32(cbaseline_echo), sink = Int32(cbaseline_sink), source = Int32(cbaseline_source)
        let many = { (port: Int32) in cbaseline_messages(port, Int32(connections), messages) }
        try compare(system, "echo, \(connections) connections, a task each", ours.echo, plain.echo, echo, 1e6, "M/s", many)
        try compare(system, "echo, \(connections) connections, callbacks", ours.callback, plain.echo, echo, 1e6, "M/s", many)
        try compare(system, "one stream in", ours.sink, plain.sink, sink, 1e9, "GB/s") { cbaseline_push($0, streamBytes) }
        try compare(system, "one stream out", ours.source, plain.source, source, 1e9, "GB/s") { cbaseline_pull($0, streamBytes) }
        try compare(system, "round trips on one connection", ours.echo, plain.echo, echo, 1e3, "thousand/s") {
            1e9 / cbaseline_round_trip($0, 3000)
        }
        try costs(system)
        try blocking(system) { await scope.close() }
    }

    /// Medians of five rounds that take turns. Processor time is that of the serving thread alone, and steadier on a busy machine.
    private static func compare(
        _ system: LinuxSystem, _ name: String, _ ours: Int32, _ plain: Int32, _ mode: Int32, _ unit: Double, _ unitName: String,
        _ measure: (Int32) -> Double
    ) throws {
        var (own, base, ownTime, baseTime): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
        let loopTime = { try blocking(system) { cbaseline_thread_time() } }
        for _ in 0..<5 {
            let start = cbaseline_server_time(mode)
            base.append(measure(plain))
            baseTime.append(cbaseline_server_time(mode) - start)
            let ownStart = try loopTime()
            own.append(measure(ours))
            ownTime.append(try loopTime() - ownStart)
        }
        func median(_ values: [Double]) -> Double { values.sorted()[2] }
        let speed = Measure.text(median(own) / median(base)), time = Measure.text(median(baseTime) / median(ownTime))
        print(
            "\(name): \(Measure.text(median(own) / unit)) \(unitName), \(speed) of plain C (\(Measure.text(median(base) / unit))); "
                + "per processor time \(time) of it")
    }

    private static func listen(
        _ system: LinuxSystem, _ scope: TaskScope, _ serve: @escaping @Sendable (Peer) async throws -> Void
    ) async throws -> Int32 {
        let listener = try await system.network.listen(on: SocketAddress(ip: .loopback, port: 0), admit: { _ in true }) { socket in
            scope.spawn(on: socket.loop) {
                let peer = Peer(socket)
                do { try await serve(peer) } catch {}
                socket.close(abort: false)
            }
        }
        return Int32(listener.address.port)
    }

    private static func listenWithCallbacks(_ system: LinuxSystem) async throws -> Int32 {
        let listener = try await system.network.listen(on: SocketAddress(ip: .loopback, port: 0), admit: { _ in true }) { socket in
            socket.handler = CallbackEcho(socket)
        }
        return Int32(listener.address.port)
    }

    // MARK: Costs

    private static func costs(_ system: LinuxSystem) throws {
        let loop = system.home
        func report(_ name: String, _ count: Int, _ body: @escaping @Sendable () async throws -> Void) throws {
            let rounds = try (0..<5).map { _ in
                try blocking(system) {
                    let start = cbaseline_thread_time()
                    try await body()
                    return (cbaseline_thread_time() - start) / Double(count)
                }
            }
            Measure.printTime(name + " (loop's processor time)", rounds.sorted()[2])
        }
        let count = 10_000
        try report("timer armed and cancelled", count) {
            for index in 0..<count { loop.cancel(loop.schedule(at: loop.now + .milliseconds(index), {})) }
        }
        try report("timer armed and fired", count) {
            let done = Waiter(on: loop)
            var left = count
            let now = loop.now
            for _ in 0..<count {
                _ = loop.schedule(at: now) {
                    left -= 1
                    if left == 0 { done.wake() }
                }
            }
            try await done.wait()
        }
        try report("callback through execute", count) {
            let done = Waiter(on: loop)
            for _ in 1..<count { loop.execute {} }
            loop.execute { done.wake() }
            try await done.wait()
        }
        try report("task spawned and run", count) {
            let scope = TaskScope()
            for _ in 0..<count { scope.spawn(on: loop) {} }
            await scope.drain()
        }
        try report("waiter parked and woken", count) {
            let waiter = Waiter(on: loop)
            for _ in 0..<count {
                loop.execute { waiter.wake() }
                try await waiter.wait()
            }
        }
        try report("child task in a group", count) {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<count { group.addTask {} }
            }
        }
        try report("hop to offloaded work and back", 500) {
            for _ in 0..<500 { try await system.offload {} }
        }
    }

    /// Runs `body` on the system's first loop and waits for it.
    private static func blocking<R: Sendable>(_ system: LinuxSystem, _ body: @escaping @Sendable () async throws -> R) throws -> R {
        try system.runBlocking(body)
    }
}

/// A connection with suspending reads and writes, and one buffer.
private final class Peer: SocketHandler, @unchecked Sendable {
    private let socket: any ByteSocket
    private let readable: Waiter
    private let writable: Waiter
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    init(_ socket: any ByteSocket) {
        self.socket = socket
        readable = Waiter(on: socket.loop)
        writable = Waiter(on: socket.loop)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        socket.handler = self
    }

    deinit { buffer.deallocate() }

    func socketReadable() { readable.wake() }
    func socketWritable() { writable.wake() }

    /// Nil at the end.
    private func read() async throws -> Int? {
        while true {
            switch socket.read(into: buffer) {
            case .moved(let count): return count
            case .wouldBlock: try await readable.wait()
            case .ended, .failed: return nil
            }
        }
    }

    private func write(_ count: Int) async throws -> Bool {
        var done = 0
        while done < count {
            let piece = UnsafeRawBufferPointer(rebasing: buffer[done..<count])
            let outcome = withUnsafePointer(to: piece) { socket.write(UnsafeBufferPointer(start: $0, count: 1)) }
            switch outcome {
            case .moved(let count): done += count
            case .wouldBlock: try await writable.wait()
            case .ended, .failed: return false
            }
        }
        return true
    }

    static func echo(_ peer: Peer) async throws {
        while let count = try await peer.read() { guard try await peer.write(count) else { return } }
    }

    static func sink(_ peer: Peer) async throws { while try await peer.read() != nil {} }

    static func source(_ peer: Peer) async throws { while try await peer.write(peer.buffer.count) {} }
}

/// The same echo without a task.
private final class CallbackEcho: SocketHandler {
    private unowned let socket: any ByteSocket
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    init(_ socket: any ByteSocket) { self.socket = socket }
    deinit { buffer.deallocate() }

    func socketReadable() {
        switch socket.read(into: buffer) {
        case .moved(let count):
            let piece = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            _ = withUnsafePointer(to: piece) { socket.write(UnsafeBufferPointer(start: $0, count: 1)) }
        case .wouldBlock: return
        case .ended, .failed: socket.close(abort: false)
        }
    }

    func socketWritable() {}
}
