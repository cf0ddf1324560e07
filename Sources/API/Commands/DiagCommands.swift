import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `diag sys`, `cmds`, `healthy`.
enum DiagCommands {
    static let command: Command = Command(
        "diag", "Generate diagnostic reports.", description: "What to add to a report of a problem.", example: "> waggle diag sys",
        subcommands: [system, requests, healthy])

    private static let healthy = Command(
        "healthy", "Report whether the daemon is operational.",
        description: "Exits with 0 when the daemon runs and its repository can be read. For health checks of containers.", example: "> waggle diag healthy",
        place: .daemon, text: { value, _ in (value.string ?? "") + "\n" }
    ) { _, session, emitter in
        _ = try session.repository.statistics()
        try await emitter.emitOnce("ok")
    }

    // MARK: Requests

    private static let requests = Command(
        "cmds", "List commands run on this IPFS node.", description: "Lists the requests that the daemon answers now, and those that it answered a while ago.",
        example: "> waggle diag cmds\n> waggle diag cmds set-time 10m",
        options: [.flag("verbose", "v", about: "Print extra information.")],
        subcommands: [
            Command("clear", "Clear inactive requests from the log.", example: "> waggle diag cmds clear", place: .daemon) { _, session, _ in try log(session).clear() },
            Command(
                "set-time", "Set how long to keep inactive requests in the log.", example: "> waggle diag cmds set-time 10m",
                arguments: [.string("time", "Time to keep inactive requests in log, for example 10m.")], place: .daemon
            ) { request, session, _ in
                guard let time = GoDuration.parse(request.arguments[0]), time >= .zero else { throw CommandError("time: invalid duration \"\(request.arguments[0])\"") }
                try log(session).keep(for: time, at: session.system.wallTime)
            },
        ],
        place: .daemon, text: table
    ) { _, session, emitter in
        let now = session.system.wallTime
        try await emitter.emitOnce(
            .array(
                try log(session).entries(at: now).map { entry in
                    [
                        // As Go writes the time that is none.
                        "StartTime": .string(entry.started.rfc3339), "EndTime": .string(entry.ended?.rfc3339 ?? "0001-01-01T00:00:00Z"),
                        "Active": .bool(entry.ended == nil), "Command": .string(entry.command), "Options": .object(entry.options),
                        "Args": .strings(entry.arguments), "ID": JSON(entry.id),
                    ]
                }))
    }

    private static func log(_ session: Session) throws -> RequestLog {
        guard let daemon = session.daemon else { throw CommandError("only a daemon has a log of requests") }
        return daemon.requests
    }

    private static let table: Command.Text = { value, request in
        let isVerbose = request.flag("verbose")
        var text = (isVerbose ? "ID\tCommand\tArguments\tOptions\t" : "Command\t") + "Active\tStartTime\tRunTime\n"
        for entry in value.array ?? [] {
            let (start, end) = (entry["StartTime"]?.string ?? "", entry["EndTime"]?.string ?? "")
            let isActive = entry["Active"]?.bool ?? false
            var cells = [entry["Command"]?.string ?? ""]
            if isVerbose {
                let options = (entry["Options"]?.object?.entries ?? []).map { "\($0.key)=\($0.value.string ?? $0.value.text())" }
                cells = [entry["ID"]?.text() ?? ""] + cells + ["[\((entry["Args"]?.array ?? []).compactMap(\.string).joined(separator: " "))]", "[\(options.joined(separator: ","))]"]
            }
            cells += ["\(isActive)", String(start.prefix(19))]
            let times = [start, end].compactMap { WallTime(rfc3339: $0)?.nanoseconds }
            text += (cells + [isActive || times.count < 2 ? "-" : GoDuration.text(.nanoseconds(times[1] - times[0]))]).map(TerminalText.visible).joined(separator: "\t") + "\n"
        }
        return AlignedText.lay(text, minimum: 4, padding: 2)
    }

    private static let system = Command(
        "sys", "Print system diagnostic information.", description: "Prints facts about this computer and this node.", example: "> waggle diag sys",
        text: { value, _ in value.text(.indented) + "\n" }
    ) { _, session, emitter in
        let node = try session.node
        let space = try session.system.files.space(session.repositoryPath)
        let addresses = session.system.network.interfaceAddresses().map { "/\($0.text.contains(":") ? "ip6" : "ip4")/\($0.text)" }
        let platform = WaggleVersion.system.split(separator: "/").map(String.init)
        try await emitter.emitOnce([
            "diskinfo": ["free_space": JSON(space.free), "total_space": JSON(space.total)],
            "environment": ["ipfs_path": .string(session.repositoryPath)], "ipfs_version": .string(WaggleVersion.number), "ipfs_commit": "",
            "memory": ["resident": JSON(session.system.residentMemory), "virt": JSON(session.system.residentMemory)],
            "net": ["interface_addresses": .strings(addresses), "online": .bool(node.online != nil)],
            "runtime": [
                "arch": .string(platform.first ?? ""), "os": .string(platform.last ?? ""), "loops": JSON(session.system.loops.count), "version": "swift 6.3",
            ],
        ])
    }
}
