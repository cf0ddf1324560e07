import Synchronization
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// A router on a server elsewhere, asked over HTTP.
///
/// `GET /routing/v1/providers/{cid}`, `GET /routing/v1/peers/{peer}`, `GET` and `PUT /routing/v1/ipns/{name}`; lists come as a stream where the
/// server can. It is not told what this node provides: the specification has no way for that. Spec: specs.ipfs.tech/routing/http-routing-v1.
package final class DelegatedRouter: ContentRouting, PeerRouting, ValueRouting {
    /// What a server can be asked.
    package enum Subject: String, CaseIterable, Sendable { case providers, peers, ipns }

    /// What this one is asked: all, unless its address ends with one of them.
    package let subjects: Set<Subject>
    private let base: String
    private let system: any System
    private let agent: String
    private let filter: DelegatedFilter
    private let state = Mutex(RouterRest())

    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case badAddress(String)
        /// It failed lately and is left alone for a while.
        case resting
        /// What it said beside, and for how long it wants to be left alone.
        case status(Int, String, retryAfter: Duration?)
        case timedOut

        package var description: String {
            switch self {
            case .badAddress(let text):
                "\"\(text)\" is not the address of a router: http:// or https:// and a host, maybe with /routing/v1, /routing/v1/providers, …/peers or …/ipns"
            case .resting: "the router failed lately and is not asked for a while"
            case .status(let status, let text, _): "the router answered with status \(status)" + (text.isEmpty ? "" : ": \(text)")
            case .timedOut: "the router did not answer in time"
            }
        }
    }

    /// - Parameter address: `https://host` or the same with `/routing/v1` behind it, and behind that maybe the one thing it is asked for.
    package init(_ address: String, agent: String, system: any System) throws(Failure) {
        var text = address
        while text.hasSuffix("/") { text.removeLast() }
        let subject = Subject.allCases.first { text.hasSuffix("/routing/v1/\($0.rawValue)") }
        if let subject { text.removeLast(subject.rawValue.utf8.count + 1) }
        subjects = subject.map { [$0] } ?? Set(Subject.allCases)
        if text.hasSuffix("/routing/v1") { text.removeLast("/routing/v1".count) }
        guard let scheme = ["https://", "http://"].first(where: text.hasPrefix) else { throw .badAddress(address) }
        let host = text.dropFirst(scheme.count)
        let isSound = host.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7f && !["/", "?", "#", "@"].contains($0) }
        guard !host.isEmpty, isSound else { throw .badAddress(address) }
        base = text + "/routing/v1"
        self.agent = agent
        self.system = system
        var filter = DelegatedFilter()
        // Those who speak bitswap, and those who do not say what they speak.
        filter.protocols = ["transport-bitswap", "unknown"]
        self.filter = filter
    }

    /// The paths below `/routing/v1`, for tests.
    static func path(of cid: CID) -> String { "/providers/\(cid.v1)" }
    static func path(of peer: PeerID) -> String { "/peers/\(peer.cidText(base: .base36))" }
    static func path(of name: IPNSName) -> String { "/ipns/\(name)" }

    // MARK: Questions

    package func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        try await list(DelegatedRouter.path(of: cid), "Providers") { await found(ContentProvider(peer: $0.peer, addresses: $0.addresses)) }
    }

    package func provide(_ cid: CID) async throws { throw RoutingError.unsupported }

    package func findPeer(_ peer: PeerID) async throws -> [Multiaddr] {
        let addresses = Mutex<[Multiaddr]>([])
        try await list(DelegatedRouter.path(of: peer), "Peers") { record in
            guard record.peer == peer else { return true }
            addresses.withLock { $0 = record.addresses }
            return record.addresses.isEmpty
        }
        return addresses.withLock { $0 }
    }

    package func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        guard let name = IPNSName(routingKey: key) else { throw RoutingError.unsupported }
        var request = request("GET", DelegatedRouter.path(of: name))
        request.headers.append(("Accept", DelegatedMedia.record))
        let value = try await run(request) { exchange -> Bytes? in
            let head = try await exchange.head()
            // Other types, and 404, mean that there is no record.
            if head.status == 404 { return nil }
            try await DelegatedRouter.check(head, exchange)
            guard head.headers["content-type"]?.contains(DelegatedMedia.record) == true else { return nil }
            return try await DelegatedRouter.body(exchange, limit: NamingLimits.record)
        }
        guard let value else { return }
        try IPNSValidator().validate(value, for: key, at: system.wallTime)
        _ = await found(value)
    }

    package func putValue(_ value: Bytes, for key: Bytes) async throws {
        guard let name = IPNSName(routingKey: key) else { throw RoutingError.unsupported }
        var request = request("PUT", DelegatedRouter.path(of: name))
        request.headers.append(("Content-Type", DelegatedMedia.record))
        request.length = value.count
        let sent = Mutex(false)
        try await run(request, body: { sent.withLock { sent in
            defer { sent = true }
            return sent ? nil : value
        } }) { exchange in try await DelegatedRouter.check(try await exchange.head(), exchange) }
    }

    private func list(_ path: String, _ member: String, _ found: @Sendable (DelegatedRecord) async -> Bool) async throws {
        var request = request("GET", path + "?filter-protocols=" + filter.protocols.joined(separator: ","))
        request.headers.append(("Accept", "\(DelegatedMedia.stream),\(DelegatedMedia.json)"))
        // The closure does not outlive this call: `run` waits for all that it starts.
        try await withoutActuallyEscaping(found) { found in
            try await run(request) { [filter] exchange in
                let head = try await exchange.head()
                if head.status == 404 { return }
                try await DelegatedRouter.check(head, exchange)
                let type = HeaderValue(head.headers["content-type"] ?? "").value
                guard type == DelegatedMedia.stream || type == DelegatedMedia.json else { throw DelegatedReader.Failure.malformed("its type is \(type)") }
                var reader = DelegatedReader(isStream: type == DelegatedMedia.stream, member: member)
                while !reader.isFull, let bytes = try await exchange.read() {
                    for record in try reader.feed(bytes) { if let wanted = filter.apply(record), await !found(wanted) { return } }
                }
                for record in try reader.finish() { if let wanted = filter.apply(record), await !found(wanted) { return } }
            }
        }
    }

    // MARK: HTTP

    private func request(_ method: String, _ path: String) -> HTTPClientExchange.Request {
        var request = HTTPClientExchange.Request(method, base + path)
        request.headers = [("User-Agent", agent)]
        request.redirects = DelegatedLimits.redirects
        request.usesProxies = true
        request.connectTimeout = DelegatedLimits.connectTime
        return request
    }

    /// Sends a request and reads the answer within the time, unless the router rests.
    private func run<R: Sendable>(
        _ request: HTTPClientExchange.Request, body: (@Sendable () async throws -> Bytes?)? = nil,
        _ handle: @escaping @Sendable (HTTPClientExchange) async throws -> R
    ) async throws -> R {
        let home = system.home
        guard state.withLock({ $0.until <= home.now }) else { throw Failure.resting }
        let result = Mutex<R?>(nil)
        do {
            try await home.run { [system] in
                try await TimeLimit.run(DelegatedLimits.time, on: home) {
                    let value = try await HTTPClientExchange.send(request, body: body, system: system, handle: handle)
                    result.withLock { $0 = value }
                }
            }
            guard let value = result.withLock({ $0 }) else { throw Failure.timedOut }
            state.withLock { $0 = RouterRest() }
            return value
        } catch {
            if !(error is CancellationError), !Task.isCancelled { state.withLock { $0.failed(error, at: home.now) } }
            throw error
        }
    }

    private static func check(_ head: HTTPResponseHead, _ exchange: HTTPClientExchange) async throws {
        guard head.status != 200 else { return }
        let text = try await body(exchange, limit: 1024, cuts: true).utf8 ?? ""
        let retryAfter = head.headers["retry-after"].flatMap { Int64($0) }.map { Duration.seconds(max(0, min($0, 86_400))) }
        // It may be shown on a terminal.
        let line = (text.split(whereSeparator: \.isNewline).first ?? "").unicodeScalars.filter { (0x20...0x7e).contains($0.value) }
        throw Failure.status(head.status, String(String.UnicodeScalarView(line)), retryAfter: retryAfter)
    }

    /// The whole body; longer ones are refused, or cut.
    private static func body(_ exchange: HTTPClientExchange, limit: Int, cuts: Bool = false) async throws -> Bytes {
        var writer = ByteWriter()
        while let bytes = try await exchange.read() {
            guard writer.count + bytes.count <= limit else {
                guard cuts else { throw DelegatedReader.Failure.tooLarge }
                writer.write(bytes.prefix(limit - writer.count))
                break
            }
            writer.write(bytes)
        }
        return writer.finish()
    }
}

/// Until when a router is left alone that failed: longer with each failure, or as long as it asks for.
struct RouterRest: Sendable {
    private var failures = 0
    private(set) var until = Instant(nanoseconds: 0)

    mutating func failed(_ error: any Error, at now: Instant) {
        var wanted = Duration.zero
        if case DelegatedRouter.Failure.status(let status, _, let retryAfter) = error {
            // Who refuses one question may answer others.
            guard status == 429 || (status >= 500 && status != 501) else { return }
            wanted = retryAfter ?? .zero
        }
        let rest = max(DelegatedLimits.firstRest * (1 << failures), wanted)
        failures = min(failures + 1, 10)
        until = now + min(rest, DelegatedLimits.longestRest)
    }
}
