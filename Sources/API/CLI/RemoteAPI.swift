import WaggleBase
import WaggleFormats

/// A daemon's RPC API as the command line uses it.
package struct RemoteAPI: Sendable {
    private let url: String
    private let system: any System
    private let authorization: String?

    /// The daemon that should run `request`: the one that `--api` names, else the one that the repository's `api` file names, if it
    /// answers; nil to run the command in this process.
    static func find(_ request: Request, repository: String, system: any System) async throws -> RemoteAPI? {
        if request.command.place == .client || request.command.needs == .nothing && request.string("api") == nil { return nil }
        // A daemon knows its own configuration file, not another one.
        if request.command.needs == .configuration, request.string("config-file") ?? request.string("config") != nil { return nil }
        if let text = request.string("api") {
            guard let address = APIAddress(text) else { throw CommandError.client("--api \(text) is not an address such as /ip4/127.0.0.1/tcp/5101") }
            guard await answers(address, system) else {
                throw Self.unreachable
            }
            return RemoteAPI(address, request, system)
        }
        if request.flag("local") { return nil }
        guard let address = try noted(in: repository, system), await answers(address, system) else { return nil }
        return RemoteAPI(address, request, system)
    }

    /// Whether a daemon answers at the address in the repository's `api` file.
    static func isRunning(at repository: String, on system: any System) async throws -> Bool {
        guard let address = try noted(in: repository, system) else { return false }
        return await answers(address, system)
    }

    /// What the repository's `api` file says.
    private static func noted(in repository: String, _ system: any System) throws -> APIAddress? {
        let path = repository + "/api"
        guard let status = try system.files.status(path), status.kind == .file else { return nil }
        let text = try system.files.read(path, limit: 4096).utf8 ?? ""
        return APIAddress(String(text.filter { !$0.isWhitespace }))
    }

    private static let unreachable = CommandError(
        "cannot connect to the api. Is the daemon running? To run as a standalone CLI command remove the api file in `$IPFS_PATH/api`")

    private init(_ address: APIAddress, _ request: Request, _ system: any System) {
        url = address.url + RPCServer.prefix
        authorization = request.string("api-auth")
        self.system = system
    }

    /// Names are looked up when the request is made.
    private static func answers(_ address: APIAddress, _ system: any System) async -> Bool {
        guard let host = address.socket else { return true }
        do {
            let socket = try await system.network.connect(to: host, from: nil, on: system.home)
            socket.close(abort: true)
            return true
        } catch {
            return false
        }
    }

    /// Runs `request` on the daemon and hands its output to `presenter`.
    func execute(_ request: Request, _ presenter: any Presenter) async throws {
        let writer = request.files.map { MultipartWriter($0, boundary: Self.boundary(system)) }
        var headers = [("Content-Type", writer?.contentType ?? "application/octet-stream"), ("User-Agent", "waggle-cli")]
        if let authorization { headers.append(("Authorization", authorization.contains(" ") ? authorization : APIAuthorization.header(for: authorization) ?? authorization)) }
        var body: (@Sendable () async throws -> Bytes?)?
        if let writer { body = { try await writer.read() } }
        do {
            try await HTTPClientExchange.post(url + query(request), headers: headers, body: body, system: system) { exchange in
                try await receive(exchange, presenter)
            }
        } catch HTTPClientError.connectionRefused {
            throw Self.unreachable
        } catch HTTPClientError.failed(let sentence) {
            throw CommandError("the connection to the daemon broke: \(sentence)")
        }
    }

    private static func boundary(_ system: any System) -> String {
        system.randomBytes(24).map { String($0 & 15, radix: 16) }.joined()
    }

    private func query(_ request: Request) -> String {
        // What is about this terminal stays here.
        let own: Set<String> = ["api", "api-auth", "encoding", "help", "h", "debug", "repo-dir", "config-file", "config", "local", "offline-client"]
        var items = request.arguments.map { ("arg", $0) }
        for (name, value) in request.options.sorted(by: { $0.key < $1.key }) where !own.contains(name) {
            items += value.texts.map { (name, $0) }
        }
        let text = items.map { "\($0.0)=\(PercentCoding.encode($0.1))" } + ["encoding=json", "stream-channels=true"]
        return request.path.joined(separator: "/") + "?" + text.joined(separator: "&")
    }

    private func receive(_ exchange: HTTPClientExchange, _ presenter: any Presenter) async throws {
        let head = try await exchange.head()
        let type = HeaderValue(head.headers["content-type"] ?? "").value
        guard head.status < 400 else { throw try await failure(exchange, head.status, type) }
        if let length = head.headers["x-content-length"].flatMap({ UInt64($0) }) { presenter.length(length) }
        if type == "application/json", head.headers["x-stream-output"] == nil {
            var splitter = LineSplitter()
            while let bytes = try await exchange.read() {
                for line in splitter.split(bytes) { try await presenter.value(try JSON(parsing: Bytes(line))) }
            }
            if let rest = splitter.rest { try await presenter.value(try JSON(parsing: Bytes(rest))) }
        } else {
            while let bytes = try await exchange.read() { try await presenter.bytes(bytes) }
        }
        if let message = exchange.trailer("x-stream-error"), !message.isEmpty { throw CommandError(message) }
    }

    private func failure(_ exchange: HTTPClientExchange, _ status: Int, _ type: String) async throws -> CommandError {
        var body: [UInt8] = []
        while let bytes = try await exchange.read(), body.count < 1 << 20 { body += bytes.array }
        if status == 404 { return .client("Command not found.") }
        if type == "application/json", let json = try? JSON(parsing: Bytes(body)), let error = CommandError(json: json) { return error }
        var message = String(decoding: body, as: UTF8.self)
        while message.last?.isNewline == true { message.removeLast() }
        return CommandError(message, code: status == 400 ? .client : .normal)
    }
}

/// Cuts bytes into lines.
struct LineSplitter {
    private var pending: [UInt8] = []

    mutating func split(_ bytes: Bytes) -> [[UInt8]] {
        pending += bytes.array
        var lines: [[UInt8]] = []
        while let end = pending.firstIndex(of: 0x0a) {
            if end > 0 { lines.append(Array(pending[..<end])) }
            pending.removeSubrange(...end)
        }
        return lines
    }

    var rest: [UInt8]? { pending.allSatisfy { $0 == 0x20 || $0 == 0x0d } ? nil : pending }
}
