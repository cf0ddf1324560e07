import Synchronization
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// Delegated routing for others: what this node can find out, over HTTP.
///
/// `GET /routing/v1/providers/{cid}`, `/peers/{peer-id}`, `/ipns/{name}`, `/dht/closest/peers/{key}`, `PUT /ipns/{name}`. Lists are JSON, or a
/// stream of one record a line where `Accept: application/x-ndjson` asks for it; `filter-addrs` and `filter-protocols` choose. Nothing found is
/// status 200 without records. Spec: specs.ipfs.tech/routing/http-routing-v1, IPIP-484, IPIP-513.
package final class DelegatedServer: GatewayHandler {
    static let prefix = "/routing/v1/"

    /// Who knows the answers.
    package struct Backend: Sendable {
        package var content: any ContentRouting
        package var peers: any PeerRouting
        package var names: NameSystem
        /// The peers closest to a key; nil without a hash table.
        package var closest: (@Sendable (Bytes) async throws -> [ContentProvider])?
        /// This node itself.
        package var own: @Sendable () -> ContentProvider

        package init(content: any ContentRouting, peers: any PeerRouting, names: NameSystem, own: @escaping @Sendable () -> ContentProvider) {
            self.content = content
            self.peers = peers
            self.names = names
            self.own = own
        }
    }

    private let backend: Backend
    private let system: any System
    private let active = Mutex(0)

    package init(_ backend: Backend, on system: any System) {
        self.backend = backend
        self.system = system
    }

    package func handles(_ path: String) -> Bool { path.hasPrefix(DelegatedServer.prefix) }

    private static let open: [(String, String)] = [
        ("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Methods", "GET, PUT, OPTIONS"), ("Access-Control-Allow-Headers", "Content-Type, Accept"),
    ]

    package func serve(_ request: any HTTPRequesting) async {
        let head = request.head
        if head.method == "OPTIONS" {
            request.begin(204, DelegatedServer.open)
            return request.finish()
        }
        let parts = head.path.dropFirst(DelegatedServer.prefix.count).split(separator: "/").map(String.init)
        guard let question = Question(parts) else { return await refuse(request, 400, "unknown path") }
        guard question.isSupported(head.method) else { return await refuse(request, 501, "this method is not supported here") }
        // What comes with a question is read first: who sends it slowly takes nobody's place.
        var body = Bytes()
        if head.method == "PUT" {
            guard let whole = await record(in: request) else { return }
            body = whole
        }
        guard begin() else { return await refuse(request, 429, "too many questions at once", [("Retry-After", "\(DelegatedLimits.retryAfter)")]) }
        defer { active.withLock { $0 -= 1 } }
        switch (question, head.method) {
        case (.providers(let text), _): await providers(text, request)
        case (.peers(let text), _): await peers(text, request)
        case (.closest(let text), _): await closest(text, request)
        case (.ipns(let text), "PUT"): await put(body, text, request)
        case (.ipns(let text), _): await get(text, request)
        case (.provide, _): await refuse(request, 501, "this server does not take announcements")
        }
    }

    private func begin() -> Bool {
        active.withLock { active in
            guard active < DelegatedLimits.searches else { return false }
            active += 1
            return true
        }
    }

    /// What a path asks.
    private enum Question {
        case providers(String)
        case provide
        case peers(String)
        case ipns(String)
        case closest(String)

        init?(_ parts: [String]) {
            switch (parts.first, parts.count) {
            case ("providers", 1), ("peers", 1): self = .provide
            case ("providers", 2): self = .providers(parts[1])
            case ("peers", 2): self = .peers(parts[1])
            case ("ipns", 2): self = .ipns(parts[1])
            case ("dht", 4) where parts[1] == "closest" && parts[2] == "peers": self = .closest(parts[3])
            default: return nil
            }
        }

        func isSupported(_ method: String) -> Bool {
            switch self {
            case .ipns: method == "GET" || method == "PUT"
            case .providers, .peers, .closest: method == "GET"
            case .provide: false
            }
        }
    }

    private func refuse(_ request: any HTTPRequesting, _ status: Int, _ text: String, _ headers: [(String, String)] = []) async {
        await request.answer(status, text + "\n", DelegatedServer.open + headers)
    }

    // MARK: Lists

    private func providers(_ text: String, _ request: any HTTPRequesting) async {
        guard let cid = CID(text) else { return await refuse(request, 422, "unable to parse CID") }
        await list("Providers", request) { [backend] found in
            try await backend.content.findProviders(of: cid) { await found(DelegatedRecord(peer: $0.peer, addresses: $0.addresses)) }
        }
    }

    private func peers(_ text: String, _ request: any HTTPRequesting) async {
        guard let peer = DelegatedServer.peer(text) else { return await refuse(request, 422, "unable to parse PeerID") }
        await list("Peers", request) { [backend] found in
            let own = backend.own()
            let addresses = try await peer == own.peer ? own.addresses : backend.peers.findPeer(peer)
            if !addresses.isEmpty { _ = await found(DelegatedRecord(peer: peer, addresses: addresses)) }
        }
    }

    private func closest(_ text: String, _ request: any HTTPRequesting) async {
        guard let closest = backend.closest else { return await refuse(request, 501, "the hash table is not available on this node") }
        let hash: Bytes
        if let peer = DelegatedServer.peer(text) { hash = peer.bytes } else if let cid = CID(text) { hash = cid.multihash.bytes } else {
            return await refuse(request, 422, "unable to parse as CID or PeerID")
        }
        await list("Peers", request) { found in
            for contact in try await closest(hash) where await !found(DelegatedRecord(peer: contact.peer, addresses: contact.addresses)) { return }
        }
    }

    /// A PeerID in any of its texts, or a CID of another codec that holds one.
    private static func peer(_ text: String) -> PeerID? {
        if let peer = PeerText.parse(text) { return peer }
        guard let cid = CID(text) else { return nil }
        do { return try PeerID(cid.multihash) } catch { return nil }
    }

    private typealias Search = @Sendable (_ found: @escaping @Sendable (DelegatedRecord) async -> Bool) async throws -> Void

    private func list(_ member: String, _ request: any HTTPRequesting, _ search: @escaping Search) async {
        guard let isStream = DelegatedServer.wantsStream(request.head) else { return await refuse(request, 406, "no supported content types") }
        let answer = Answer(request, filter: DelegatedFilter(request.head), isStream: isStream, now: system.wallTime)
        let home = system.home
        do {
            try await TimeLimit.run(DelegatedLimits.searchTime, on: home) {
                try await search { record in await home.run { await answer.take(record) } }
            }
        } catch is CancellationError {
            return
        } catch where answer.isEmpty && !DelegatedServer.isAbsence(error) {
            return await refuse(request, 500, "delegate error: \(CommandError(explaining: error).message)")
        } catch {}
        await answer.end(member)
    }

    /// Whether an error says only that there is nothing.
    private static func isAbsence(_ error: any Error) -> Bool {
        switch error {
        case RoutingError.notFound, KademliaError.notFound, KademliaError.noPeers: true
        default: false
        }
    }

    /// nil where neither form is accepted.
    private static func wantsStream(_ head: HTTPRequestHead) -> Bool? {
        guard let accept = head.headers["accept"], !accept.isEmpty else { return false }
        let types = accept.split(separator: ",").map { HeaderValue(String($0)).value.filter { $0 != " " }.lowercased() }
        if types.contains(DelegatedMedia.stream) { return true }
        return types.contains(DelegatedMedia.json) || types.contains("*/*") || types.contains("application/*") ? false : nil
    }

    /// Only on the home loop.
    private final class Answer: @unchecked Sendable {
        private let request: any HTTPRequesting
        private let filter: DelegatedFilter
        private let isStream: Bool
        private let now: WallTime
        private var listed: [JSON] = []
        private var count = 0
        private var isBroken = false

        init(_ request: any HTTPRequesting, filter: DelegatedFilter, isStream: Bool, now: WallTime) {
            self.request = request
            self.filter = filter
            self.isStream = isStream
            self.now = now
        }

        var isEmpty: Bool { count == 0 }

        /// Says whether more are wanted.
        func take(_ record: DelegatedRecord) async -> Bool {
            guard let wanted = filter.apply(record) else { return !isBroken }
            count += 1
            guard isStream else {
                listed.append(wanted.json)
                return listed.count < DelegatedLimits.listed
            }
            if count == 1 { begin(DelegatedMedia.stream) }
            do { try await request.write(Bytes(utf8: wanted.json.text() + "\n")) } catch { isBroken = true }
            return !isBroken && count < DelegatedLimits.records
        }

        private func begin(_ type: String) {
            let age = count > 0 ? DelegatedLimits.fresh : DelegatedLimits.freshEmpty
            request.begin(200, DelegatedServer.open + [
                ("Content-Type", type), ("Vary", "Accept"), ("Last-Modified", HTTPDate.text(now)),
                ("Cache-Control", DelegatedServer.cache(age, stale: DelegatedLimits.stale)),
            ])
        }

        func end(_ member: String) async {
            if isStream {
                if count == 0 { begin(DelegatedMedia.stream) }
            } else {
                begin(DelegatedMedia.json)
                var json = JSON.object(OrderedMap())
                json[member] = .array(listed)
                do { try await request.write(Bytes(utf8: json.text())) } catch { return }
            }
            request.finish()
        }
    }

    private static func cache(_ age: Int, stale: Int) -> String { "public, max-age=\(age), stale-while-revalidate=\(stale), stale-if-error=\(stale)" }

    // MARK: Names

    /// A name as the specification has it, a CIDv1.
    private static func name(_ text: String) -> IPNSName? { CID(text)?.codec == .libp2pKey ? IPNSName(text) : nil }

    private func get(_ text: String, _ request: any HTTPRequesting) async {
        let accept = request.head.headers["accept"] ?? ""
        guard accept.isEmpty || accept.contains("*/*") || accept.contains(DelegatedMedia.record) else {
            return await refuse(request, 406, "content type in 'Accept' header is not supported, retry with '\(DelegatedMedia.record)'")
        }
        guard let name = DelegatedServer.name(text) else { return await refuse(request, 422, "unable to parse the name: a CIDv1 of codec libp2p-key is wanted") }
        let record: IPNSRecord?
        do { record = try await backend.names.record(of: name, .init(limit: DelegatedLimits.searchTime)) } catch is CancellationError { return } catch {
            guard DelegatedServer.isAbsence(error) else { return await refuse(request, 500, "delegate error: \(CommandError(explaining: error).message)") }
            record = nil
        }
        guard let record else {
            let cache = DelegatedServer.cache(DelegatedLimits.freshEmpty, stale: DelegatedLimits.stale)
            return await refuse(request, 200, "delegate error: routing: not found", [("Cache-Control", cache)])
        }
        request.begin(200, DelegatedServer.open + headers(record, name))
        do { try await request.write(record.encoded) } catch { return }
        request.finish()
    }

    /// No cache may keep a record beyond its end.
    private func headers(_ record: IPNSRecord, _ name: IPNSName) -> [(String, String)] {
        let now = system.wallTime
        let end = record.validity ?? now
        let left = max(0, (end.nanoseconds - now.nanoseconds) / 1_000_000_000)
        let age = min(max(0, (record.timeToLive ?? .seconds(60)).wholeNanoseconds / 1_000_000_000), left)
        let digest = SHA256.hash(record.encoded).withUnsafeBytes { Bytes(copying: $0) }
        return [
            ("Content-Type", DelegatedMedia.record), ("Vary", "Accept"), ("Etag", "\"\(digest.prefix(16))\""), ("Expires", HTTPDate.text(end)),
            ("Last-Modified", HTTPDate.text(now)), ("Content-Disposition", "attachment; filename=\"\(name).ipns-record\""),
            ("Cache-Control", left > 0 ? DelegatedServer.cache(Int(age), stale: Int(left - age)) : "no-store"),
        ]
    }

    /// The record that comes with a question; nil when the question was refused or given up.
    private func record(in request: any HTTPRequesting) async -> Bytes? {
        guard request.head.headers["content-type"]?.contains(DelegatedMedia.record) == true else {
            await refuse(request, 406, "content type in 'Content-Type' header is missing or not supported, retry with '\(DelegatedMedia.record)'")
            return nil
        }
        let body = Mutex<(bytes: [UInt8], isWhole: Bool, isLong: Bool)>(([], false, false))
        do {
            try await TimeLimit.run(DelegatedLimits.bodyTime, on: system.home) {
                while let bytes = try await request.readBody() {
                    let isLong = body.withLock { body in
                        body.isLong = body.bytes.count + bytes.count > NamingLimits.record
                        if !body.isLong { body.bytes += bytes.array }
                        return body.isLong
                    }
                    if isLong { return }
                }
                body.withLock { $0.isWhole = true }
            }
        } catch { return nil }
        let (whole, isLong) = body.withLock { ($0.isWhole ? Bytes($0.bytes) : nil, $0.isLong) }
        if isLong { await refuse(request, 400, "provided record is too long") } else if whole == nil { await refuse(request, 408, "the record did not come in time") }
        return whole
    }

    private func put(_ body: Bytes, _ text: String, _ request: any HTTPRequesting) async {
        guard let name = DelegatedServer.name(text) else { return await refuse(request, 400, "unable to parse the name: a CIDv1 of codec libp2p-key is wanted") }
        let record: IPNSRecord
        do throws(IPNSError) {
            record = try IPNSRecord(decoding: body)
            try record.verify(name, at: system.wallTime)
        } catch {
            return await refuse(request, 400, "provided record is invalid: \(error)")
        }
        // Who knows nobody keeps it in its own part of the hash table.
        do { try await backend.names.share(record, of: name) } catch is CancellationError { return } catch KademliaError.noPeers {} catch {
            return await refuse(request, 500, "delegate error: \(CommandError(explaining: error).message)")
        }
        request.begin(200, DelegatedServer.open)
        request.finish()
    }
}
