import Testing
import WaggleBase

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

    @Test(arguments: ["evil.example", "evil.example:5101", "localhost.evil.example", "127.0.0.1.evil.example", "1.2.3", "1.2.3.4.5", "256.0.0.1", ""])
    func foreignHostNamesDoNot(host: String) { #expect(!admits(["host": host])) }
}
