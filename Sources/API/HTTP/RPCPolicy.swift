import WaggleBase
import WaggleCryptography
import WaggleFormats

/// Who may use the RPC API: its address is bound to the loopback by default, and a page in a browser must not reach it.
package struct RPCPolicy: Sendable {
    /// `API.HTTPHeaders` of the configuration.
    package var headers: [String: [String]] = [:]
    /// Host names besides literal addresses and `localhost` that requests may name, without port.
    package var hosts: Set<String> = ["localhost"]
    /// Port that the API listens on, for the origins that are its own.
    package var port: UInt16

    /// Who must show a secret; nil when nobody must.
    package var authorizations: [APIAuthorization]?

    /// - Parameter hosts: `Waggle.APIHosts` of the configuration.
    package init(port: UInt16, headers: [String: [String]] = [:], hosts: [String] = [], authorizations: [APIAuthorization]? = nil) {
        self.port = port
        self.headers = headers
        self.hosts.formUnion(hosts.map { $0.lowercased() })
        self.authorizations = authorizations
    }

    /// Kubo's rules: an `Origin` (or, without one, a `Referer`) must be allowed; a browser without either is refused. The `Host` must be an
    /// address or a known name, so that a foreign name that resolves to the loopback (DNS rebinding) does not get in.
    func admits(_ head: HTTPRequestHead) -> Bool {
        guard admits(host: head.headers["host"]) else { return false }
        if let origin = head.headers["origin"] { return isAllowed(origin) }
        if let referer = head.headers["referer"] { return isAllowed(Self.origin(of: referer)) }
        return !(head.headers["user-agent"] ?? "").hasPrefix("Mozilla")
    }

    /// Whether the request shows a secret that is good for its path, where one is needed.
    func isAuthorized(_ head: HTTPRequestHead) -> Bool {
        guard let authorizations else { return true }
        guard let shown = head.headers["authorization"] else { return false }
        return authorizations.contains { $0.isShown(by: shown) && ($0.allows(head.path) || head.path == RPCServer.prefix + "version") }
    }

    /// What may be read with GET: a browser may open it, other sites' pages may not.
    func admitsReading(_ head: HTTPRequestHead) -> Bool { admits(host: head.headers["host"]) && head.headers["origin"].map(isAllowed) ?? true }

    /// What one who is not admitted is told.
    func refusal(of head: HTTPRequestHead) -> String {
        let isKnown = admits(host: head.headers["host"])
        return "403 - Forbidden" + (isKnown ? "" : ": requests may not use this host name; an address does, or a name in Waggle.APIHosts of the configuration")
    }

    func admits(host: String?) -> Bool {
        guard var name = host.map({ Substring($0) }) else { return true }
        if name.hasPrefix("[") { return name.contains("]") }
        if let colon = name.lastIndex(of: ":") { name = name[..<colon] }
        if hosts.contains(name.lowercased()) { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }

    /// The browser extensions that control a local node.
    private static let extensions: Set<String> = [
        "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch", "chrome-extension://hjoieblefckbooibpepigmacodalfndh",
    ]

    private func isAllowed(_ origin: String) -> Bool {
        if Self.extensions.contains(origin) { return true }
        let own = ["localhost", "127.0.0.1", "[::1]"].flatMap { ["http://\($0):\(port)", "https://\($0):\(port)"] }
        if own.contains(origin) { return true }
        return allowedOrigins.contains { $0 == "*" || $0 == origin }
    }

    private var allowedOrigins: [String] {
        headers.first { $0.key.lowercased() == "access-control-allow-origin" }?.value ?? []
    }

    private static func origin(of url: String) -> String {
        let parts = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        return parts.count >= 3 ? parts[0] + "//" + parts[2] : url
    }

    /// Fields that let an allowed page read the answer.
    func corsHeaders(for head: HTTPRequestHead) -> [(String, String)] {
        guard let origin = head.headers["origin"], isAllowed(origin) else { return [] }
        let methods = headers.first { $0.key.lowercased() == "access-control-allow-methods" }?.value ?? ["GET", "POST", "PUT"]
        return [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Methods", methods.joined(separator: ", "))]
    }

    /// Configured fields that are not part of the exchange with browsers.
    var extraHeaders: [(String, String)] {
        headers.filter { !$0.key.lowercased().hasPrefix("access-control-allow-") }
            .flatMap { field in field.value.map { (field.key, $0) } }.sorted { $0.0 < $1.0 }
    }
}

/// An entry of `API.Authorizations`: a secret, and what may be asked with it.
package struct APIAuthorization: Sendable {
    /// The value of the field `Authorization` that shows the secret; nil for a secret of a kind that is not known, which nobody can show.
    let header: String?
    /// Beginnings of paths, such as `/api/v0/pubsub`.
    let paths: [String]

    init(secret: String, paths: [String]) {
        header = Self.header(for: secret)
        self.paths = paths
    }

    /// `bearer:token`, `basic:user:password`, `basic:` and base64, or a token alone.
    static func header(for secret: String) -> String? {
        let parts = secret.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard !secret.isEmpty else { return nil }
        guard parts.count == 2 else { return "Bearer " + secret }
        switch parts[0] {
        case "bearer": return "Bearer " + parts[1]
        case "basic": return "Basic " + (parts[1].contains(":") ? Multibase.base64pad.encode(Bytes(utf8: parts[1]), prefixed: false) : parts[1])
        default: return nil
        }
    }

    /// Compares in the same time wherever a difference is.
    func isShown(by field: String) -> Bool {
        guard let header else { return false }
        let (left, right) = (Array(header.utf8), Array(field.utf8))
        return left.count == right.count && left.withUnsafeBytes { left in right.withUnsafeBytes { ConstantTime.equal(left, $0) } }
    }

    /// Whole parts of a path count: `/api/v0/id` does not allow `/api/v0/identity`.
    func allows(_ path: String) -> Bool {
        paths.contains { path.hasPrefix($0) && ($0.hasSuffix("/") || path.utf8.count == $0.utf8.count || path.utf8.dropFirst($0.utf8.count).first == UInt8(ascii: "/")) }
    }
}
