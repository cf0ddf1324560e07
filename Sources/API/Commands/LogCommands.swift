import WaggleBase
import WaggleFormats

/// `log level`, `ls`.
enum LogCommands {
    static let command: Command = Command(
        "log", "Interact with the daemon log output.", description: "Changes how much the running daemon writes to its log.",
        example: "> waggle log level all debug\n> waggle log level swarm info", subcommands: [level, list])

    /// Names that Kubo's users know, and ours. Its three highest levels are one here.
    private static let levels: [(name: String, level: LogLevel)] = [
        ("trace", .trace), ("debug", .debug), ("info", .info), ("warn", .warning), ("warning", .warning), ("error", .error), ("dpanic", .error),
        ("panic", .error), ("fatal", .error),
    ]

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
                throw CommandError("no such logger: \(subsystem)")
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
        } else if let known = levels.first(where: { $0.name == text.lowercased() })?.level {
            level = known
        } else {
            throw CommandError("unrecognized level: \"\(text)\"")
        }
        if isAll {
            log.setLevel(level, subsystem: nil)
            for name in current.bySubsystem.keys { log.setLevel(level, subsystem: name) }
        } else {
            guard LogSubsystems.names.contains(subsystem) || current.bySubsystem[subsystem] != nil else {
                throw CommandError("no such logger: \(subsystem)")
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
}

/// The subsystems that write to the log.
enum LogSubsystems {
    static let names = ["addresses", "bitswap", "bootstrap", "core", "gc", "identify", "log", "reputation", "store", "swarm"]
}
