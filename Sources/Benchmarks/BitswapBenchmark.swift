import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleRuntime

/// `waggle-bench bitswap`: one node fetches a file from another over TCP, hybrid Noise and yamux on loopback, and keeps it.
///
/// Both nodes run in this process, each with the loops and threads of its own that it would have alone; processor time is that of both.
enum BitswapBenchmark {
    private static let size = 256 << 20
    private static let piece = 1 << 20

    static func run() async throws {
        let server = try await Peer("server")
        let pieces = (0..<size / piece).map { _ in
            Bytes(count: piece) { buffer in
                // Not hashed twice anywhere, so any bytes will do as long as no two blocks are equal.
                for offset in stride(from: 0, to: piece, by: 32 << 10) {
                    server.system.fillRandom(UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + 32]))
                }
                return piece
            }
        }
        let clock = ContinuousClock()
        let limit = seconds(clock.measure { for piece in pieces { _ = SHA256.hash(piece) } })
        let root = try await server.add(pieces)
        for isCat in [true, false, true] {
            let client = try await Peer("client")
            try await client.node.connect(server.node.listenAddresses[0].with(peer: server.node.peer))
            let usage = BenchmarkNode.usage
            let start = clock.now
            try await client.system.home.run { if isCat { try await client.cat(root) } else { try await client.pin(root) } }
            let spent = seconds(clock.now - start)
            Measure.printRate(isCat ? "cat from another node" : "pin from another node", bytes: size, spent * 1e9, against: limit * 1e9, "SHA-256 on one core")
            let statistics = await client.bitswap.statistics()
            print(
                "    CPU s/GB of both \(Measure.text((BenchmarkNode.usage - usage) / Double(size) * 1e9)), "
                    + "\(statistics.blocksReceived) blocks in \(statistics.messagesReceived) messages, "
                    + "\(statistics.messagesSent) messages sent, \(statistics.duplicateBlocks) duplicates, "
                    + "resident \(client.system.residentMemory >> 20) MiB")
            await client.end()
        }
        await server.end()
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }

    /// A node with a repository in `/tmp`, which it removes.
    final class Peer: Sendable {
        let system: LinuxSystem
        let node: Node
        let bitswap: Bitswap
        private let repository: Repository
        private let path: String

        init(_ name: String) async throws {
            let system = LinuxSystem(log: LinuxLog(level: .error))
            path = "/tmp/waggle-bench-\(name)-\(system.random(UInt32.self))"
            try Repository.initialize(at: path, configuration: "{}", on: system)
            repository = try Repository.open(path, on: system)
            var configuration = NodeConfiguration.preset(.lan)
            configuration.listen = [try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")]
            configuration.policy = .require
            node = try await Node(configuration, on: system)
            bitswap = Bitswap(store: repository.blocks)
            node.add(bitswap)
            self.system = system
            try await node.start()
        }

        func add(_ pieces: [Bytes]) async throws -> CID {
            try await repository.blocks.guarded { blockGuard in
                try await BlockWriter.run(into: repository.blocks, under: blockGuard) { writer in
                    var rest = pieces[...]
                    let node = try await FileImporter(ImportOptions(), on: system, into: writer).add { rest.popFirst() }
                    try await writer.finish(pins: [Pin(node.cid, .recursive)])
                    return node.cid
                }
            }
        }

        func cat(_ root: CID) async throws {
            try await bitswap.withSession { session in
                var reader = try await FileReader(root, from: session)
                var count = 0
                try await reader.forEach { count += $0.count }
                precondition(count == size)
            }
        }

        func pin(_ root: CID) async throws {
            try await bitswap.withSession(storing: false) { session in
                try await repository.pins.add(Pin(root, .recursive), from: session)
            }
        }

        func end() async {
            await node.close()
            await repository.close()
            do { try Peer.remove(path, system.files) } catch { print("left behind: \(path)") }
            system.shutdown()
        }

        private static func remove(_ path: String, _ files: any FileSystem) throws {
            if try files.status(path)?.kind == .directory {
                for name in try files.list(path) { try remove("\(path)/\(name)", files) }
            }
            try files.remove(path)
        }
    }
}
