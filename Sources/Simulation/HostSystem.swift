import WaggleBase

/// The system of one start of a host.
final class HostSystem: System, @unchecked Sendable {
    let host: Host
    let loop: HostLoop
    let network: any ByteNetwork
    let datagrams: any DatagramNetwork
    let resolver: any NameResolver
    let files: any FileSystem
    let log: any LogSink
    private var random: SeededRandom
    private(set) var isDead = false

    init(host: Host, generation: Int) {
        self.host = host
        let loop = HostLoop(base: host.world.loop, processor: host.world.options.processor)
        self.loop = loop
        random = SeededRandom(seed: host.world.seed, name: host.name, generation: generation)
        network = HostNetwork(host: host, loop: loop)
        datagrams = HostDatagrams(host: host, loop: loop)
        resolver = HostResolver(host: host, loop: loop)
        files = SimulatedFiles(disk: host.disk, session: host.disk.openSession())
        log = SimulatedLog(host: host.name, world: host.world)
    }

    func die() {
        isDead = true
        host.disk.releaseHandles()
        loop.die()
    }

    var loops: [any EventLoop] { [loop] }
    var wallTime: WallTime { host.world.wallTime + host.wallClockSkew }
    var residentMemory: Int { host.residentMemory }

    func fillRandom(_ buffer: UnsafeMutableRawBufferPointer) { random.fill(buffer) }

    func openStore(_ path: String, tables: [Table], capacity: Int) throws(StoreError) -> any KeyValueStore {
        if isDead { throw .closed }
        return try SimulatedStore(path: path, tables: tables, capacity: capacity, host: host, loop: loop)
    }

    func offload<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        let base = loop.base
        let delay = host.world.options.offloadTime
        let result: Result<R, any Error> = await withUnsafeContinuation { continuation in
            base.schedule(after: delay) { [self] in
                if isDead { return continuation.resume(returning: .failure(CancellationError())) }
                continuation.resume(returning: Result { try work() })
            }
        }
        return try result.get()
    }
}

/// Keeps records as lines of the world.
struct SimulatedLog: LogSink {
    let host: String
    let world: World.Access

    func isEnabled(_ level: LogLevel, subsystem: String) -> Bool {
        guard let lowest = world.options.logLevel else { return false }
        return level >= lowest
    }

    func write(_ level: LogLevel, subsystem: String, message: String, fields: [LogField]) {
        guard isEnabled(level, subsystem: subsystem) else { return }
        let fields = fields.map { " \($0.name)=\($0.value)" }.joined()
        world.world?.log("\(world.loop.now.nanoseconds / 1000) µs \(host) \(level) \(subsystem): \(message)\(fields)")
    }
}
