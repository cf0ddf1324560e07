import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork

@testable import WaggleAPI

@Suite struct PolicyTests {
    private func admits(_ headers: [String: String], allow: [String] = [], port: UInt16 = 5101) -> Bool {
        let policy = RPCPolicy(port: port, headers: allow.isEmpty ? [:] : ["Access-Control-Allow-Origin": allow])
        return policy.admits(HTTPRequestHead(method: "POST", path: "/api/v0/id", headers: headers))
    }

    @Test func programsWithoutABrowserGetIn() {
        #expect(admits([:]))
        #expect(admits(["host": "127.0.0.1:5101"]))
        #expect(admits(["host": "localhost:5101", "user-agent": "curl/8"]))
        #expect(admits(["host": "[::1]:5101", "user-agent": "Go-http-client/1.1"]))
        #expect(admits(["host": "10.0.0.7:5101"]))
    }

    @Test func browsersWithoutAnOriginDoNot() {
        #expect(!admits(["user-agent": "Mozilla/5.0 (X11)"]))
        #expect(!admits(["user-agent": "Mozilla/5.0 (X11)", "host": "127.0.0.1:5101"]))
    }

    @Test(arguments: ["http://evil.example", "https://evil.example", "null", "http://localhost:9999", "http://127.0.0.1.evil.example:5101", "http://localhost:5101.evil.example", ""])
    func foreignOriginsDoNot(origin: String) {
        #expect(!admits(["origin": origin]))
        #expect(!admits(["origin": origin, "user-agent": "curl"]))
        #expect(!admits(["origin": origin], allow: ["http://good.example"]))
    }

    @Test(arguments: ["http://localhost:5101", "https://localhost:5101", "http://127.0.0.1:5101", "http://[::1]:5101", "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch"])
    func ownOriginsGetIn(origin: String) { #expect(admits(["origin": origin, "user-agent": "Mozilla/5.0"])) }

    @Test func configuredOriginsGetIn() {
        #expect(admits(["origin": "http://good.example", "user-agent": "Mozilla"], allow: ["http://good.example"]))
        #expect(admits(["origin": "http://any.example"], allow: ["*"]))
        let policy = RPCPolicy(port: 1, headers: ["access-control-allow-origin": ["http://good.example"], "Access-Control-Allow-Methods": ["PUT"], "X-Own": ["1"]])
        let head = HTTPRequestHead(method: "POST", path: "/", headers: ["origin": "http://good.example"])
        #expect(policy.corsHeaders(for: head).map(\.0) == ["Access-Control-Allow-Origin", "Access-Control-Allow-Methods"])
        #expect(policy.corsHeaders(for: head).map(\.1) == ["http://good.example", "PUT"])
        #expect(policy.extraHeaders.map(\.0) == ["X-Own"])
        #expect(policy.corsHeaders(for: HTTPRequestHead(method: "POST", path: "/", headers: ["origin": "http://evil"])).isEmpty)
    }

    @Test func referersCountWhereThereIsNoOrigin() {
        #expect(!admits(["referer": "http://evil.example/page"]))
        #expect(admits(["referer": "http://localhost:5101/webui"]))
        #expect(admits(["origin": "http://localhost:5101", "referer": "http://evil.example/"]))
        #expect(!admits(["referer": "nonsense"]))
    }

    @Test func pagesThatAreReadLookAtHostAndOrigin() {
        func reads(_ headers: [String: String], hosts: [String] = []) -> Bool {
            RPCPolicy(port: 5101, hosts: hosts).admitsReading(HTTPRequestHead(method: "GET", path: "/metrics", headers: headers))
        }
        #expect(reads([:]) && reads(["host": "10.0.0.7:5101", "user-agent": "Mozilla/5.0"]), "a browser may open them")
        #expect(!reads(["host": "node1.lan:5101"]) && reads(["host": "node1.lan:5101"], hosts: ["Node1.lan"]))
        #expect(!reads(["origin": "http://evil.example"]) && reads(["origin": "http://localhost:5101"]))
        let policy = RPCPolicy(port: 5101, hosts: ["node1.lan"])
        #expect(policy.admits(HTTPRequestHead(method: "POST", path: "/api/v0/id", headers: ["host": "node1.lan"])))
        #expect(policy.refusal(of: HTTPRequestHead(method: "GET", path: "/metrics", headers: ["host": "other"])).contains("Waggle.APIHosts"))
        #expect(policy.refusal(of: HTTPRequestHead(method: "POST", path: "/", headers: ["origin": "http://evil"])) == "403 - Forbidden")
    }

    @Test func secretsAreGoodForTheirPaths() throws {
        let text = #"{"API": {"Authorizations": {"a": {"AuthSecret": "bearer:tok", "AllowedPaths": ["/api/v0/id"]}, "b": {"AuthSecret": "basic:u:p", "AllowedPaths": ["/api/v0"]}, "c": {"AuthSecret": "odd:x", "AllowedPaths": ["/api/v0"]}}}}"#
        func allows(_ path: String, _ secret: String?, _ text: String) throws -> Bool {
            let policy = RPCPolicy(port: 1, authorizations: try Configuration(parsing: Bytes(utf8: text), path: "config").apiAuthorizations)
            return policy.isAuthorized(HTTPRequestHead(method: "POST", path: "/api/v0/" + path, headers: secret.map { ["authorization": $0] } ?? [:]))
        }
        #expect(try allows("id", "Bearer tok", text) && allows("id/QmX", "Bearer tok", text) && allows("version", "Bearer tok", text))
        #expect(try !allows("identity", "Bearer tok", text) && !allows("config", "Bearer tok", text) && !allows("id", "Bearer tokk", text))
        #expect(try allows("config", "Basic dTpw", text) && !allows("id", nil, text) && !allows("version", nil, text) && !allows("id", "odd:x", text) && !allows("id", "x", text))
        #expect(try allows("config", nil, #"{"API": {"Authorizations": {}}}"#) && allows("config", nil, "{}"))
        #expect(try !allows("id", "", #"{"API": {"Authorizations": {"a": {"AllowedPaths": ["/api/v0"]}}}}"#), "a secret that is none is not shown by anything")
        #expect(APIAuthorization.header(for: "tok") == "Bearer tok" && APIAuthorization.header(for: "basic:dTpw") == "Basic dTpw")
    }

    @Test func secretsAreNotShownAndNotLost() throws {
        let shell = Shell(seed: 11)
        _ = try shell("init")
        _ = try shell("config", "--json", "API.Authorizations", #"{"a": {"AuthSecret": "s3cret", "AllowedPaths": ["/api/v0"]}}"#)
        let shown = try shell("config", "show")
        #expect(shown.code == 0 && !shown.output.contains("s3cret"))
        try shell.file("/work/new.json", shown.bytes)
        #expect(try shell("config", "replace", "/work/new.json").code == 0)
        #expect(try shell("config", "API.Authorizations").output.contains("s3cret"))
        #expect(try !shell("config", "profile", "apply", "test").output.contains("s3cret"))
    }

    @Test func whoeverListensEverywhereIsDialedOnTheLoopback() throws {
        let cases = [("/ip4/0.0.0.0/tcp/1", "127.0.0.1:1"), ("/ip6/::/tcp/2", "[::1]:2"), ("/ip4/10.0.0.7/tcp/3", "10.0.0.7:3")]
        for (text, host) in cases { #expect(HostText.of(try #require(Multiaddr(text)?.socketAddress(over: .tcp)).dialable) == host) }
    }

    @Test(arguments: ["evil.example", "evil.example:5101", "localhost.evil.example", "127.0.0.1.evil.example", "1.2.3", "1.2.3.4.5", "256.0.0.1", ""])
    func foreignHostNamesDoNot(host: String) { #expect(!admits(["host": host])) }
}
