import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleStack

@testable import WaggleAPI

@Suite struct ConfigurationTests {
    private func configuration(_ text: String) throws -> Configuration { try Configuration(parsing: Bytes(utf8: text), path: "config") }

    @Test func valuesAreFoundAndSet() throws {
        var it = try configuration("{\"A\":{\"B\":1},\"C\":\"x\"}")
        #expect(it["A.B"]?.integer == 1)
        #expect(it["A.Z"] == nil)
        #expect(it["C.D"] == nil)
        try it.set("A.N.M", to: true)
        #expect(it["A.N.M"] == true)
        #expect(throws: CommandError.self) { try it.set("C.D", to: 1) }
        #expect(throws: CommandError.self) { try it.set("", to: 1) }
        try it.set("A", to: .null)
        #expect(it["A.B"] == nil)
    }

    @Test func unknownMembersSurvive() throws {
        var it = try configuration("{\"Future\":{\"Thing\":[1,2.5,null]},\"Addresses\":{\"API\":\"/ip4/127.0.0.1/tcp/1\"}}")
        try it.set("Addresses.API", to: "/ip4/127.0.0.1/tcp/2")
        #expect(it.text.contains("2.5"))
        #expect(it.apiAddresses == ["/ip4/127.0.0.1/tcp/2"])
    }

    @Test(arguments: ["", "[]", "{", "nonsense", "{\"a\":1}x"]) func damagedFilesAreRefused(text: String) {
        #expect(throws: CommandError.self) { try configuration(text) }
    }

    @Test func profilesUndoEachOther() throws {
        var it = ConfigurationDefaults.make(peerID: "x")
        try ConfigurationDefaults.apply("local-discovery", to: &it)
        let before = it
        try ConfigurationDefaults.apply("server", to: &it)
        #expect(it["Swarm.AddrFilters"]?.array?.count == 19)
        try ConfigurationDefaults.apply("local-discovery", to: &it)
        #expect(it == before)
        try ConfigurationDefaults.apply("test", to: &it)
        let test = it
        try ConfigurationDefaults.apply("default-networking", to: &it)
        #expect(it != test)
        try ConfigurationDefaults.apply("test", to: &it)
        #expect(it == test)
        #expect(throws: CommandError("invalid configuration profile: nonsense")) { try ConfigurationDefaults.apply("nonsense", to: &it) }
    }

    @Test func everyProfileMakesSettings() throws {
        for profile in ConfigurationDefaults.profiles {
            var it = ConfigurationDefaults.make(peerID: "")
            try ConfigurationDefaults.apply(profile.name, to: &it)
            _ = try NodeSettings.make(it)
        }
    }

    @Test func aChainIsConfigured() throws {
        #expect(try NodeSettings.make(configuration("{}")).chain == nil)
        let chain = try #require(try NodeSettings.make(configuration("{\"Waggle\":{\"Chain\":7}}")).chain)
        #expect(chain.network.chain == 7 && chain.network.policy == .standard && chain.place == .first)
        let names = "[\"ML-KEM-768\",\"ML-DSA-65\",\"AES-256-GCM\",\"SHA3-256\"]"
        let text = "{\"Waggle\":{\"Chain\":\"18446744073709551615\",\"ChainChannel\":\"only\",\"AlgorithmPolicy\":\(names)}}"
        let other = try #require(try NodeSettings.make(configuration(text)).chain)
        #expect(other.network.chain == .max && other.place == .only && other.network.policy.algorithms.count == 4)
        for wrong in [
            "\"Chain\":0", "\"Chain\":-1", "\"Chain\":\"x\"", "\"Chain\":1,\"ChainChannel\":\"middle\"", "\"Chain\":1,\"AlgorithmPolicy\":[]",
            "\"Chain\":1,\"AlgorithmPolicy\":[\"RSA\"]", "\"Chain\":1,\"ChainChannel\":\"only\",\"Security\":\"classical\"",
        ] {
            #expect(throws: CommandError.self) { try NodeSettings.make(configuration("{\"Waggle\":{\(wrong)}}")) }
        }
    }

    @Test func settingsAreChecked() throws {
        var it = ConfigurationDefaults.make(peerID: "")
        try it.set("Waggle.Security", to: "sometimes")
        #expect(throws: CommandError.self) { try NodeSettings.make(it) }
        it = ConfigurationDefaults.make(peerID: "")
        try it.set("Addresses.Swarm", to: ["nonsense"])
        #expect(throws: CommandError.self) { try NodeSettings.make(it) }
        it = ConfigurationDefaults.make(peerID: "")
        try it.set("Swarm.AddrFilters", to: ["/ip4/10.0.0.0/tcp/1"])
        #expect(throws: CommandError.self) { try NodeSettings.make(it) }
    }

    @Test func addressesThatAreNotAnnounced() throws {
        var it = ConfigurationDefaults.make(peerID: "")
        try it.set("Addresses.AppendAnnounce", to: ["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2"])
        try it.set("Addresses.NoAnnounce", to: ["/ip4/1.2.3.4/tcp/1", "/ip4/10.0.0.0/ipcidr/8"])
        let settings = try NodeSettings.make(it)
        #expect(settings.appendAnnounce.map(\.description) == ["/ip4/1.2.3.4/tcp/2"])
        #expect(settings.noAnnounce.count == 1)
    }

    @Test func rangesOfAddresses() throws {
        #expect(try NodeSettings.range("/ip4/10.1.2.3/ipcidr/8", "k") == IPRange(.v4(0x0a00_0000), prefixLength: 8))
        #expect(try NodeSettings.range("/ip6/::ffff:10.0.0.0/ipcidr/104", "k") == IPRange(.v4(0x0a00_0000), prefixLength: 8))
        for text in ["/ip4/1.2.3.4/ipcidr/33", "/ip6/fe80::/ipcidr/129", "/ip6/::ffff:10.0.0.0/ipcidr/95", "/ip4/1.2.3.4", "/ip4/1.2.3.4/ipcidr/8/tcp/1", "x"] {
            #expect(throws: CommandError.self, "\(text)") { try NodeSettings.range(text, "k") }
        }
    }

    @Test func theAgentsNameMayHaveASuffix() throws {
        var it = ConfigurationDefaults.make(peerID: "")
        let own = NodeSettings.agentVersion(it, suffix: nil)
        #expect(NodeSettings.agentVersion(it, suffix: "a") == "\(own)/a")
        try it.set("Version.AgentSuffix", to: .string("b\n\u{7f}" + String(repeating: "c", count: 500)))
        #expect(NodeSettings.agentVersion(it, suffix: "a") == "\(own)/b" + String(repeating: "c", count: 127))
    }

    @Test func theEnvironmentOverrides() throws {
        let base = ConfigurationDefaults.make(peerID: "")
        let it = try DaemonOverrides(["API_ADDR": "127.0.0.1:7", "P2P_ADDR": "/ip4/1.2.3.4/tcp/5", "BOOTSTRAP": ""]).apply(to: base)
        #expect(it.apiAddresses == ["/ip4/127.0.0.1/tcp/7"])
        #expect(it.swarmAddresses == ["/ip4/1.2.3.4/tcp/5"])
        #expect(it.bootstrap.isEmpty)
        #expect(throws: CommandError.self) { try DaemonOverrides(["API_ADDR": "nowhere"]).apply(to: base) }
    }
}

@Suite struct SmallFormatTests {
    @Test func durations() {
        #expect(GoDuration.parse("1h2m3.5s") == .seconds(3723.5))
        #expect(GoDuration.parse("300ms") == .milliseconds(300))
        #expect(GoDuration.parse("0") == .zero)
        #expect(GoDuration.parse("-1s") == .seconds(-1))
        #expect(GoDuration.parse("10us") == .microseconds(10))
        #expect(GoDuration.parse("1µs") == .microseconds(1))
        for text in ["", "5", "s", "1x", "1.2.3s", "999999999999h", "-", "1s2", "٣s"] { #expect(GoDuration.parse(text) == nil, "\(text)") }
    }

    @Test func sizes() {
        #expect(ByteSize.parse("10GB") == 10_000_000_000)
        #expect(ByteSize.parse("1.5 MiB") == 1_572_864)
        #expect(ByteSize.parse("200K") == 200_000)
        #expect(ByteSize.parse("7") == 7)
        for text in ["", "GB", "1XB", "-1", "1e99", "9999999999999999999999 TB"] { #expect(ByteSize.parse(text) == nil, "\(text)") }
        #expect(ByteSize.human(0) == "0 B")
        #expect(ByteSize.human(9) == "9 B")
        #expect(ByteSize.human(999) == "999 B")
        #expect(ByteSize.human(1000) == "1.0 kB")
        #expect(ByteSize.human(1_048_576) == "1.0 MB")
        #expect(ByteSize.human(82_854_982) == "83 MB")
        #expect(ByteSize.human(.max) == "18 EB")
    }

    @Test func decimals() {
        #expect(Decimal.fixed(1.005, places: 2) == "1.00" || Decimal.fixed(1.005, places: 2) == "1.01")
        #expect(Decimal.fixed(-0.04, places: 1) == "0.0")
        #expect(Decimal.fixed(-1.25, places: 2) == "-1.25")
        #expect(Decimal.fixed(12, places: 0) == "12")
        #expect(Decimal.fixed(0.5, places: 6) == "0.500000")
        #expect(Decimal.fixed(.infinity, places: 2) == "inf")
    }

    @Test func dates() {
        #expect(Clock.rfc3339(0) == "1970-01-01T00:00:00Z")
        #expect(Clock.rfc3339(-1) == "1969-12-31T23:59:59Z")
        #expect(Clock.rfc3339(951_782_400) == "2000-02-29T00:00:00Z")
        #expect(Clock.rfc3339(1_592_216_000) == "2020-06-15T10:13:20Z")
        // A block says any number.
        #expect(Clock.rfc3339(.min) == "-292277022657-01-27T08:29:52Z")
        #expect(Clock.rfc3339(.max) == "292277026596-12-04T15:30:07Z")
        #expect(Clock.listing(Clock.rfc3339(.max), now: 0) == "Dec 04  292277026596")
        #expect(Clock.listing("9223372036854775807-12-9223372036854775807T9223372036854775807:0:0Z", now: 0) != nil)
        #expect(Clock.seconds(1970, 1, 1) == 0)
        #expect(Clock.seconds(2000, 2, 29) == 951_782_400)
        #expect(Clock.listing("2020-06-15T10:13:20Z", now: 1_700_000_000) == "Jun 15  2020")
        #expect(Clock.listing("2020-06-15T10:13:20Z", now: 1_592_300_000) == "Jun 15 10:13")
        #expect(Clock.listing("nonsense", now: 0) == nil)
    }

    @Test func ignoreRules() {
        let rules = IgnoreRules(["*.log", "!keep.log", "# note", "", "build/", "/top", "a/**/z", "n?me"])
        #expect(rules.excludes("dir/x.log", isDirectory: false))
        #expect(rules.excludes("dir/sub/x.log", isDirectory: false))
        #expect(!rules.excludes("dir/keep.log", isDirectory: false))
        #expect(rules.excludes("dir/build", isDirectory: true))
        #expect(!rules.excludes("dir/build", isDirectory: false))
        #expect(rules.excludes("dir/top", isDirectory: false))
        #expect(!rules.excludes("dir/sub/top", isDirectory: false))
        #expect(rules.excludes("dir/a/b/c/z", isDirectory: false))
        #expect(rules.excludes("dir/name", isDirectory: false))
        #expect(!rules.excludes("dir/nme", isDirectory: false))
    }

    @Test func manyStarsStayQuick() {
        let rules = IgnoreRules([String(repeating: "*a", count: 30) + "b"])
        #expect(!rules.excludes("d/" + String(repeating: "a", count: 200), isDirectory: false))
    }

    @Test func theLogOfRequestsIsBounded() {
        let log = RequestLog()
        let request = Request(path: ["pubsub", "sub"], command: Commands.root, arguments: Array(repeating: String(repeating: "x", count: 1000), count: 100), options: ["timeout": .string("1s")])
        func time(_ seconds: Int64) -> WallTime { WallTime(nanoseconds: seconds * 1_000_000_000) }
        let first = log.begin(request, at: time(0))
        for _ in 0..<RequestLog.longest + 100 { log.end(log.begin(request, at: time(1)), at: time(2)) }
        let entries = log.entries(at: time(3))
        #expect(entries.count == RequestLog.longest + 1 && entries[0].id == first && entries[0].ended == nil && entries[1].id == 101)
        #expect(entries[0].arguments.count == RequestLog.arguments && entries[0].arguments[0].utf8.count < RequestLog.argumentBytes + 10)
        log.keep(for: .seconds(10), at: time(3))
        #expect(log.entries(at: time(13)).count == 1, "what is over is forgotten after a while, what runs is not")
        log.end(first, at: time(14))
        log.clear()
        #expect(log.entries(at: time(14)).isEmpty)
    }

    @Test func completionsNameTheirProgram() {
        for shell in ["bash", "zsh", "fish"] {
            let script = Completion.script(for: shell, program: "ipfs", root: Commands.root)
            #expect(script.contains("name pubsub state") && !script.contains("waggle()") && script.contains("_ipfs"), "\(shell)")
        }
        #expect(Completion.script(for: "zsh", program: "waggle", root: Commands.root).contains("'show:Output config file contents.'"))
    }

    @Test func helpFillsParagraphs() {
        let command = Command("", "Does it.", description: "It runs: a sentence\ngoes on.\nname: a label\nother: one", subcommands: [])
        let text = Help(program: "waggle", root: command, width: 80).text([], long: true)
        #expect(text.contains("  It runs: a sentence goes on.\n  name: a label\n  other: one\n"))
    }

    @Test func addressesOfTheAPI() {
        let cases = [
            ("/ip4/127.0.0.1/tcp/5101", "http://127.0.0.1:5101"), ("http://localhost:7/", "http://127.0.0.1:7"), ("[::1]:7", "http://[::1]:7"), ("/ip6/::1/tcp/7", "http://[::1]:7"),
            ("/dns4/node.lan/tcp/5101", "http://node.lan:5101"), ("/dns/node.lan/tcp/443/https", "https://node.lan:443"), ("/ip4/10.0.0.7/tcp/443/tls/http", "https://10.0.0.7:443"),
            ("https://node.lan", "https://node.lan"), ("http://node.lan:5101/", "http://node.lan:5101"),
        ]
        for (text, url) in cases { #expect(APIAddress(text)?.url == url, "\(text)") }
        for text in ["", "nowhere", "127.0.0.1", "127.0.0.1:99999", "/ip4/127.0.0.1/udp/1", "host:1", "http://", "http://a b", "http://u@h", "/dnsaddr/x/tcp/1", "/x"] {
            #expect(APIAddress(text) == nil, "\(text)")
        }
    }

    @Test func linesAreCut() {
        var splitter = LineSplitter()
        #expect(splitter.split(Bytes(utf8: "a\n\nb")) == [Array("a".utf8)])
        #expect(splitter.split(Bytes(utf8: "c\n")) == [Array("bc".utf8)])
        #expect(splitter.rest == nil)
        _ = splitter.split(Bytes(utf8: "end"))
        #expect(splitter.rest == Array("end".utf8))
    }

    @Test func textForTerminals() {
        #expect(TerminalText.visible("plain ü 🚀") == "plain ü 🚀")
        #expect(TerminalText.visible("a\u{1b}[31mb\n\u{202e}") == "a\\x1b[31mb\\n\\u{202e}")
    }

    @Test func theMeterCountsClosedConnections() {
        let meter = BandwidthMeter()
        let start = Instant(nanoseconds: 0)
        #expect(meter.sample(openIn: 100, openOut: 10, at: start) == .init(totalIn: 100, totalOut: 10))
        meter.closed(bytesIn: 100, bytesOut: 10)
        let later = meter.sample(openIn: 400, openOut: 0, at: start + .seconds(2))
        #expect(later == .init(totalIn: 500, totalOut: 10, rateIn: 200, rateOut: 0))
    }
}
