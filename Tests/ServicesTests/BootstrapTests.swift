import Synchronization
import Testing
@testable import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@Suite struct BootstrapTests {
    private static let peer = "12D3KooWA6EGcHyLd5zLwJkP8X5sVTQpGqDwgBR3yqkgXJQaMcxR"

    private func lines(_ world: World) -> [String] { world.records.filter { $0.contains("bootstrap:") } }

    private func loud() -> WorldOptions {
        var options = WorldOptions()
        options.logLevel = .info
        return options
    }

    // MARK: Entries

    @Test func entriesOfAList() throws {
        func address(_ text: String) throws -> SeedSource { .address(try #require(Multiaddr(text))) }
        #expect(try SeedSource("203.0.113.10:6701") == address("/ip4/203.0.113.10/tcp/6701"))
        #expect(try SeedSource("[2001:db8::1]:6701") == address("/ip6/2001:db8::1/tcp/6701"))
        #expect(try SeedSource("seed.example.org:6701") == address("/dns/seed.example.org/tcp/6701"))
        #expect(try SeedSource("/dnsaddr/boot.test/p2p/\(Self.peer)") == address("/dnsaddr/boot.test/p2p/\(Self.peer)"))
        #expect(try SeedSource("dns://Seeds.example.org/") == .texts(name: "seeds.example.org"))
        #expect(try SeedSource("https://example.org/seeds.json") == .document(url: "https://example.org/seeds.json"))
        #expect(try SeedSource("http://127.0.0.1:8080/x") == .document(url: "http://127.0.0.1:8080/x"))
        for text in [
            "", "nonsense", ":1", "host:", "host:0", "host:99999", "1::2:3", "dns://", "dns://a b", "dns://a..b", "https://", "https:///x", "https://u@h/", "http://example.org/",
            "http://127.0.0.1.example.org/", "ftp://example.org", "/p2p/\(Self.peer)", "/ip4/1.2.3.4/tcp", "https://h/\n", String(repeating: "a", count: 2000),
        ] { #expect(throws: SeedSource.Invalid.self, "\(text)") { try SeedSource(text) } }
    }

    @Test func listsInDocumentsAndTexts() throws {
        let one = "/ip4/192.0.2.1/tcp/4001/p2p/\(Self.peer)"
        func read(_ text: String) -> [String] { SeedList.addresses(inDocument: Bytes(utf8: text)).map(\.description) }
        #expect(read(#"["\#(one)", "192.0.2.2:4001", "garbage", 7, null, "dns://other.list"]"#) == [one, "/ip4/192.0.2.2/tcp/4001"])
        #expect(read(#"{"version": 1, "seeds": [{"addr": "\#(one)"}]}"#) == [one])
        #expect(read(#"{"Peers": [{"ID": "\#(Self.peer)", "Addrs": ["/ip4/192.0.2.1/tcp/4001", "x"]}]}"#) == [one])
        #expect(read("# seeds\n\(one)  # the first\n192.0.2.2:4001, 192.0.2.3:1\n\n") == [one, "/ip4/192.0.2.2/tcp/4001", "/ip4/192.0.2.3/tcp/1"])
        #expect(read("<html>no list</html>") == [])
        #expect(read("{}") == [] && read("[[[[") == [] && read("") == [])
        #expect(SeedList.addresses(inTexts: ["dnsaddr=\(one)", "seed=192.0.2.2:4001 192.0.2.3:1", "v=spf1 -all"]).count == 3)
        // Bounds.
        #expect(SeedList.addresses(inTexts: (0..<5000).map { "10.0.\($0 / 250).\($0 % 250):1" }).count == BootstrapLimits.seeds)
        #expect(SeedList.addresses(inDocument: Bytes([UInt8](repeating: 0x20, count: BootstrapLimits.listBytes + 1))) == [])
        #expect(SeedList.addresses(inDocument: Bytes([0xff, 0xfe])) == [])
    }

    @Test func pausesGrowAndDiffer() {
        for failures in 0...20 {
            let full = min(BootstrapLimits.shortestPause * (1 << max(failures - 1, 0)), BootstrapLimits.longestPause)
            for random: UInt64 in [0, 1, .max, 0x1234_5678_9abc_def0] {
                let pause = PeerSeeker.pause(afterFailures: failures, random: random)
                #expect(pause >= full * 3 / 4 - .nanoseconds(1) && pause <= full * 5 / 4 + .nanoseconds(1))
            }
        }
    }

    // MARK: Nodes

    @Test func connectsAndComesBack() throws {
        let world = World(seed: 1)
        try world.run {
            let server = try await world.node("server")
            try await server.start()
            let client = try await world.node("client") { $0.bootstrap = [server.dialable] }
            try await client.start()
            try await client.until { client.swarm.isConnected(server.peer) }
            for _ in 0..<3 {
                await server.swarm.disconnect(client.peer)
                try await client.until(.seconds(10)) { client.swarm.isConnected(server.peer) }
            }
            await client.close()
            await server.close()
        }
    }

    @Test func theFirstNodeOfANetworkSaysSoOnce() throws {
        let world = World(seed: 2, options: loud())
        try world.run {
            let alone = try await world.node("alone")
            try await alone.start()
            try await world.sleep(for: .seconds(7200))
            #expect(lines(world).filter { $0.contains("no bootstrap peers: waiting for others") }.count == 1)
            #expect(lines(world).count == 1)
            await alone.close()
        }
        let other = World(seed: 2, options: loud())
        try other.run {
            let first = try await other.node("first") { $0.bootstrap = [try! #require(Multiaddr("/ip4/10.9.9.9/tcp/1/p2p/\(Self.peer)"))] }
            try await first.start()
            try await other.sleep(for: .seconds(7200))
            #expect(lines(other).count == 1)
            #expect(!other.records.contains { $0.contains("warning") })
            let report = await first.swarm.metrics.collect()
            let rounds = try #require(report.value("waggle_bootstrap_rounds_total", ["outcome": "nobody"]))
            // Every ten minutes in the end.
            #expect(rounds > 8 && rounds < 30)
            #expect(report.value("waggle_bootstrap_alone") == 1)
            await first.close()
        }
    }

    @Test func peersWithoutNamesAndSeedsInTexts() throws {
        let world = World(seed: 3)
        try world.run {
            var servers: [Node] = []
            for index in 0..<6 {
                let server = try await world.node("server\(index)")
                try await server.start()
                servers.append(server)
            }
            let all = servers
            world.names.setTexts("seeds.test", all.dropFirst().map { "dnsaddr=\($0.dialable)" } + ["junk", "dns://seeds.test"])
            let client = try await world.node("client") {
                // The first one only by where it is.
                $0.bootstrap = [all[0].listenAddresses[0]]
                $0.seeds = [.texts(name: "seeds.test"), .texts(name: "nowhere.test")]
            }
            try await client.start()
            try await client.until { client.swarm.peers.count >= BootstrapLimits.enough }
            #expect(client.swarm.isConnected(all[0].peer))
            #expect(client.swarm.peers.count <= BootstrapLimits.enough + BootstrapLimits.dials)
            // The list is read once in ten minutes at most, however often peers are looked for.
            for _ in 0..<5 {
                for server in all { await server.swarm.disconnect(client.peer) }
                try await client.until { client.swarm.peers.count >= BootstrapLimits.enough }
            }
            #expect(world.names.questions("seeds.test") == 1)
            await client.close()
            for server in all { await server.close() }
        }
    }

    @Test func seedsInDocuments() throws {
        let world = World(seed: 4)
        try world.run {
            let server = try await world.node("server")
            try await server.start()
            let asked = Mutex<[String]>([])
            let text = #"{"seeds": ["\#(server.dialable)"]}"#
            let client = try await world.node("client") {
                $0.seeds = [.document(url: "https://hangs.test/"), .document(url: "https://good.test/")]
                $0.fetchSeeds = { url, limit in
                    asked.withLock { $0.append(url) }
                    #expect(limit == BootstrapLimits.listBytes)
                    if url.contains("hangs") { try await world.sleep(for: .seconds(100_000)) }
                    return Bytes(utf8: text)
                }
            }
            try await client.start()
            let start = world.now
            try await client.until { client.swarm.isConnected(server.peer) }
            #expect(world.now - start < BootstrapLimits.fetchTime + .seconds(2))
            #expect(asked.withLock { $0.count } == 2)
            await client.close()
            await server.close()
        }
    }

    @Test func goodPeersAreRememberedOverRestarts() throws {
        let world = World(seed: 5)
        try world.run(limit: .seconds(100 * 24 * 3600)) {
            let friend = try await world.node("friend")
            try await friend.start()
            let host = world.host("client")
            func start() async throws -> (Node, any KeyValueStore) {
                let store = try host.system.openStore("/data", tables: Node.tables, capacity: 1 << 30)
                var configuration = NodeConfiguration.preset(.lan)
                configuration.policy = .classical
                configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
                let node = try await Node(configuration, on: host.system, store: store)
                try await node.start()
                return (node, store)
            }
            let (first, store) = try await start()
            try await first.connect(friend.dialable)
            await first.close()
            await store.close()
            try await world.sleep(for: .seconds(8 * 24 * 3600))
            // Nobody is configured; but there was somebody.
            let (second, again) = try await start()
            try await second.until { second.swarm.isConnected(friend.peer) }
            await second.close()
            await again.close()
            try await world.sleep(for: .seconds(40 * 24 * 3600))
            let (third, last) = try await start()
            try await world.sleep(for: .seconds(120))
            #expect(!third.swarm.isConnected(friend.peer))
            await third.close()
            await last.close()
            await friend.close()
        }
    }
}
