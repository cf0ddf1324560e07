import Foundation
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleRuntime

/// One connection (TCP, hybrid Noise, yamux) between two processes on loopback: throughput, round trips, new streams.
enum ConnectionBenchmark {
    static func run() throws {
        let ceiling = cipherNanoseconds()
        Measure.printRate("ChaCha20-Poly1305, 16 KB blocks", bytes: 1 << 30, ceiling * Double((1 << 30) / blockSize))
        let (process, input, address) = try BenchmarkPeer.start()
        defer {
            input.fileHandleForWriting.closeFile()
            process.waitUntilExit()
        }
        let node = try BenchmarkNode()
        try node.wait {
            let connection = try await node.swarm.connect(address)
            print("    over \(connection.security.channel)")
            let limit = ceiling / Double(blockSize)
            let port = Int(try await ask(BenchmarkService.port, connection))
            Measure.printRate("plain sockets, one way", bytes: 1 << 30, PlainSink.send(1 << 30, to: UInt16(port)) * 1e9)
            for streams in [1, 100] {
                for kind in Direction.allCases {
                    let size = 1 << 30
                    var results: [Throughput] = []
                    for _ in 0..<3 { results.append(try await throughput(kind, size: size, streams: streams, connection)) }
                    let result = results.sorted { $0.seconds < $1.seconds }[1]
                    let bytes = size / streams * streams
                    Measure.printRate(
                        "\(kind.rawValue), \(streams) stream\(streams == 1 ? "" : "s")", bytes: bytes, result.seconds * 1e9,
                        against: limit * Double(bytes), "ChaCha20-Poly1305")
                    print(
                        "    CPU s/GB here \(Measure.text(result.usage / Double(bytes) * 1e9)), there "
                            + "\(Measure.text(result.peerUsage / Double(bytes) * 1e9))")
                }
            }
            try await roundTrips(connection)
            try await newStreams(connection, atOnce: 1, count: 10_000)
            try await newStreams(connection, atOnce: 32, count: 20_000)
            try await idleMemory(connection, address)
            connection.close(.normal)
        }
    }

    enum Direction: String, CaseIterable { case up, down }

    struct Throughput {
        var seconds: Double
        var usage: Double
        var peerUsage: Double
    }

    // MARK: The limit

    private static let blockSize = 16 << 10

    /// Time to seal one block, as `openssl speed -evp chacha20-poly1305` measures it.
    private static func cipherNanoseconds() -> Double {
        let key = SecureBytes(Bytes([UInt8](repeating: 7, count: 32)).span)
        guard let cipher = RecordCipher(.chaCha20Poly1305, key: key) else { return 0 }
        let plaintext = Bytes([UInt8](repeating: 1, count: blockSize))
        let output = ByteStorage(capacity: blockSize + 16)
        var nonce: UInt64 = 0
        return Measure.nanoseconds(5000) {
            plaintext.withUnsafeBytes { cipher.seal($0, nonce: nonce, into: output.base) }
            nonce += 1
        }
    }

    // MARK: Throughput

    private static func throughput(_ direction: Direction, size: Int, streams: Int, _ connection: Connection) async throws -> Throughput {
        let before = try await peerUsage(connection)
        let usage = BenchmarkNode.usage
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<streams {
                group.addTask { try await transfer(direction, size / streams, connection) }
            }
            try await group.waitForAll()
        }
        let seconds = (ContinuousClock.now - start).seconds
        let own = BenchmarkNode.usage - usage
        return Throughput(seconds: seconds, usage: own, peerUsage: try await peerUsage(connection) - before)
    }

    private static func transfer(_ direction: Direction, _ size: Int, _ connection: Connection) async throws {
        switch direction {
        case .up:
            let stream = try await connection.openStream([BenchmarkService.sink])
            try await BenchmarkService.send(size, on: stream)
            guard try await stream.readAll(limit: .kibibytes(1)) == "done" else { throw StreamError.truncated }
        case .down:
            let stream = try await connection.openStream([BenchmarkService.source])
            var head = ByteWriter(capacity: 8)
            head.write(integer: UInt64(size))
            try await stream.write(head.finish())
            stream.finish()
            var count = 0
            while let bytes = try await stream.read() { count += bytes.count }
            guard count == size else { throw StreamError.truncated }
        }
    }

    /// Processor time of the other process so far, in seconds.
    static func peerUsage(_ connection: Connection) async throws -> Double { try await ask(BenchmarkService.usage, connection) }

    /// A number that the other process says.
    private static func ask(_ question: ProtocolID, _ connection: Connection) async throws -> Double {
        let stream = try await connection.openStream([question])
        stream.finish()
        return Double(try await stream.readAll(limit: .kibibytes(1)).utf8 ?? "") ?? 0
    }

    /// What connections cost the other process that nobody uses.
    private static func idleMemory(_ connection: Connection, _ address: Multiaddr) async throws {
        let count = 400
        // Nodes of their own, so that each is another peer.
        let system = LinuxSystem(loops: 1)
        var nodes: [BenchmarkNode] = []
        func connect(_ count: Int) async throws {
            for _ in 0..<count {
                let node = try BenchmarkNode(on: system)
                _ = try await node.swarm.connect(address)
                nodes.append(node)
            }
        }
        // The first ones fill what all share.
        try await connect(50)
        let before = try await ask(BenchmarkService.memory, connection)
        try await connect(count)
        let after = try await ask(BenchmarkService.memory, connection)
        print("an idle connection takes \(Measure.text((after - before) / Double(count) / 1024)) KB there")
        for node in nodes { await node.swarm.close() }
    }

    // MARK: Small things

    private static func roundTrips(_ connection: Connection) async throws {
        let stream = try await connection.openStream([BenchmarkService.echo])
        let ping = BenchmarkService.block.prefix(32)
        var times: [Double] = []
        for _ in 0..<20_000 {
            let start = ContinuousClock.now
            try await stream.write(ping)
            guard try await stream.read(exactly: 32) == ping else { throw StreamError.malformed }
            times.append((ContinuousClock.now - start).seconds * 1e9)
        }
        stream.finish()
        times.sort()
        Measure.printTime("round trip of 32 bytes, median", times[times.count / 2])
        Measure.printTime("round trip of 32 bytes, 99 of 100", times[times.count * 99 / 100])
    }

    private static func newStreams(_ connection: Connection, atOnce: Int, count: Int) async throws {
        let start = ContinuousClock.now
        let usage = BenchmarkNode.usage
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<atOnce {
                group.addTask {
                    for _ in 0..<count / atOnce {
                        let stream = try await connection.openStream([BenchmarkService.echo])
                        try await stream.write("x")
                        stream.finish()
                        guard try await stream.readAll(limit: .bytes(1)) == "x" else { throw StreamError.malformed }
                    }
                }
            }
            try await group.waitForAll()
        }
        let seconds = (ContinuousClock.now - start).seconds
        print(
            "new streams, \(atOnce) at once: \(Int(Double(count) / seconds)) a second, "
                + "CPU \(Measure.text((BenchmarkNode.usage - usage) / Double(count) * 1e6)) µs each here")
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(wholeNanoseconds) / 1e9 }
}
