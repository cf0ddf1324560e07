import Foundation
import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleServices

/// `waggle-bench kad`: messages of the hash table, and how many questions a server answers a second, with and without the stream in between.
enum KademliaBenchmark {
    /// Peers that are offered to the table; a network of this size fills about nine buckets.
    private static let peers = 10_000

    static func run() throws {
        messages()
        let responder = KademliaResponder(
            peer: peer(0), configuration: KademliaConfiguration(prefix: "/bench", scope: .any), now: Instant(nanoseconds: 1))
        responder.state.withLock { state in
            for number in 1...peers {
                state.table.handle(.confirmed(contact(number), isConnected: false), at: Instant(nanoseconds: 1))
                while state.table.next() != nil {}
            }
        }
        let table = responder.state.withLock { $0.table.count }
        let questions = (0..<64).map { KademliaMessage.encode(.findNode, key: peer(1_000_000 + $0).bytes) }
        let asker = peer(77)
        let askerKey = KademliaKey(asker)
        var index = 0
        let time = Measure.nanoseconds(10_000) {
            index = (index + 1) & 63
            keep(responder.answer(questions[index], from: asker, at: askerKey, now: WallTime(nanoseconds: 1)))
        }
        Measure.printTime("FIND_NODE answered, table of \(table)", time, against: 10_000, "100,000 a second")
        try records(responder, asker, askerKey)
        memory()
        try loopback()
    }

    // MARK: Messages

    private static func messages() {
        let key = peer(5).bytes
        let question = KademliaMessage.encode(.findNode, key: key)
        var writer = ProtobufWriter(capacity: 4096)
        KademliaMessage.begin(&writer, .findNode, key: Bytes())
        let encoded = (0..<20).map { KademliaMessage.encode(contact($0)) }
        for peer in encoded { KademliaMessage.write(peer: peer, isConnected: true, field: KademliaMessage.closerField, &writer) }
        let answer = writer.finish()
        Measure.printTime("encode FIND_NODE (\(question.count) bytes)", Measure.nanoseconds(100_000) { keep(KademliaMessage.encode(.findNode, key: key)) }, against: 1000, "1 µs")
        Measure.printTime("decode FIND_NODE", Measure.nanoseconds(100_000) { keep(try? KademliaMessage(question)) }, against: 1000, "1 µs")
        Measure.printTime(
            "encode an answer with 20 peers (\(answer.count) bytes)",
            Measure.nanoseconds(20_000) {
                var writer = ProtobufWriter(capacity: 4096)
                KademliaMessage.begin(&writer, .findNode, key: Bytes())
                for peer in encoded { KademliaMessage.write(peer: peer, isConnected: true, field: KademliaMessage.closerField, &writer) }
                keep(writer.finish())
            }, against: 1000, "1 µs")
        Measure.printTime("decode an answer with 20 peers", Measure.nanoseconds(20_000) { keep(try? KademliaMessage(answer)) }, against: 1000, "1 µs")
        let message = try? KademliaMessage(answer)
        Measure.printTime("  and make its peers and addresses values", Measure.nanoseconds(2000) { keep(message?.contacts(providers: false)) })
    }

    private static func records(_ responder: KademliaResponder, _ asker: PeerID, _ askerKey: KademliaKey) throws {
        let own = KademliaMessage.encode(KademliaContact(peer: asker, addresses: contact(77).addresses))
        let hashes = (0..<1024).map { SHA256.hash(Bytes(utf8: "\($0)")) }.map { digest in
            var writer = ByteWriter(capacity: 34)
            writer.write(0x12 as UInt8)
            writer.write(0x20 as UInt8)
            writer.write(digest.bytes)
            return writer.finish()
        }
        let adds = hashes.map { KademliaMessage.encode(providerOf: $0, own) }
        let gets = hashes.map { KademliaMessage.encode(.getProviders, key: $0) }
        var index = 0
        let now = WallTime(nanoseconds: 1_767_225_600_000_000_000)
        let add = Measure.nanoseconds(10_000) {
            index = (index + 1) & 1023
            keep(responder.answer(adds[index], from: asker, at: askerKey, now: now))
        }
        Measure.printTime("ADD_PROVIDER taken", add)
        let get = Measure.nanoseconds(10_000) {
            index = (index + 1) & 1023
            keep(responder.answer(gets[index], from: asker, at: askerKey, now: now))
        }
        Measure.printTime("GET_PROVIDERS answered", get)
    }

    // MARK: Memory

    private static func memory() {
        let system = LinuxSystem(loops: 1)
        defer { system.shutdown() }
        let before = system.residentMemory
        var tables: [RoutingTableMachine] = []
        for number in 0..<200 {
            var table = RoutingTableMachine(own: KademliaKey(peer(2_000_000 + number)), now: Instant(nanoseconds: 1))
            for other in 1...1000 {
                table.handle(.confirmed(contact(number * 1000 + other), isConnected: true), at: Instant(nanoseconds: 1))
                while table.next() != nil {}
            }
            tables.append(table)
        }
        let rows = tables.reduce(0) { $0 + $1.count }
        print("    a peer in the table takes \((system.residentMemory - before) / max(rows, 1)) bytes (\(rows) rows, waiting peers included)")
        let middle = system.residentMemory
        var providers = ProviderTable(own: KademliaKey(peer(0)))
        let now = WallTime(nanoseconds: 1_767_225_600_000_000_000)
        for number in 0..<100_000 {
            do { try providers.add(contact(number % 1000), for: KademliaKey(hashing: Bytes(utf8: "\(number)")), at: now) } catch { break }
        }
        print("    a provider record takes \((system.residentMemory - middle) / max(providers.count, 1)) bytes (\(providers.count) records)")
        keep(tables)
        keep(providers)
    }

    // MARK: Over a stream

    /// Another process answers over TCP, hybrid Noise and yamux on loopback; so many streams ask, each with some questions under way.
    private static func loopback() throws {
        let (process, input, address) = try BenchmarkPeer.start()
        defer {
            input.fileHandleForWriting.closeFile()
            process.waitUntilExit()
        }
        let node = try BenchmarkNode()
        let count = 40_000
        for (streams, depth) in [(1, 1), (1, 32), (16, 8)] {
            let (seconds, cpu, own) = try node.wait { () async throws -> (Double, Double, Double) in
                let connection = try await node.swarm.connect(address)
                func usage() async throws -> Double {
                    let stream = try await connection.openStream([BenchmarkService.usage])
                    stream.finish()
                    return Double(try await stream.readAll(limit: .kibibytes(1)).utf8 ?? "") ?? 0
                }
                let before = try await usage()
                let ownBefore = BenchmarkNode.usage
                let clock = ContinuousClock()
                let time = try await clock.measure {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<streams { group.addTask { try await ask(connection, count / streams, depth: depth, number) } }
                        try await group.waitForAll()
                    }
                }
                let after = try await usage()
                return (Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18, after - before, BenchmarkNode.usage - ownBefore)
            }
            let rate = Double(count) / seconds, perCore = Double(count) / max(cpu, 1e-9)
            print("    loopback, \(streams) stream(s) of \(depth): \(Int(rate)) answers a second; the server \(Int(perCore)) a second of its processor time, "
                + "the asker \(Int(Double(count) / max(own, 1e-9)))")
        }
    }

    private static func ask(_ connection: Connection, _ count: Int, depth: Int, _ number: Int) async throws {
        let stream = try await connection.openStream(["/bench/kad/1.0.0"])
        let questions = (0..<64).map { KademliaMessage.encode(.findNode, key: peer(3_000_000 + number * 64 + $0).bytes) }
        var sent = 0
        var received = 0
        while received < count {
            while sent < count, sent - received < depth {
                try await stream.writeMessage(questions[sent & 63])
                sent += 1
            }
            guard let answer = try await stream.readMessage(limit: .kibibytes(512)) else { throw StreamError.truncated }
            keep(answer)
            received += 1
        }
        stream.finish()
    }

    // MARK: Peers

    static func peer(_ number: Int) -> PeerID {
        var writer = ByteWriter(capacity: 34)
        writer.write(0x12 as UInt8)
        writer.write(0x20 as UInt8)
        writer.write(SHA256.hash(Bytes(utf8: "peer \(number)")).bytes)
        guard let peer = try? PeerID(bytes: writer.finish()) else { preconditionFailure("34 bytes with the header of SHA2-256 are a PeerID") }
        return peer
    }

    /// A peer with three addresses, as most have.
    static func contact(_ number: Int) -> KademliaContact {
        let ip = IPAddress.v4(0x0a00_0000 + UInt32(number & 0xff_ffff))
        let v6 = IPAddress.v6(high: 0xfd00 << 48, low: UInt64(number), zone: 0)
        return KademliaContact(
            peer: peer(number),
            addresses: [
                Multiaddr(SocketAddress(ip: ip, port: 4001), over: .tcp), Multiaddr(SocketAddress(ip: ip, port: 4001), over: .udp),
                Multiaddr(SocketAddress(ip: v6, port: 4001), over: .tcp),
            ])
    }

    @inline(never) private static func keep<T>(_ value: T) {}
}
