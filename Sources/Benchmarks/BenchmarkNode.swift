import Foundation
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleServices
import WaggleStack

/// A node with nothing but TCP, hybrid Noise, yamux and what the benchmark measures with.
struct BenchmarkNode: Sendable {
    let system: LinuxSystem
    let swarm: Swarm

    /// `chain`: over `/animica/1` alone, with an ML-DSA-65 identity.
    init(
        on system: LinuxSystem = LinuxSystem(loops: 1), chain: Bool = false, _ change: (inout SwarmConfiguration) -> Void = { _ in }
    ) throws {
        self.system = system
        let identity = try BenchmarkNode.identity(chain: chain, on: system)
        var configuration = SwarmConfiguration(channels: try BenchmarkNode.channels(chain: chain, identity, system), muxers: [Yamux()])
        configuration.policy = .require
        configuration.limits.streamsPerConnection = 2048
        configuration.limits.streamsPerPeer = 4096
        configuration.limits.connections = 4096
        configuration.limits.inboundConnections = 4096
        configuration.trimming.highWater = nil
        change(&configuration)
        swarm = Swarm(
            system: system, identity: identity, configuration: configuration, transports: [TCP()],
            addressBook: try AddressBook(system: system))
    }

    private static func identity(chain: Bool, on system: LinuxSystem) throws -> LocalIdentity {
        LocalIdentity(
            try IdentityKeyPair(generating: chain ? .mlDSA65 : .ed25519, random: SecureBytes(Bytes(system.randomBytes(32)).span)))
    }

    private static func channels(chain: Bool, _ identity: LocalIdentity, _ system: LinuxSystem) throws -> [any SecureChannel] {
        if chain, let animica = AnimicaChannel(identity: identity, network: .init(chain: 1), transports: ["tcp"]) { return [animica] }
        return ChannelCatalog.channels(.require, try NoiseKeys(identity: identity, secret: SecureBytes(Bytes(system.randomBytes(32)).span)))
    }

    /// The first channel of such a node, with an identity of its own.
    static func channel(chain: Bool, on system: LinuxSystem) throws -> any SecureChannel {
        try channels(chain: chain, identity(chain: chain, on: system), system)[0]
    }

    /// Runs `body` on the node's loop and waits for it.
    func wait<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) throws -> R {
        let done = DispatchSemaphore(value: 0)
        let box = Box<R>()
        TaskScope().spawn(on: system.home) {
            do { box.result = .success(try await body()) } catch { box.result = .failure(error) }
            done.signal()
        }
        done.wait()
        guard let result = box.result else { throw CancellationError() }
        return try result.get()
    }

    private final class Box<R>: @unchecked Sendable {
        var result: Result<R, any Error>?
    }

    /// CPU time of this process so far, in seconds.
    static var usage: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}

/// The other process of a benchmark: listens on loopback, says where, and ends when its input does.
enum BenchmarkPeer {
    static let argument = "--peer"

    /// `counted` makes limits of addresses hold on loopback too, except for 127.0.0.1 itself.
    static func run(chain: Bool = false, counted: Bool = false) throws {
        let node = try BenchmarkNode(chain: chain) { configuration in
            if counted { configuration.limits.unlimitedRanges = [IPRange(.v4(0x7f00_0001), prefixLength: 32)] }
        }
        node.swarm.register(BenchmarkService(node.system))
        let kademlia = Kademlia(KademliaConfiguration(prefix: "/bench", mode: .server, scope: .any))
        node.swarm.register(kademlia)
        let addresses = try node.wait { try await node.swarm.listen(on: try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")) }
        node.swarm.start()
        try node.wait { try kademlia.learn((1...2000).map { KademliaBenchmark.contact($0) }) }
        guard let address = addresses.first else { return }
        FileHandle.standardOutput.write(Data("\(address)/p2p/\(node.swarm.localPeer)\n".utf8))
        while readLine() != nil {}
    }

    /// Starts the other process; the result ends it when it is closed, and says where it listens.
    static func start(_ options: String...) throws -> (process: Process, input: Pipe, address: Multiaddr) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = [argument] + options
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var line = Data()
        while let byte = try output.fileHandleForReading.read(upToCount: 1), byte != Data("\n".utf8) { line += byte }
        return (process, input, try Multiaddr(parsing: String(decoding: line, as: UTF8.self)))
    }
}

/// What the other process serves.
final class BenchmarkService: Service {
    static let sink: ProtocolID = "/bench/sink", source: ProtocolID = "/bench/source", echo: ProtocolID = "/bench/echo"
    static let usage: ProtocolID = "/bench/usage", memory: ProtocolID = "/bench/memory", port: ProtocolID = "/bench/port"

    private let system: LinuxSystem
    private let plain = PlainSink()

    init(_ system: LinuxSystem) { self.system = system }

    var protocols: [ProtocolID] { [Self.sink, Self.source, Self.echo, Self.usage, Self.memory, Self.port] }
    var limits: ServiceLimits { ServiceLimits(streamsPerPeer: 4096, streams: 4096) }

    static let block = Bytes(count: 256 << 10) { buffer in
        for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: index) }
        return buffer.count
    }

    func serve(_ stream: WaggleNetwork.Stream, from peer: PeerID) async throws {
        switch stream.protocolID {
        case Self.sink:
            while try await stream.read() != nil {}
            try await stream.write("done")
        case Self.source:
            let size = try await stream.read(exactly: 8).reduce(0) { $0 << 8 | Int($1) }
            try await Self.send(size, on: stream)
        case Self.usage:
            try await stream.write(Bytes(utf8: "\(BenchmarkNode.usage)"))
        case Self.memory:
            try await stream.write(Bytes(utf8: "\(system.residentMemory)"))
        case Self.port:
            try await stream.write(Bytes(utf8: "\(plain.port)"))
        default:
            while let bytes = try await stream.read() { try await stream.write(bytes) }
        }
    }

    static func send(_ size: Int, on stream: WaggleNetwork.Stream) async throws {
        var rest = size
        while rest > 0 {
            try await stream.write(block.prefix(rest))
            rest -= min(rest, block.count)
        }
        stream.finish()
    }
}
