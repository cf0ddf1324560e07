import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleAPI

/// A request that a test makes, and the answer it gets.
private final class TestRequest: HTTPRequesting {
    let head: HTTPRequestHead
    private let state: Mutex<(body: [Bytes], status: Int, headers: [(String, String)], answer: [UInt8], isDone: Bool)>

    init(_ method: String, _ path: String, query: [(name: String, value: String)] = [], headers: [String: String] = [:], body: Bytes? = nil) {
        head = HTTPRequestHead(method: method, path: path, query: query, headers: headers)
        state = Mutex((body.map { [$0] } ?? [], 0, [], [], false))
    }

    func readBody() async throws -> Bytes? { state.withLock { $0.body.popLast() } }
    func begin(_ status: Int, _ headers: [(String, String)]) { state.withLock { ($0.status, $0.headers) = (status, headers) } }
    func write(_ bytes: Bytes) async throws { state.withLock { $0.answer += bytes.array } }
    func finish() { state.withLock { $0.isDone = true } }

    var status: Int { state.withLock { $0.status } }
    var isDone: Bool { state.withLock { $0.isDone } }
    var answer: [UInt8] { state.withLock { $0.answer } }
    var text: String { String(decoding: answer, as: UTF8.self) }
    func header(_ name: String) -> String? { state.withLock { $0.headers.first { $0.0 == name }?.1 } }
}

/// Knows some providers and one peer.
private struct KnownRouting: ContentRouting, PeerRouting, ValueRouting {
    var providers: [ContentProvider] = []
    var values = ValueBox()
    var failure: RoutingError?

    final class ValueBox: Sendable {
        let stored = Mutex<[Bytes: Bytes]>([:])
    }

    func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        if let failure { throw failure }
        for provider in providers where await !found(provider) { return }
    }
    func provide(_ cid: CID) async throws {}
    func findPeer(_ peer: PeerID) async throws -> [Multiaddr] { providers.first { $0.peer == peer }?.addresses ?? [] }
    func putValue(_ value: Bytes, for key: Bytes) async throws { values.stored.withLock { $0[key] = value } }
    func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        if let failure { throw failure }
        if let value = values.stored.withLock({ $0[key] }) { _ = await found(value) }
    }
}

@Suite struct DelegatedRoutingTests {
    private func key(_ number: UInt8) throws -> IdentityKeyPair {
        try IdentityKeyPair(ed25519Seed: SecureBytes(count: 32) { $0.initializeMemory(as: UInt8.self, repeating: number) })
    }

    private func provider(_ number: UInt8, _ addresses: String...) throws -> ContentProvider {
        ContentProvider(peer: PeerID(try key(number).publicKey), addresses: addresses.compactMap { Multiaddr($0) })
    }

    private let cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

    /// Runs `body` with a server that knows what `routing` knows.
    private func withServer(_ routing: KnownRouting, _ body: @escaping @Sendable (DelegatedServer, any System) async throws -> Void) throws {
        let world = World(seed: 1)
        let system = world.host("node").system
        let own = try provider(9, "/ip4/9.9.9.9/tcp/4001")
        try world.run(limit: .seconds(600)) {
            try await system.home.run {
                let store = try system.openStore("/data", tables: [Table("names")], capacity: 1 << 20)
                let names = NameSystem(system: system, store: store, routing: routing)
                try await body(DelegatedServer(.init(content: routing, peers: routing, names: names) { own }, on: system), system)
            }
        }
    }

    private func ask(_ server: DelegatedServer, _ request: TestRequest) async -> TestRequest {
        await GatewayFront([server], headers: [("X-Own", "1")]).serve(request)
        return request
    }

    @Test func providersAsListAndStream() throws {
        let known = KnownRouting(providers: [try provider(1, "/ip4/1.2.3.4/tcp/4001"), try provider(2, "/ip4/5.6.7.8/udp/4001/quic-v1")])
        try withServer(known) { server, _ in
            let path = "/routing/v1/providers/\(self.cid)"
            let list = await self.ask(server, TestRequest("GET", path))
            #expect(list.status == 200 && list.isDone && list.header("Content-Type") == "application/json")
            #expect(list.header("Cache-Control") == "public, max-age=300, stale-while-revalidate=172800, stale-if-error=172800")
            #expect(list.header("Access-Control-Allow-Origin") == "*" && list.header("Vary") == "Accept" && list.header("X-Own") == "1")
            let json = try JSON(parsing: list.text)
            #expect(json["Providers"]?.array?.count == 2)
            #expect(json["Providers"]?[0]?["Schema"] == "peer" && json["Providers"]?[0]?["Addrs"]?[0] == "/ip4/1.2.3.4/tcp/4001")
            let stream = await self.ask(server, TestRequest("GET", path, headers: ["accept": "application/x-ndjson, application/json;q=0.9"]))
            #expect(stream.header("Content-Type") == "application/x-ndjson" && stream.text.split(separator: "\n").count == 2)
            // What our client reads is what was said.
            for (request, isStream) in [(list, false), (stream, true)] {
                var reader = DelegatedReader(isStream: isStream, member: "Providers")
                let records = try reader.feed(Bytes(request.answer)) + reader.finish()
                #expect(records.map(\.peer) == known.providers.map(\.peer))
            }
            let filtered = await self.ask(server, TestRequest("GET", path, query: [(name: "filter-addrs", value: "quic-v1")]))
            #expect(try JSON(parsing: filtered.text)["Providers"]?.array?.count == 1)
            let excluded = await self.ask(server, TestRequest("GET", path, query: [(name: "filter-addrs", value: "!quic-v1,!tcp")]))
            #expect(try JSON(parsing: excluded.text)["Providers"]?.array?.isEmpty == true)
            #expect(excluded.status == 200 && excluded.header("Cache-Control")?.contains("max-age=15") == true)
            let protocols = await self.ask(server, TestRequest("GET", path, query: [(name: "filter-protocols", value: "transport-bitswap")]))
            #expect(try JSON(parsing: protocols.text)["Providers"]?.array?.isEmpty == true)
        }
    }

    @Test func peersAndWrongQuestions() throws {
        let known = KnownRouting(providers: [try provider(1, "/ip4/1.2.3.4/tcp/4001")])
        let peer = known.providers[0].peer
        let own = PeerID(try key(9).publicKey)
        try withServer(known) { server, _ in
            for text in [peer.description, peer.cidText] {
                let found = await self.ask(server, TestRequest("GET", "/routing/v1/peers/\(text)"))
                let json = try JSON(parsing: found.text)
                #expect(json["Peers"]?[0]?["ID"] == .string(peer.description))
            }
            #expect(await self.ask(server, TestRequest("GET", "/routing/v1/peers/\(own)")).text.contains("/ip4/9.9.9.9/tcp/4001"))
            for (method, path, accept, status) in [
                ("GET", "/routing/v1/providers/nothing", "", 422), ("GET", "/routing/v1/peers/nothing", "", 422), ("GET", "/routing/v1/unknown/x", "", 400),
                ("PUT", "/routing/v1/providers/", "", 501), ("PUT", "/routing/v1/providers", "", 501), ("POST", "/routing/v1/providers/\(self.cid)", "", 501),
                ("GET", "/routing/v1/providers/\(self.cid)", "text/html", 406), ("GET", "/routing/v1/dht/closest/peers/\(self.cid)", "", 501),
                ("OPTIONS", "/routing/v1/providers/\(self.cid)", "", 204), ("GET", "/elsewhere", "", 404), ("GET", "/routing/v1/ipns/nothing", "", 422),
            ] {
                let request = await self.ask(server, TestRequest(method, path, headers: accept.isEmpty ? [:] : ["accept": accept]))
                #expect(request.status == status && request.isDone, "\(method) \(path)")
            }
        }
        try withServer(KnownRouting(failure: .noRouter)) { server, _ in
            #expect(await self.ask(server, TestRequest("GET", "/routing/v1/providers/\(self.cid)")).status == 500)
        }
        try withServer(KnownRouting(failure: .notFound)) { server, _ in
            let nothing = await self.ask(server, TestRequest("GET", "/routing/v1/providers/\(self.cid)"))
            #expect(nothing.status == 200 && nothing.text == "{\"Providers\":[]}")
        }
    }

    @Test func namesThereAndBack() throws {
        let key = try key(1)
        let name = IPNSName(PeerID(key.publicKey))
        try withServer(KnownRouting()) { server, system in
            let path = "/routing/v1/ipns/\(name)"
            let type = ["content-type": "application/vnd.ipfs.ipns-record"]
            let none = await self.ask(server, TestRequest("GET", path))
            #expect(none.status == 200 && none.header("Content-Type") == "text/plain; charset=utf-8")
            let record = try IPNSRecord(.init(value: "/ipfs/\(self.cid)", sequence: 1, validity: system.wallTime + .seconds(100), timeToLive: .seconds(60)), with: key)
            #expect(await self.ask(server, TestRequest("PUT", path, headers: type, body: record.encoded)).status == 200)
            let found = await self.ask(server, TestRequest("GET", path, headers: ["accept": "application/vnd.ipfs.ipns-record"]))
            #expect(found.status == 200 && Bytes(found.answer) == record.encoded)
            #expect(found.header("Cache-Control") == "public, max-age=60, stale-while-revalidate=40, stale-if-error=40")
            #expect(found.header("Content-Type") == "application/vnd.ipfs.ipns-record" && found.header("Etag")?.hasPrefix("\"") == true)
            #expect(found.header("Expires")?.hasSuffix(" GMT") == true)
            // Wrong types, foreign, long and late records.
            #expect(await self.ask(server, TestRequest("GET", path, headers: ["accept": "application/json"])).status == 406)
            #expect(await self.ask(server, TestRequest("PUT", path, body: record.encoded)).status == 406)
            let foreign = IPNSName(PeerID(try self.key(2).publicKey))
            #expect(await self.ask(server, TestRequest("PUT", "/routing/v1/ipns/\(foreign)", headers: type, body: record.encoded)).status == 400)
            let long = Bytes([UInt8](repeating: 1, count: NamingLimits.record + 1))
            #expect(await self.ask(server, TestRequest("PUT", path, headers: type, body: long)).text == "provided record is too long\n")
            let late = try IPNSRecord(.init(value: "/ipfs/\(self.cid)", sequence: 2, validity: WallTime(nanoseconds: 1)), with: key)
            #expect(await self.ask(server, TestRequest("PUT", path, headers: type, body: late.encoded)).text == "provided record is invalid: record is expired\n")
        }
    }

    @Test func searchesAtOnceAreBounded() throws {
        let world = World(seed: 2)
        let system = world.host("node").system
        let own = try provider(9)
        try world.run(limit: .seconds(600)) {
            try await system.home.run {
                let store = try system.openStore("/data", tables: [Table("names")], capacity: 1 << 20)
                let slow = SlowRouting(home: system.home)
                let server = DelegatedServer(
                    .init(content: slow, peers: KnownRouting(), names: NameSystem(system: system, store: store, routing: nil)) { own }, on: system)
                let requests = (0..<DelegatedLimits.searches + 3).map { _ in TestRequest("GET", "/routing/v1/providers/\(self.cid)") }
                await withTaskGroup(of: Void.self) { group in
                    for request in requests { group.addTask(executorPreference: system.home.taskExecutor) { await server.serve(request) } }
                }
                #expect(requests.count { $0.status == 429 } == 3)
                // The others got what was there when the time was over.
                #expect(requests.count { $0.status == 200 } == DelegatedLimits.searches)
            }
        }
    }

    private struct SlowRouting: ContentRouting {
        let home: any EventLoop
        func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
            try await home.sleep(until: home.now + .seconds(500))
        }
        func provide(_ cid: CID) async throws {}
    }

    @Test func answersAreReadWithinBounds() throws {
        let peer = try provider(1).peer
        let record = "{\"Schema\":\"peer\",\"ID\":\"\(peer)\",\"Addrs\":[\"/ip4/1.2.3.4/tcp/1\",\"nonsense\"],\"Protocols\":[\"transport-bitswap\"],\"more\":{\"a\":1}}"
        let other = "{\"Schema\":\"something\",\"ID\":1}"
        for step in [1, 7, 1000] {
            var reader = DelegatedReader(isStream: true, member: "Providers")
            var found: [DelegatedRecord] = []
            // Two of them on one line, as Go's writers may leave them.
            let text = Bytes(utf8: "\(record)\n\n\(other)\r\nnull\n\(other)\(record)")
            for start in stride(from: 0, to: text.count, by: step) { found += try reader.feed(text[start..<min(start + step, text.count)]) }
            found += try reader.finish()
            #expect(found.count == 2 && found[0].addresses.count == 1 && found[0].protocols == ["transport-bitswap"])
        }
        var long = DelegatedReader(isStream: true, member: "Providers")
        #expect(throws: DelegatedReader.Failure.tooLarge) { _ = try long.feed(Bytes(utf8: "{" + String(repeating: " ", count: DelegatedLimits.line))) }
        var cut = DelegatedReader(isStream: true, member: "Providers")
        #expect(throws: DelegatedReader.Failure.self) {
            _ = try cut.feed(Bytes(utf8: record).dropLast())
            _ = try cut.finish()
        }
        var text = DelegatedReader(isStream: true, member: "Providers")
        #expect(throws: DelegatedReader.Failure.self) { _ = try text.feed(Bytes(utf8: "<html>\n")) }
        var big = DelegatedReader(isStream: false, member: "Providers")
        #expect(throws: DelegatedReader.Failure.tooLarge) { _ = try big.feed(Bytes([UInt8](repeating: 0x20, count: DelegatedLimits.response.bytes + 1))) }
        var endless = DelegatedReader(isStream: true, member: "Providers")
        var records = 0
        let line = Bytes(utf8: "{\"Schema\":\"peer\",\"ID\":\"\(peer)\"}\n")
        for _ in 0..<DelegatedLimits.records + 50 { records += try endless.feed(line).count }
        #expect(records == DelegatedLimits.records && endless.isFull)
        var many = DelegatedReader(isStream: false, member: "Peers")
        let addresses = (0..<200).map { "\"/ip4/1.2.3.4/tcp/\($0)\"" }.joined(separator: ",")
        _ = try many.feed(Bytes(utf8: "{\"Peers\":[{\"Schema\":\"bitswap\",\"ID\":\"\(peer)\",\"Protocol\":\"transport-bitswap\",\"Addrs\":[\(addresses)]}]}"))
        let first = try #require(try many.finish().first)
        #expect(first.addresses.count == DelegatedLimits.addresses && first.protocols == ["transport-bitswap"])
    }

    @Test func whoFailsIsLeftAloneButWhoRefusesIsNot() {
        typealias Failure = DelegatedRouter.Failure
        let now = Instant(nanoseconds: 5_000_000_000)
        var rest = RouterRest()
        for status in [400, 404, 406, 422, 501] {
            rest.failed(Failure.status(status, "", retryAfter: nil), at: now)
            #expect(rest.until <= now)
        }
        rest.failed(Failure.timedOut, at: now)
        #expect(rest.until == now + DelegatedLimits.firstRest)
        rest.failed(Failure.status(503, "", retryAfter: nil), at: now)
        #expect(rest.until == now + DelegatedLimits.firstRest * 2)
        rest.failed(Failure.status(429, "", retryAfter: .seconds(100)), at: now)
        #expect(rest.until == now + .seconds(100))
        for _ in 0..<100 { rest.failed(Failure.status(429, "", retryAfter: .seconds(86_400)), at: now) }
        #expect(rest.until == now + DelegatedLimits.longestRest)
    }

    @Test func addressesOfRouters() throws {
        let world = World(seed: 1)
        defer { withExtendedLifetime(world) {} }
        let system = world.host("node").system
        for text in ["https://example.org", "http://127.0.0.1:8101/", "https://example.org/routing/v1", "https://example.org/routing/v1/"] {
            #expect(try DelegatedRouter(text, agent: "test", system: system).subjects.count == 3)
        }
        for subject in DelegatedRouter.Subject.allCases {
            #expect(try DelegatedRouter("https://example.org/routing/v1/\(subject.rawValue)/", agent: "test", system: system).subjects == [subject])
        }
        for text in ["", "example.org", "ftp://example.org", "https://", "https://example.org/other", "https://example.org/providers", "https://user@example.org", "https://a b"] {
            #expect(throws: DelegatedRouter.Failure.badAddress(text)) { _ = try DelegatedRouter(text, agent: "test", system: system) }
        }
    }

    @Test func whatTheConfigurationSays() throws {
        let world = World(seed: 1)
        defer { withExtendedLifetime(world) {} }
        let system = world.host("node").system
        func make(_ text: String, _ type: RoutingType = .automatic) throws -> RoutingConfiguration {
            try RoutingSettings.make(Configuration(parsing: Bytes(utf8: text), path: "config"), type: type, on: system)
        }
        let plain = try make("{}")
        #expect(plain.announcing?.interval == .seconds(22 * 3600) && plain.announcing?.strategy.scope == .all && plain.delegates.findProviders.isEmpty)
        let some = try make("""
            {"Routing": {"DelegatedRouters": ["auto", "https://a.example", "https://b.example/routing/v1"], "IgnoreProviders": ["12D3KooWBETYGvQhHCSDM5hjqhDzHdd4fANtM24c7Eu3zxzgoRUq"]},
             "Ipns": {"DelegatedPublishers": ["https://c.example"], "RepublishPeriod": "1h", "RecordLifetime": "3h", "MaxCacheTTL": "1m", "ResolveCacheSize": 7},
             "Provide": {"Strategy": "pinned", "DHT": {"Interval": "5h"}}}
            """)
        #expect(some.delegates.findProviders.count == 2 && some.delegates.getValues.count == 2 && some.delegates.putValues.count == 1 && some.delegates.provide.isEmpty)
        let parted = try make("""
            {"Routing": {"DelegatedRouters": ["https://a.example/routing/v1/providers", "https://b.example/routing/v1/ipns"]},
             "Ipns": {"DelegatedPublishers": ["https://c.example/routing/v1/ipns", "https://d.example/routing/v1/peers"]}}
            """)
        #expect(parted.delegates.findProviders.count == 1 && parted.delegates.findPeers.isEmpty)
        #expect(parted.delegates.getValues.count == 1 && parted.delegates.putValues.count == 1)
        #expect(some.ignoredProviders.count == 1 && some.republishing.interval == .seconds(3600) && some.republishing.lifetime == .seconds(10_800))
        #expect(some.naming.longestTimeToLive == .seconds(60) && some.naming.cachedNames == 7)
        #expect(some.announcing?.interval == .seconds(18_000) && some.announcing?.strategy.scope == .pinned)
        #expect(try make("{\"Provide\": {\"Enabled\": false}}").announcing == nil)
        #expect(try make("{\"Provide\": {\"DHT\": {\"Interval\": \"0\"}}}").announcing?.interval == nil)
        #expect(try make("{\"Routing\": {\"DelegatedRouters\": [\"https://a.example\"]}}", .dht).delegates.findProviders.isEmpty)
        let custom = try make("""
            {"Routing": {"Routers": {"all": {"Type": "parallel", "Parameters": {"Routers": [{"RouterName": "dht"}, {"RouterName": "http"}]}},
              "dht": {"Type": "dht"}, "http": {"Type": "http", "Parameters": {"Endpoint": "https://a.example"}}},
             "Methods": {"find-providers": {"RouterName": "all"}, "find-peers": {"RouterName": "http"}, "get-ipns": {"RouterName": "dht"},
              "put-ipns": {"RouterName": "http"}, "provide": {"RouterName": "dht"}}}}
            """, .custom)
        #expect(custom.usesHashTables.findProviders && custom.delegates.findProviders.count == 1)
        #expect(!custom.usesHashTables.findPeers && custom.delegates.findPeers.count == 1 && custom.usesHashTables.getValues && custom.delegates.getValues.isEmpty)
        for (text, type) in [
            ("{\"Provide\": {\"Strategy\": \"nothing\"}}", RoutingType.automatic), ("{\"Provide\": {\"DHT\": {\"Interval\": \"49h\"}}}", .automatic),
            (
                """
                {"Routing": {"Routers": {"d": {"Type": "dht"}}, "Methods": {"find-providers": {"RouterName": "d"}, "find-peers": {"RouterName": "d"},
                 "get-ipns": {"RouterName": "d"}, "put-ipns": {"RouterName": "d"}, "provide": {"RouterName": "d"}, "other": {"RouterName": "d"}}}}
                """, .custom
            ),
            ("{\"Ipns\": {\"RepublishPeriod\": \"30s\"}}", .automatic), ("{\"Ipns\": {\"RecordLifetime\": \"1h\"}}", .automatic),
            ("{\"Routing\": {\"DelegatedRouters\": [\"nonsense\"]}}", .automatic), ("{}", .custom),
            ("{\"Routing\": {\"Routers\": {\"a\": {\"Type\": \"parallel\", \"Parameters\": {\"Routers\": [{\"RouterName\": \"a\"}]}}}, \"Methods\": {\"provide\": {\"RouterName\": \"a\"}}}}", .custom),
        ] {
            #expect(throws: CommandError.self) { _ = try make(text, type) }
        }
    }
}
