import Synchronization
import WaggleBase
import WaggleFormats

/// `log level`, `ls`, `tail`.
enum LogCommands {
    static let command: Command = Command(
        "log", "Interact with the daemon log output.", description: "Changes how much the running daemon writes to its log, and shows what it writes.",
        example: "> waggle log level all debug\n> waggle log level swarm info\n> waggle log tail", subcommands: [level, list, tail])

    private static func name(_ level: LogLevel) -> String { level == .warning ? "warn" : "\(level)" }

    private static let level = Command(
        "level", "Change or get the logging level.",
        description: """
            Without arguments the default level is shown; with the name of a subsystem its level, with 'all' (or '*') those of all. With a level it is set:
            of one subsystem, or with 'all' of every one and as the default. The level 'default' puts a subsystem back to the default.
            """,
        example: "> waggle log level all debug\n> waggle log level swarm",
        arguments: [
            .string("subsystem", "The subsystem logging identifier; 'all' or '*' for all.", required: false),
            .string("level", "One of: trace, debug, info, warn, error, default.", required: false),
        ],
        place: .daemon,
        text: { value, _ in
            if let message = value["Message"]?.string, !message.isEmpty { return message }
            let entries = value["Levels"]?.object?.entries ?? []
            if entries.count == 1 { return (entries[0].value.string ?? "") + "\n" }
            return entries.map { "\($0.key): \($0.value.string ?? "")\n" }.sorted().joined()
        }
    ) { request, session, emitter in
        guard let log = session.system.log as? any AdjustableLogSink else { throw CommandError("the levels of this log cannot be changed") }
        let isAll = ["all", "*"].contains(request.arguments.first ?? "")
        if request.arguments.count > 1 {
            return try await emitter.emitOnce(["Message": .string(try set(log, request.arguments[0], request.arguments[1], isAll: isAll))])
        }
        let current = log.currentLevels
        guard let subsystem = request.arguments.first else {
            return try await emitter.emitOnce(["Levels": ["default": .string(name(current.standard))]])
        }
        guard isAll else {
            guard LogSubsystems.names.contains(subsystem) || current.bySubsystem[subsystem] != nil else {
                throw CommandError("no such logger: \(subsystem); 'log ls' lists them")
            }
            return try await emitter.emitOnce(["Levels": .object(OrderedMap([(subsystem, .string(name(current.bySubsystem[subsystem] ?? current.standard)))]))])
        }
        var all = OrderedMap<JSON>([("(default)", .string(name(current.standard)))])
        for subsystem in LogSubsystems.names { all[subsystem] = .string(name(current.bySubsystem[subsystem] ?? current.standard)) }
        try await emitter.emitOnce(["Levels": .object(all)])
    }

    private static func set(_ log: any AdjustableLogSink, _ subsystem: String, _ text: String, isAll: Bool) throws -> String {
        let current = log.currentLevels
        let level: LogLevel
        if text == "default" {
            level = current.standard
        } else if let known = LogLevel(named: text) {
            level = known
        } else {
            throw CommandError("unrecognized level: \"\(text)\"; use trace, debug, info, warn or error")
        }
        if isAll {
            log.setLevel(level, subsystem: nil)
            for name in current.bySubsystem.keys { log.setLevel(level, subsystem: name) }
        } else {
            guard LogSubsystems.names.contains(subsystem) || current.bySubsystem[subsystem] != nil else {
                throw CommandError("no such logger: \(subsystem); 'log ls' lists them")
            }
            log.setLevel(level, subsystem: subsystem)
        }
        let shown = text == "default" ? name(level) : text
        return "Changed log level of '\(isAll ? "*" : subsystem)' to '\(shown)'\n"
    }

    private static let list = Command(
        "ls", "List the logging subsystems.", description: "Lists the names that 'log level' takes.", example: "> waggle log ls", needs: .nothing,
        text: { value, _ in (value["Strings"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined() }
    ) { _, _, emitter in try await emitter.emitOnce(["Strings": .strings(LogSubsystems.names)]) }

    private static let tail = Command(
        "tail", "Read the event log.",
        description: "Shows the records of the running daemon as they come, one JSON object a line, until it is interrupted. 'log level' says which records there are.",
        example: "> waggle log tail\n> waggle log tail --log-level warn",
        options: [.string("log-level", about: "Show only records of this level or a graver one.")], place: .daemon
    ) { request, session, emitter in
        guard let log = session.system.log as? any AdjustableLogSink else { throw CommandError("this log cannot be read") }
        var least = LogLevel.trace
        if let text = request.string("log-level"), !text.isEmpty {
            guard let level = LogLevel(named: text) else { throw CommandError("unrecognized level: \"\(text)\"; use trace, debug, info, warn or error") }
            least = level
        }
        let tail = LogTail(on: session.system.home, from: least)
        let observation = log.observe { tail.add($0) }
        do {
            // The answer begins at once, so that the client knows that it is connected.
            try await emitter.write(Bytes())
            while true { try await emitter.write(try await tail.next()) }
        } catch {
            observation.cancel()
            throw error
        }
    }
}

/// Records that wait for a reader. When it is slow, records are dropped, and a note says how many.
final class LogTail: Sendable {
    /// Bytes that wait.
    static let backlog = 1 << 20

    private struct State {
        var waiting: [UInt8] = []
        var dropped = 0
    }

    private let state = Mutex(State())
    private let arrived: Waiter
    private let home: any EventLoop

    private let least: LogLevel

    init(on home: any EventLoop, from least: LogLevel = .trace) {
        self.home = home
        self.least = least
        arrived = Waiter(on: home)
    }

    /// Adds a line, from any thread.
    func add(_ line: Bytes) {
        guard least == .trace || Self.level(of: line) >= least else { return }
        let wasEmpty = state.withLock { state in
            guard state.waiting.count + line.count <= Self.backlog else {
                state.dropped += 1
                return false
            }
            defer { line.withUnsafeBytes { state.waiting.append(contentsOf: $0) } }
            return state.waiting.isEmpty
        }
        if wasEmpty { home.execute { [arrived] in arrived.wake() } }
    }

    private static func level(of line: Bytes) -> LogLevel {
        do { return try JSON(parsing: line)["level"]?.string.flatMap { LogLevel(named: $0) } ?? .error } catch { return .error }
    }

    /// All lines that wait; suspends until there is one. On the home loop.
    func next() async throws -> Bytes {
        while true {
            let (lines, dropped) = state.withLock { state in
                defer { state = State() }
                return (state.waiting, state.dropped)
            }
            if !lines.isEmpty {
                let note = "{\"level\":\"warning\",\"subsystem\":\"log\",\"message\":\"records were dropped: the reader is too slow\",\"count\":\"\(dropped)\"}\n"
                return Bytes(dropped == 0 ? lines : lines + Array(note.utf8))
            }
            try await arrived.wait()
        }
    }
}

/// The subsystems that write to the log.
enum LogSubsystems {
    static let names = [
        "addresses", "bitswap", "bootstrap", "gc", "identify", "identities", "kad", "keystore", "log", "mdns", "names", "provide", "providers", "pubsub",
        "rendezvous", "reputation", "store", "swarm",
    ]
}
