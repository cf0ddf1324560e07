import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `provide stat`, `clear`, `once`: what is told to the network of what this node has.
enum ProvideCommands {
    static let command: Command = Command(
        "provide", "Control and monitor content providing",
        description: """
            The provide system publishes provider records so that other peers can discover which nodes hold each CID. New content is announced as it
            comes, and all of it again every Provide.DHT.Interval, according to Provide.Strategy: all, pinned or roots.
            """,
        example: "> waggle provide stat\n> waggle provide once <cid>", subcommands: [clear, once, ProvideStatistics.stat])

    /// The one that announces; throws `disabled` where nothing is.
    static func announcer(_ session: Session, _ disabled: String) throws -> Announcer {
        guard let announcer = try session.online.routing.announcer else { throw CommandError(disabled) }
        return announcer
    }

    static func checkPeers(_ session: Session, _ message: String) throws {
        let online = try session.online
        // Routers elsewhere need no peers.
        let elsewhere = online.routing.router.routers.provide.count > (online.routing.tables == nil ? 0 : 1)
        guard elsewhere || !online.swarm.peers.isEmpty else { throw CommandError(message) }
    }

    static func checkPresence(_ cid: CID, _ session: Session) async throws {
        guard try await session.repository.blocks.has(cid) else { throw CommandError("block \(cid) not found locally, cannot provide") }
    }

    private static let clear = Command(
        "clear", "Clear all CIDs from the provide queue.",
        description: "Clears the CIDs that wait to be announced for the first time. What is announced again on schedule is not affected.",
        example: "> waggle provide clear", options: [.flag("quiet", "q", about: "Do not write output.")],
        text: { value, request in request.flag("quiet") ? "" : "removed \(value.integer ?? 0) items from provide queue\n" }
    ) { request, session, emitter in
        let removed = try await session.online.routing.announcer?.clear() ?? 0
        if !request.flag("quiet") { try await emitter.emitOnce(JSON(removed)) }
    }

    private static let once = Command(
        "once", "Announce CIDs to the routing system on demand.",
        description: """
            Queues provider records for the given CIDs, now and once, whatever Provide.Strategy says of them. The blocks must be here. With --recursive
            every block of the graph is announced. 'provide stat' shows the progress.
            """,
        example: "> waggle provide once <cid>\n> waggle pin ls -q | waggle provide once -r",
        arguments: [.string("cid", "The CID(s) to announce.", variadic: true, input: true)],
        options: [.flag("recursive", "r", about: "Recursively announce the entire DAG.")],
        text: { value, _ in "\(value["Queued"]?.string ?? "")\n" }, present: { _, console in OncePresenter(console) }
    ) { request, session, emitter in
        let announcer = try announcer(session, "cannot provide: Provide.Enabled is false")
        try checkPeers(session, "cannot provide: no connected peers")
        var seen: Set<CID> = []
        for text in request.arguments {
            let cid = try RoutingCommands.key(text)
            try await checkPresence(cid, session)
            guard seen.insert(cid).inserted else { continue }
            if request.flag("recursive") { try await announcer.announce(below: [cid]) } else { try await announcer.announce([cid]) }
            try await emitter.emit(["Queued": .string(cid.description)])
        }
    }

    /// One sentence at the end.
    private final class OncePresenter: Presenter, @unchecked Sendable {
        private let console: any Console
        private var count = 0
        init(_ console: any Console) { self.console = console }
        func value(_ value: JSON) async throws { count += 1 }
        func end() async throws { try console.print("queued \(count) CID(s) for immediate provide\n") }
    }

    /// `stats provide` and `stats reprovide`, the older names of `provide stat`.
    static func deprecated(_ name: String) -> Command {
        var command = ProvideStatistics.stat
        command.name = name
        command.tagline = "Deprecated: use 'provide stat' instead."
        command.example = "> waggle provide stat --all"
        return command
    }
}
