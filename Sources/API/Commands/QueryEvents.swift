import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// What happens in a search for peers, providers or values, on its way to whoever watches a command.
///
/// JSON as Kubo's: `{"Extra": …, "ID": …, "Responses": [{"Addrs": […], "ID": …}], "Type": …}`.
final class QueryEvents: Sendable {
    /// libp2p's numbers.
    enum Kind: Int {
        case sendingQuery, peerResponse, finalPeer, queryError, provider, value, addingPeer, dialingPeer
    }

    /// Events that wait for a slow reader; of more the steps of the search are left out, never its results.
    private static let waiting = 1024

    private let queue = Mutex<(events: Deque<JSON>, isDone: Bool)>((Deque(), false))
    private let home: any EventLoop
    private let arrived: Waiter

    private init(on home: any EventLoop) {
        self.home = home
        arrived = Waiter(on: home)
    }

    /// Runs a search and emits its events as they come. `tellsClosest` also emits the peers at which it ended.
    static func run(
        _ session: Session, _ emitter: any Emitter, tellsClosest: Bool = false, _ search: @escaping @Sendable (QueryEvents) async throws -> Void
    ) async throws {
        let home = session.system.home
        let events = QueryEvents(on: home)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask(executorPreference: home.taskExecutor) {
                defer { events.end() }
                try await KademliaTrace.watch({ events.step($0, tellsClosest) }) { try await search(events) }
            }
            do {
                while let event = try await events.next() { try await emitter.emit(event) }
                try await group.waitForAll()
            } catch {
                group.cancelAll()
                throw error
            }
        }
    }

    // MARK: Telling

    func tell(_ kind: Kind, _ peer: PeerID? = nil, _ responses: [ContentProvider]? = nil, extra: String = "") {
        add(QueryEvents.event(kind, peer, responses, extra: extra))
    }

    static func event(_ kind: Kind, _ peer: PeerID? = nil, _ responses: [ContentProvider]? = nil, extra: String = "") -> JSON {
        let listed = responses.map { responses in
            JSON.array(responses.map { ["Addrs": .strings($0.addresses.map(\.description)), "ID": .string($0.peer.description)] })
        }
        return ["Extra": .string(extra), "ID": .string(peer?.description ?? ""), "Responses": listed ?? .null, "Type": JSON(kind.rawValue)]
    }

    private func add(_ event: JSON, isStep: Bool = false) {
        queue.withLock { if !isStep || $0.events.count < QueryEvents.waiting { $0.events.append(event) } }
        home.execute { [arrived] in arrived.wake() }
    }

    private func step(_ event: KademliaEvent, _ tellsClosest: Bool) {
        switch event {
        case .asking(let peer): add(QueryEvents.event(.sendingQuery, peer), isStep: true)
        case .answered(let peer, let closer):
            add(QueryEvents.event(.peerResponse, peer, closer.map { ContentProvider(peer: $0.peer, addresses: $0.addresses) }), isStep: true)
        case .failed(let peer, let reason): add(QueryEvents.event(.queryError, peer, extra: reason), isStep: true)
        case .closest(let contacts) where tellsClosest: for contact in contacts { add(QueryEvents.event(.finalPeer, contact.peer)) }
        case .value, .provider, .closest: break
        }
    }

    private func end() {
        queue.withLock { $0.isDone = true }
        home.execute { [arrived] in arrived.wake() }
    }

    private func next() async throws -> JSON? {
        try await home.run {
            while true {
                let (event, isDone) = self.queue.withLock { ($0.events.popFirst(), $0.isDone) }
                if let event { return event }
                if isDone { return nil }
                try await self.arrived.wait()
            }
        }
    }

    // MARK: As text

    /// How an event looks on a terminal; `special` says it for those that mean something else in a command.
    static func text(_ event: JSON, _ request: Request, _ special: (Kind, JSON, Bool) -> String? = { _, _, _ in nil }) -> String {
        let isVerbose = request.flag("verbose")
        guard let kind = event["Type"]?.int.flatMap(Kind.init(rawValue:)) else { return "" }
        return special(kind, event, isVerbose) ?? usual(kind, event, isVerbose)
    }

    private static func usual(_ kind: Kind, _ event: JSON, _ isVerbose: Bool) -> String {
        let peer = event["ID"]?.string ?? ""
        let extra = event["Extra"]?.string ?? ""
        guard isVerbose else { return kind == .value ? extra : "" }
        switch kind {
        case .sendingQuery: return "* querying \(peer)\n"
        case .value: return "got value: '\(extra)'\n"
        case .peerResponse: return "* \(peer) says use \((event["Responses"]?.array ?? []).compactMap { $0["ID"]?.string }.map { $0 + " " }.joined())\n"
        case .queryError: return "error: \(extra)\n"
        case .dialingPeer: return "dialing peer: \(peer)\n"
        case .addingPeer: return "adding peer to query: \(peer)\n"
        case .finalPeer, .provider: return ""
        }
    }
}

/// Shows events on a terminal; with `--verbose` each begins with the time of day in UTC.
final class QueryPresenter: Presenter, @unchecked Sendable {
    private let request: Request
    private let console: any Console
    private let text: Command.Text
    private let began: Instant

    init(_ request: Request, _ console: any Console, _ text: @escaping Command.Text) {
        self.request = request
        self.console = console
        self.text = text
        began = console.loop.now
    }

    func value(_ value: JSON) async throws {
        let text = try text(value, request)
        if !text.isEmpty { try console.print(time + text) }
    }

    private var time: String {
        guard request.flag("verbose"), let start = request.startedAt else { return "" }
        let milliseconds = (start + (console.loop.now - began)).nanoseconds / 1_000_000 % 86_400_000
        func padded(_ value: Int64, _ count: Int) -> String { String(repeating: "0", count: max(0, count - "\(value)".count)) + "\(value)" }
        let seconds = milliseconds / 1000
        return "\(padded(seconds / 3600, 2)):\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2)).\(padded(milliseconds % 1000, 3)): "
    }
}
