import CLinux
import Glibc
import Synchronization
import WaggleBase

/// The real world: Linux's sockets, files, clock and random source, LMDB as the store, one event loop per core.
///
/// ```swift
/// let system = LinuxSystem()
/// let node = try await Node(.preset(.publicServer), on: system)
/// ```
/// Lives as long as the process, as a rule; `shutdown` gives threads and descriptors back.
public final class LinuxSystem: System {
    private let linuxLoops: [LinuxLoop]
    private let pool: OffloadPool
    /// Apart, so that a slow server cannot keep all threads from the store and the files.
    private let waitingPool: OffloadPool
    private let linuxLog: LinuxLog
    private let catcher = Mutex<SignalCatcher?>(nil)

    public let network: any ByteNetwork
    public let datagrams: any DatagramNetwork = LinuxDatagrams()
    public let resolver: any NameResolver
    public let files: any FileSystem = LinuxFiles()

    /// Starts `loops` event loops (default: one per core that this process may use) and opens the log. `nameServers` (`address:port` with
    /// commas between) are asked instead of those of `/etc/resolv.conf`.
    public init(loops: Int? = nil, log: LinuxLog = LinuxLog(), nameServers: String? = nil) {
        let count = max(1, loops ?? Self.availableCores)
        linuxLoops = (0..<count).map { LinuxLoop(name: "waggle-loop-\($0)") }
        network = LinuxNetwork(linuxLoops: linuxLoops)
        resolver = LinuxResolver(on: linuxLoops[0], servers: nameServers)
        pool = OffloadPool(threads: max(2, min(8, count * 2)))
        waitingPool = OffloadPool(threads: LinuxSystem.waitingThreads)
        linuxLog = log
    }

    /// Transfers that wait for others at once; more wait for a thread. One that waits takes some tens of KiB.
    static let waitingThreads = 32

    /// Cores that the process is allowed to run on.
    public static var availableCores: Int {
        let count = Int(clinux_core_count())
        return count > 0 ? count : 1
    }

    public var loops: [any EventLoop] { linuxLoops }
    public var log: any LogSink { linuxLog }

    public var wallTime: WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
    }

    public func fillRandom(_ buffer: UnsafeMutableRawBufferPointer) {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
        // Without randomness there are no keys: nothing may go on.
        precondition(clinux_random(base, buffer.count) == 0, "the system's random source failed")
    }

    public func openStore(_ path: String, tables: [Table], capacity: Int) throws(StoreError) -> any KeyValueStore {
        try LMDBStore(path: path, tables: tables, capacity: capacity)
    }

    public func offload<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        try await pool.run(work)
    }

    public func offloadWaiting<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        try await waitingPool.run(work)
    }

    public var residentMemory: Int {
        LinuxProcess.memory.resident
    }

    public var usage: ProcessUsage { LinuxProcess.usage }

    // MARK: Signals

    /// Suspends until the process gets one of `signals`, which no longer end it from the first call on. Several that come before
    /// they are asked for are told one after the other. Throws when the task is cancelled.
    public func nextSignal(of signals: Set<UnixSignal> = [.interrupt, .terminate]) async throws -> UnixSignal {
        let catcher = try catcher.withLock { catcher throws(NetworkError) in
            if let catcher { return catcher }
            let new = try SignalCatcher(loop: linuxLoops[0])
            catcher = new
            return new
        }
        return try await catcher.next(of: signals)
    }

    /// Lets a closed pipe be an error instead of the end of the process.
    public static func ignoreBrokenPipes() { _ = clinux_ignore_signal(SIGPIPE) }

    // MARK: Entry

    /// Runs `body` as a task on the first loop and blocks the calling thread until it has ended: the way from a synchronous `main`
    /// into the system. Not from a loop.
    public func runBlocking<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) throws -> R {
        let outcome = Monitor<Result<R, any Error>?>(nil)
        _ = linuxLoops[0].spawn {
            let result: Result<R, any Error>
            do { result = .success(try await body()) } catch { result = .failure(error) }
            outcome.withLock { $0 = result }
            outcome.broadcast()
        }
        return try outcome.wait { $0 }.get()
    }

    // MARK: The end

    /// Ends loops and threads; what still runs on them stops where it is. End nodes and stores first. Not from a loop.
    public func shutdown() {
        catcher.withLock { catcher in
            catcher?.close()
            catcher = nil
        }
        for loop in linuxLoops { loop.stop() }
        pool.stop()
        waitingPool.stop()
        linuxLog.flush()
    }
}

extension System where Self == LinuxSystem {
    /// The real world: `Node(…, on: .linux())`.
    public static func linux(loops: Int? = nil) -> LinuxSystem { LinuxSystem(loops: loops) }
}
