import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `stats bitswap`, `bw`, `repo`.
enum StatsCommands {
    static let command: Command = Command(
        "stats", "Query IPFS statistics.", description: "Shows numbers of the running node and of the repository.", example: "> waggle stats bw",
        subcommands: [
            named("bitswap", BitswapCommands.stat), bandwidth, named("repo", RepoCommands.stat), DHTCommands.stat, ProvideCommands.deprecated("provide"),
            ProvideCommands.deprecated("reprovide"), ProviderCommands.stat,
        ])

    private static func named(_ name: String, _ command: Command) -> Command {
        var copy = command
        copy.name = name
        return copy
    }

    private static let bandwidth = Command(
        "bw", "Print IPFS bandwidth information.", description: "Shows how much went over the swarm's connections, and how fast just now.",
        example: "> waggle stats bw --poll",
        options: [
            .string("peer", "p", about: "Specify a peer to print bandwidth for."),
            .string("proto", "t", about: "Specify a protocol to print bandwidth for."),
            .flag("poll", about: "Print bandwidth at an interval."),
            .string("interval", "i", about: "Time interval to wait between updating output, if 'poll' is true.", default: "1s"),
        ],
        present: { request, console in BandwidthPresenter(request, console) }
    ) { request, session, emitter in
        let online = try session.online
        guard request.string("peer") == nil || request.string("proto") == nil else { throw CommandError.client("please only specify peer OR protocol") }
        if request.string("proto") != nil { throw CommandError.client("traffic is not counted by protocol; leave out --proto") }
        var peer: PeerID?
        if let text = request.string("peer") {
            guard let parsed = PeerText.parse(text) else { throw CommandError("failed to parse peer ID: \(text)") }
            peer = parsed
        }
        let text = request.string("interval") ?? "1s"
        guard let interval = GoDuration.parse(text) else { throw CommandError("time: invalid duration \"\(text)\"") }
        let meter = session.daemon?.bandwidth ?? BandwidthMeter()
        while true {
            let now = meter.sample(online.swarm, peer: peer, at: session.system.home.now)
            try await emitter.emit([
                "TotalIn": JSON(now.totalIn), "TotalOut": JSON(now.totalOut), "RateIn": .number(now.rateIn), "RateOut": .number(now.rateOut),
            ])
            if !request.flag("poll") { return }
            try await session.system.home.sleep(until: session.system.home.now + max(interval, .milliseconds(10)))
        }
    }
}

/// Counts what went over all connections, closed ones too.
package final class BandwidthMeter: Sendable {
    package struct Sample: Equatable, Sendable {
        package var totalIn = 0
        package var totalOut = 0
        /// Bytes a second since the sample before.
        package var rateIn = 0.0
        package var rateOut = 0.0
    }

    private struct State {
        var closedIn = 0
        var closedOut = 0
        var last: (at: Instant, totalIn: Int, totalOut: Int)?
    }

    private let state = Mutex(State())

    package init() {}

    /// Remembers the bytes of a connection that has ended.
    package func closed(_ connection: Connection) { closed(bytesIn: connection.bytesIn, bytesOut: connection.bytesOut) }

    func closed(bytesIn: Int, bytesOut: Int) {
        state.withLock { state in
            state.closedIn += bytesIn
            state.closedOut += bytesOut
        }
    }

    func sample(_ swarm: Swarm, peer: PeerID?, at now: Instant) -> Sample {
        let connections = peer.map { swarm.connections(to: $0) } ?? swarm.connections
        let totals = connections.reduce((0, 0)) { ($0.0 + $1.bytesIn, $0.1 + $1.bytesOut) }
        if peer != nil { return Sample(totalIn: totals.0, totalOut: totals.1) }
        return sample(openIn: totals.0, openOut: totals.1, at: now)
    }

    func sample(openIn: Int, openOut: Int, at now: Instant) -> Sample {
        state.withLock { state in
            var sample = Sample(totalIn: openIn + state.closedIn, totalOut: openOut + state.closedOut)
            if let last = state.last, now > last.at {
                let seconds = Double((now - last.at).wholeNanoseconds) / 1e9
                sample.rateIn = Double(max(0, sample.totalIn - last.totalIn)) / seconds
                sample.rateOut = Double(max(0, sample.totalOut - last.totalOut)) / seconds
            }
            state.last = (now, sample.totalIn, sample.totalOut)
            return sample
        }
    }
}

private final class BandwidthPresenter: Presenter, @unchecked Sendable {
    private let console: any Console
    private let polls: Bool
    private var isFirst = true

    init(_ request: Request, _ console: any Console) {
        self.console = console
        polls = request.flag("poll")
    }

    func value(_ value: JSON) async throws {
        func size(_ name: String) -> String {
            if case .number(let number)? = value[name] { return ByteSize.human(UInt64(max(0, number))) }
            return ByteSize.human(UInt64(clamping: value[name]?.integer ?? 0))
        }
        guard polls else {
            return try console.print(
                "Bandwidth\nTotalIn: \(size("TotalIn"))\nTotalOut: \(size("TotalOut"))\nRateIn: \(size("RateIn"))/s\nRateOut: \(size("RateOut"))/s\n")
        }
        if isFirst { try console.print("Total Up    Total Down  Rate Up     Rate Down\n") }
        isFirst = false
        func cell(_ name: String) -> String { String(repeating: " ", count: max(0, 8 - size(name).count)) + size(name) }
        try console.print("\(cell("TotalOut"))    \(cell("TotalIn"))    \(cell("RateOut"))/s  \(cell("RateIn"))/s      \r")
    }
}
