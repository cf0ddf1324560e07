import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

@Suite struct FetchTests {
    @Test func messagesHaveTheWireShapeOfTheSpec() throws {
        #expect(try FetchMessage.request.encode("/ipns/a") == Bytes([0x0a, 7] + Array("/ipns/a".utf8)))
        #expect(try FetchMessage.request.decode(Bytes([0x0a, 2, 0xff, 0x80])) == Bytes([0xff, 0x80]), "a key need not be UTF-8")
        #expect(try FetchMessage.response.encode(.found("hi")) == Bytes([0x08, 0, 0x12, 2] + Array("hi".utf8)))
        #expect(try FetchMessage.response.decode(Bytes([0x12, 2] + Array("hi".utf8))) == .found("hi"), "proto3 leaves out zeros")
        #expect(try FetchMessage.response.decode(Bytes([0x08, 1, 0x12, 1, 0x41])) == .notFound, "data of NOT_FOUND is ignored")
        for status in [2, 3, 0x7f] as [UInt8] { #expect(try FetchMessage.response.decode(Bytes([0x08, status])) == .failed) }
        #expect(throws: ProtobufError.self) { try FetchMessage.response.decode(Bytes([0x12, 9, 0x41])) }
    }

    @Test func theLongestPrefixAnswers() throws {
        let world = World(seed: 71)
        try world.run {
            let (server, client) = (try await world.node("server"), try await world.node("client"))
            try await server.start()
            try await client.start()
            try await client.connect(server.dialable)
            let serving = try #require(server.fetch)
            let asking = try #require(client.fetch)
            #expect(try await asking.fetch("/x/1", from: server.peer) == nil)
            serving.handle("/x/") { key, peer in peer == client.peer && key == "/x/1" ? "one" : nil }
            serving.handle("/x/long/") { _, _ in "long" }
            serving.handle("/broken/") { _, _ in throw TestError.unexpected }
            #expect(try await asking.fetch("/x/1", from: server.peer) == "one")
            #expect(try await asking.fetch("/x/2", from: server.peer) == nil)
            #expect(try await asking.fetch("/x/long/9", from: server.peer) == "long")
            #expect(await failure { try await asking.fetch("/broken/1", from: server.peer) } != nil)
            serving.handle("/x/long/", nil)
            #expect(try await asking.fetch("/x/long/9", from: server.peer) == nil)
            #expect(await failure { try await asking.fetch(Bytes([UInt8](repeating: 65, count: 8 << 10)), from: server.peer) } != nil)
            await client.close()
            await server.close()
        }
    }

    @Test func routingTakesOnlyValidValuesAndTheBestOfThem() throws {
        /// Values are digits; greater is better.
        struct Digits: RecordValidator {
            let namespace = "n"
            func validate(_ value: Bytes, for key: Bytes, at now: WallTime) throws {
                guard value.count == 1, value.first.map({ (48..<58).contains($0) }) == true else { throw TestError.unexpected }
            }
            func best(of values: [Bytes], for key: Bytes) -> Int {
                values.indices.max { (values[$0].first ?? 0) < (values[$1].first ?? 0) } ?? 0
            }
        }
        let world = World(seed: 72)
        try world.run {
            let client = try await world.node("client")
            try await client.start()
            var servers: [Node] = []
            for (number, value) in ["3", "lie", "7", "1"].enumerated() {
                let node = try await world.node("server\(number)")
                try await node.start()
                node.fetch?.handle("/n/") { _, _ in Bytes(utf8: value) }
                try await client.connect(node.dialable)
                servers.append(node)
            }
            let ready = servers.map(\.peer)
            try await client.until { ready.allSatisfy { client.swarm.addressBook.protocols(of: $0).contains(Fetch.protocolID) } }
            let routing = FetchRouting(try #require(client.fetch), in: client.swarm, validator: Digits())
            let heard = Mutex<[Bytes]>([])
            try await routing.values(for: "/n/a") { value in
                heard.withLock { $0.append(value) }
                return true
            }
            #expect(heard.withLock { $0.last } == "7")
            #expect(!heard.withLock { $0.contains("lie") })
            try await routing.values(for: "/other/a") { _ in
                Issue.record("another namespace is not asked for")
                return true
            }
            for node in servers + [client] { await node.close() }
        }
    }
}
