/// The one door to the outside: everything that a node takes from the world it runs in.
///
/// `WaggleRuntime` is the real world on Linux, `WaggleSimulation` one host of a simulated one.
public protocol System: Sendable {
    /// The loops that carry connections. The first is the home of everything that belongs to no connection.
    var loops: [any EventLoop] { get }
    var network: any ByteNetwork { get }
    var datagrams: any DatagramNetwork { get }
    var resolver: any NameResolver { get }
    var files: any FileSystem { get }

    /// The time of day.
    var wallTime: WallTime { get }

    /// Fills `buffer` with bytes fit for keys.
    func fillRandom(_ buffer: UnsafeMutableRawBufferPointer)

    /// Opens or creates a store in the directory `path`. `capacity` is an upper bound of its size in bytes.
    func openStore(_ path: String, tables: [Table], capacity: Int) throws(StoreError) -> any KeyValueStore

    /// Runs blocking or long work off the loops and comes back with its result.
    func offload<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R

    /// The same for work that mostly waits for others, such as a transfer with a slow server: it has threads of its own, so that files, the
    /// store and hashing never wait for it.
    func offloadWaiting<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R

    /// Resident memory of the process in bytes.
    var residentMemory: Int { get }

    /// What the process takes of its computer.
    var usage: ProcessUsage { get }

    /// Takes log records; see `Log`.
    var log: any LogSink { get }
}

extension System {
    public var home: any EventLoop { loops[0] }

    public func offloadWaiting<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R { try await offload(work) }

    public var usage: ProcessUsage { ProcessUsage(residentMemory: residentMemory) }

    /// `count` bytes fit for keys.
    public func randomBytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            fillRandom(UnsafeMutableRawBufferPointer(buffer))
            filled = count
        }
    }

    /// A random integer.
    public func random<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) -> T {
        var value: T = 0
        withUnsafeMutableBytes(of: &value) { fillRandom($0) }
        return value
    }
}
