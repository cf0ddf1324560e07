import Synchronization
import WaggleBase
import WaggleFormats

/// The RPC API: `POST /api/v0/<command>?arg=…&option=…`, compatible with Kubo's (its documentation: docs.ipfs.tech/reference/kubo/rpc).
package struct RPCServer: Sendable {
    package static let prefix = "/api/v0/"

    private let root: Command
    private let session: Session
    let policy: RPCPolicy

    package init(root: Command, session: Session, policy: RPCPolicy) {
        self.root = root
        self.session = session
        self.policy = policy
    }

    /// Answers one request whose path is below `/api/v0`.
    package func serve(_ exchange: HTTPExchange) async {
        let head = exchange.head
        let origin = policy.corsHeaders(for: head)
        switch head.method {
        case "OPTIONS":
            exchange.begin(204, [("Allow", "OPTIONS, POST")] + origin)
            return exchange.end()
        case "POST": break
        default:
            return await refuse(exchange, 405, "405 - Method Not Allowed", [("Allow", "OPTIONS, POST")])
        }
        guard policy.admits(head) else { return await refuse(exchange, 403, policy.refusal(of: head)) }
        guard policy.isAuthorized(head) else {
            return await refuse(exchange, 403, "RPC Access Denied: Please provide a valid authorization token as defined in the API.Authorizations configuration.")
        }
        var emitter: RPCEmitter?
        do {
            let request = try await parse(exchange)
            let number = session.daemon?.requests.begin(request, at: session.system.wallTime)
            defer { if let number { session.daemon?.requests.end(number, at: session.system.wallTime) } }
            let active = RPCEmitter(exchange, headers: origin + policy.extraHeaders, request: request)
            emitter = active
            try await Deadline.run(request.string("timeout"), on: session.system) {
                try await session.withRequest { try await request.command.run?(request, $0, active) }
            }
            active.finish(nil)
        } catch {
            let failure = CommandError(explaining: error)
            if let emitter { return emitter.finish(failure) }
            switch failure {
            case .notFound: await refuse(exchange, 404, "404 page not found")
            default: await refuse(exchange, 400, failure.message)
            }
        }
    }

    func refuse(_ exchange: HTTPExchange, _ status: Int, _ message: String, _ headers: [(String, String)] = []) async {
        exchange.begin(status, [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")] + headers)
        do { try await exchange.write(Bytes(utf8: message + "\n")) } catch { return }
        exchange.end()
    }

    /// The command and its arguments; a last path part that names no command is an argument.
    private func parse(_ exchange: HTTPExchange) async throws -> Request {
        let head = exchange.head
        guard head.path.hasPrefix(Self.prefix) else { throw CommandError.notFound }
        var path = head.path.dropFirst(Self.prefix.count).split(separator: "/").map(String.init)
        var words: [String] = []
        if root.descend(path) == nil, let last = path.popLast() { words.append(last) }
        guard !path.isEmpty, let command = root.descend(path), command.place != .client, command.run != nil else { throw CommandError.notFound }
        var definitions = root.options
        for depth in 1...path.count { definitions += root.descend(path.prefix(depth))?.options ?? [] }
        var options: [String: OptionValue] = [:]
        for (name, text) in head.query {
            if name == "arg" {
                words.append(text)
                continue
            }
            guard let option = definitions.last(where: { $0.names.contains(name) }) else { continue }
            let value = try OptionValue(parsing: text, as: option.kind, option: name)
            switch (options[option.name], value) {
            case (.array(let earlier)?, .array(let more)): options[option.name] = .array(earlier + more)
            case (nil, _): options[option.name] = value
            default: throw CommandError.client("expected key \(option.name) to have only a single value")
            }
        }
        let isMultipart = HeaderValue(head.headers["content-type"] ?? "").value == "multipart/form-data"
        let takesFiles = command.arguments.contains { $0.kind == .file }
        if !isMultipart, let file = command.arguments.first(where: { $0.kind == .file && $0.isRequired }) {
            throw CommandError.client("file argument '\(file.name)' is required")
        }
        var files: (any FileTree)? = isMultipart ? try MultipartFiles(exchange) : nil
        let strings = command.arguments.filter { $0.kind == .string }
        if let body = files, !takesFiles, strings.last?.readsInput == true, words.count < strings.count {
            words += try await Self.lines(of: body)
            files = nil
        }
        let assigned = try command.onlyStrings.assign(words, hasInput: false)
        var request = Request(path: path, command: command, arguments: assigned.strings, options: options, files: files)
        request.fillDefaults(definitions)
        return request
    }

    /// Arguments that came as lines of a body.
    private static func lines(of files: any FileTree) async throws -> [String] {
        var text: [UInt8] = []
        while try await files.next() != nil {
            while let bytes = try await files.read() {
                text += bytes.array
                guard text.count <= 16 << 20 else { throw CommandError.client("more than 16 MiB of arguments in the body") }
            }
        }
        return String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
    }
}

extension Command {
    /// The command as the query sees it: files come in the body.
    var onlyStrings: Command {
        var copy = self
        copy.arguments = arguments.filter { $0.kind == .string }
        return copy
    }
}

extension CommandError {
    static let notFound = CommandError("404 page not found", code: .client)
}

/// Runs work under the `--timeout` option.
enum Deadline {
    static func run(_ text: String?, on system: any System, _ work: @escaping @Sendable () async throws -> Void) async throws {
        guard let text else { return try await work() }
        guard let limit = GoDuration.parse(text) else { throw CommandError.client("time: invalid duration \"\(text)\"") }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask(executorPreference: system.home.taskExecutor) {
                try await work()
                return true
            }
            group.addTask(executorPreference: system.home.taskExecutor) {
                try await system.home.sleep(until: system.home.now + limit)
                return false
            }
            defer { group.cancelAll() }
            if try await group.next() == false { throw CommandError("context deadline exceeded") }
        }
    }
}

/// Durations as Go writes them: `1h2m3.5s`, `300ms`.
package enum GoDuration {
    package static func parse(_ text: String) -> Duration? {
        var rest = Substring(text)
        let negative = rest.first == "-"
        if negative || rest.first == "+" { rest.removeFirst() }
        if rest == "0" { return .zero }
        guard !rest.isEmpty else { return nil }
        var total = 0.0
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isNumber || $0 == "." }
            guard let value = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter || $0 == "µ" }
            rest = rest.dropFirst(unit.count)
            switch unit {
            case "h": total += value * 3600
            case "m": total += value * 60
            case "s": total += value
            case "ms": total += value / 1e3
            case "us", "µs", "μs": total += value / 1e6
            case "ns": total += value / 1e9
            default: return nil
            }
        }
        guard total < 9e9 else { return nil }
        return .seconds(negative ? -total : total)
    }

    /// The duration as Go prints it: `2h45m0s`, `1.5s`, `300ms`.
    package static func text(_ duration: Duration) -> String {
        let nanoseconds = duration.wholeNanoseconds
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let size = nanoseconds.magnitude
        if size < 1_000_000_000 {
            let (unit, scale): (String, UInt64) = size < 1000 ? ("ns", 1) : size < 1_000_000 ? ("µs", 1000) : ("ms", 1_000_000)
            return sign + decimal(size, scale) + unit
        }
        let minutes = size / 60_000_000_000
        let seconds = decimal(size % 60_000_000_000, 1_000_000_000) + "s"
        if minutes == 0 { return sign + seconds }
        return minutes < 60 ? "\(sign)\(minutes)m\(seconds)" : "\(sign)\(minutes / 60)h\(minutes % 60)m\(seconds)"
    }

    private static func decimal(_ value: UInt64, _ scale: UInt64) -> String {
        let (whole, rest) = value.quotientAndRemainder(dividingBy: scale)
        guard rest > 0 else { return "\(whole)" }
        var digits = String(rest)
        digits = String(repeating: "0", count: String(scale).count - 1 - digits.count) + digits
        while digits.last == "0" { digits.removeLast() }
        return "\(whole).\(digits)"
    }
}

/// Sends a command's output the way Kubo's clients expect it.
final class RPCEmitter: Emitter, @unchecked Sendable {
    private let exchange: HTTPExchange
    private let headers: [(String, String)]
    // Touched by the command's task alone.
    private var length: UInt64?
    private var contentType: String?
    /// Values are sent as text where that was asked for.
    private let text: ((JSON) throws -> String)?

    init(_ exchange: HTTPExchange, headers: [(String, String)], request: Request) {
        self.exchange = exchange
        self.headers = headers
        let wantsText = request.string("encoding") == "text" && exchange.head.query.contains { $0.name == "encoding" || $0.name == "enc" }
        text = wantsText ? request.command.text.map { render in { try render($0, request) } } : nil
    }

    func setLength(_ length: UInt64) { self.length = length }
    func setContentType(_ type: String) { contentType = type }

    func begin() async throws { begin(type: text == nil ? "application/json" : "text/plain", [("X-Chunked-Output", "1")]) }
    func emit(_ value: JSON) async throws { try await send(value, [("X-Chunked-Output", "1")]) }
    func emitOnce(_ value: JSON) async throws { try await send(value, []) }

    private func send(_ value: JSON, _ kind: [(String, String)]) async throws {
        let bytes = Bytes(utf8: try text.map { try $0(value) } ?? value.text() + "\n")
        begin(type: text == nil ? "application/json" : "text/plain", kind)
        try await exchange.write(bytes)
    }

    func write(_ bytes: Bytes) async throws {
        begin(type: "text/plain", [("X-Stream-Output", "1")])
        try await exchange.write(bytes)
    }

    func finish(_ failure: CommandError?) {
        guard let failure else {
            begin(type: contentType == nil ? "text/plain" : "", length == nil && contentType == nil ? [] : [("X-Stream-Output", "1")])
            return exchange.end()
        }
        if exchange.hasBegun { return exchange.end(trailer: ("X-Stream-Error", failure.headerText)) }
        exchange.begin(failure.code == .client ? 400 : 500, [("Content-Type", "application/json")] + common)
        exchange.endAfter(Bytes(utf8: failure.json.text() + "\n"))
    }

    private var common: [(String, String)] {
        let exposed = "X-Stream-Output, X-Chunked-Output, X-Content-Length"
        return [
            ("Access-Control-Allow-Headers", exposed), ("Access-Control-Expose-Headers", exposed), ("Server", "waggle/\(WaggleVersion.number)"),
            ("Trailer", "X-Stream-Error"), ("Vary", "Origin"),
        ] + headers
    }

    private func begin(type: String, _ kind: [(String, String)]) {
        guard !exchange.hasBegun else { return }
        var fields = [("Content-Type", contentType ?? type)] + kind + common
        if let length { fields.append(("X-Content-Length", length.description)) }
        exchange.begin(200, fields)
    }
}

extension CommandError {
    /// The message on one line, as a header field can carry it.
    var headerText: String {
        var text = ""
        for scalar in message.unicodeScalars {
            text.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7f ? " " : scalar)
        }
        return text
    }
}
