import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `provide stat`: how far announcing is.
enum ProvideStatistics {
    /// The sections by the option that asks for each.
    private static let sections = ["connectivity", "queues", "schedule", "timings", "network", "operations", "workers"]

    static let stat = Command(
        "stat", "Show statistics about the provide system",
        description: """
            Provider records expire, so content is announced again on a schedule: the key space is swept once in Provide.DHT.Interval, region by region,
            and the CIDs of a region are announced together.

            Without options a summary is shown; --all shows every section, and each has an option of its own. --lan is accepted: both hash tables are
            told at once.
            """,
        example: "> waggle provide stat\n> waggle provide stat --all --compact",
        options: [
            .flag("lan", about: "Show stats for LAN DHT only (the same here: both are told at once)."), .flag("all", "a", about: "Display all provide sweep stats"),
            .flag("compact", about: "Display stats in 2-column layout (requires --all)"), .flag("connectivity", about: "Display DHT connectivity status"),
            .flag("network", about: "Display network stats (peers, reachability, region size)"),
            .flag("schedule", about: "Display reprovide schedule (CIDs/regions scheduled, next reprovide time)"),
            .flag("timings", about: "Display timing information (uptime, cycle start, reprovide interval)"),
            .flag("workers", about: "Display worker pool stats (active/available/queued workers)"),
            .flag("operations", about: "Display operation stats (ongoing/past provides, rates, errors)"),
            .flag("queues", about: "Display provide and reprovide queue sizes"),
        ],
        text: { value, request in try text(value, request) }
    ) { _, session, emitter in
        let routing = try session.online.routing
        guard let announcer = routing.announcer else { throw CommandError("stats not available: Provide.Enabled is false, or there is no router to tell") }
        let now = await announcer.statistics()
        try await emitter.emitOnce(["Sweep": json(now, session), "Legacy": .null, "FullRT": false])
    }

    /// As Kubo gives it; what is beyond is left out.
    private static func json(_ now: AnnouncerStatistics, _ session: Session) -> JSON {
        let wall = session.system.wallTime
        let instant = session.system.home.now
        func time(_ moment: Instant?) -> JSON {
            guard let moment else { return "0001-01-01T00:00:00Z" }
            return .string((wall + (moment - instant)).rfc3339)
        }
        func nanoseconds(_ duration: Duration) -> JSON { JSON(duration.wholeNanoseconds) }
        func rate(_ keys: Int, _ time: Duration) -> Double { time > .zero ? Double(keys) * 60e9 / Double(time.wholeNanoseconds) : 0 }
        let connectivity: JSON = ["status": .string(now.isConnected ? "online" : "disconnected"), "since": time(now.connectedSince)]
        let queues: JSON = [
            "pending_key_provides": JSON(now.queuedKeys), "pending_region_provides": JSON(now.queuedKeys > 0 ? 1 : 0),
            "pending_region_reprovides": JSON(now.overdueRegions),
        ]
        let schedule: JSON = [
            "keys": JSON(now.scheduledKeys), "regions": JSON(now.regions), "avg_prefix_length": JSON(now.prefixBits),
            "next_reprovide_at": time(now.nextRegionDue), "next_reprovide_prefix": .string(now.nextRegion?.text ?? ""),
        ]
        let active = (now.announcingNew > 0 ? 1 : 0, now.announcingAgain > 0 ? 1 : 0)
        let workers: JSON = [
            "max": 1, "active": JSON(active.0 + active.1), "active_periodic": JSON(active.1), "active_burst": JSON(active.0), "dedicated_periodic": 0,
            "dedicated_burst": 0, "queued_periodic": 0, "queued_burst": 0, "max_provide_conns_per_worker": 20,
        ]
        let timing: JSON = [
            "uptime": nanoseconds(now.uptime), "reprovides_interval": nanoseconds(now.interval),
            "cycle_start": .string((wall + .nanoseconds(-now.cycleElapsed.wholeNanoseconds)).rfc3339), "current_time_offset": nanoseconds(now.cycleElapsed),
            "max_reprovide_delay": 0,
        ]
        let ongoing: JSON = [
            "region_provides": JSON(active.0), "key_provides": JSON(now.announcingNew), "region_reprovides": JSON(active.1),
            "key_reprovides": JSON(now.announcingAgain),
        ]
        let regions = max(1, now.sweptRegions)
        let past: JSON = [
            "records_provided": JSON(now.recordsStored), "keys_provided": JSON(now.keysAnnounced), "keys_failed": JSON(now.keysFailed),
            "keys_provided_per_minute": .number(rate(now.newKeys, now.newKeysTime)), "keys_reprovided_per_minute": .number(rate(now.sweptKeys, now.sweptTime)),
            "reprovide_duration": nanoseconds(now.sweptTime / regions), "avg_keys_per_reprovide": .number(Double(now.sweptKeys) / Double(regions)),
            "regions_reprovided_last_cycle": JSON(now.regionsLastCycle),
        ]
        let network: JSON = [
            "peers": JSON(now.peersTold), "reachable": JSON(now.peersTold), "complete_keyspace_coverage": .bool(now.cycles > 0),
            "avg_region_size": .number(now.lookups > 0 ? Double(now.recordsStored) / Double(now.lookups) : 0),
            "avg_holders": .number(now.keysAnnounced > 0 ? Double(now.recordsStored) / Double(now.keysAnnounced) : 0), "replication_factor": 20,
        ]
        return [
            "closed": false, "connectivity": connectivity, "queues": queues, "schedule": schedule, "workers": workers, "timing": timing,
            "operations": ["ongoing": ongoing, "past": past], "network": network,
        ]
    }

    // MARK: Text

    private static func text(_ value: JSON, _ request: Request) throws(CommandError) -> String {
        let isWhole = request.flag("all")
        let chosen = sections.filter { request.flag($0) }
        guard !request.flag("compact") || isWhole else { throw CommandError("--compact requires --all flag") }
        let isBrief = chosen.isEmpty && !isWhole
        var page = ProvidePage(isBrief: isBrief, hasHeadings: isWhole || chosen.count > 1, isCompact: isWhole && request.flag("compact"))
        let show = { (name: String) in isWhole || isBrief || chosen.contains(name) }
        page.fill(value["Sweep"] ?? .null, show)
        return page.text
    }
}

/// The layout of `provide stat`: one column of sections, or two.
struct ProvidePage {
    let isBrief: Bool
    let hasHeadings: Bool
    let isCompact: Bool
    private var columns: [[String]] = [[], []]

    init(isBrief: Bool, hasHeadings: Bool, isCompact: Bool) {
        self.isBrief = isBrief
        self.hasHeadings = hasHeadings
        self.isCompact = isCompact
    }

    mutating func fill(_ sweep: JSON, _ show: (String) -> Bool) {
        func at(_ path: String) -> JSON { path.split(separator: ".").reduce(sweep) { $0[String($1)] ?? .null } }
        func count(_ path: String) -> String { ProvidePage.number(at(path).integer ?? 0) }
        func decimal(_ path: String) -> String {
            let value = at(path).double ?? 0
            return value > 0 ? Decimal.fixed(value, places: 1) : "N/A"
        }
        func duration(_ path: String) -> String { GoDuration.text(.seconds((at(path).integer ?? 0) / 1_000_000_000)) }
        func moment(_ path: String) -> String {
            guard let text = at(path).string, !text.hasPrefix("0001"), let time = WallTime(rfc3339: text) else { return "N/A" }
            return Clock.rfc3339(time.nanoseconds / 1_000_000_000).replacing("T", with: " ").replacing("Z", with: "")
        }
        let status = at("connectivity.status").string ?? ""
        if show("connectivity"), !isBrief || status != "online" {
            let since = moment("connectivity.since")
            section(1, "Connectivity", [("Status", since == "N/A" ? status : "\(status) (\(since))")])
        }
        if show("queues") {
            section(1, "Queues", [
                ("Provide queue", "\(count("queues.pending_key_provides")) CIDs, \(count("queues.pending_region_provides")) regions"),
                ("Reprovide queue", "\(count("queues.pending_region_reprovides")) regions"),
            ])
        }
        if show("schedule") {
            let region = at("schedule.next_reprovide_prefix").string ?? ""
            section(0, "Schedule", [("CIDs scheduled", count("schedule.keys")), ("Regions scheduled", count("schedule.regions"))] + details([
                ("Avg prefix length", decimal("schedule.avg_prefix_length")), ("Next region prefix", region.isEmpty ? "N/A" : region),
                ("Next region reprovide", moment("schedule.next_reprovide_at")),
            ]))
        }
        if !isBrief, show("timings") {
            section(1, "Timings", [
                ("Uptime", duration("timing.uptime")), ("Current time offset", duration("timing.current_time_offset")),
                ("Cycle started", moment("timing.cycle_start")), ("Reprovide interval", duration("timing.reprovides_interval")),
            ])
        }
        if show("network") {
            section(0, "Network", [("Avg record holders", decimal("network.avg_holders"))] + details([
                ("Peers swept", count("network.peers")), ("Full keyspace coverage", at("network.complete_keyspace_coverage") == true ? "true" : "false"),
                ("Reachable peers", count("network.reachable")), ("Avg region size", decimal("network.avg_region_size")),
                ("Replication factor", count("network.replication_factor")),
            ]))
        }
        if show("operations") {
            section(1, "Operations", [
                ("Ongoing provides", "\(count("operations.ongoing.key_provides")) CIDs, \(count("operations.ongoing.region_provides")) regions"),
                ("Ongoing reprovides", "\(count("operations.ongoing.key_reprovides")) CIDs, \(count("operations.ongoing.region_reprovides")) regions"),
                ("Total CIDs provided", count("operations.past.keys_provided")),
            ] + details([
                ("Total records provided", count("operations.past.records_provided")), ("Total provide errors", count("operations.past.keys_failed")),
                ("CIDs provided/min/worker", decimal("operations.past.keys_provided_per_minute")),
                ("CIDs reprovided/min/worker", decimal("operations.past.keys_reprovided_per_minute")),
                ("Region reprovide duration", GoDuration.text(.nanoseconds((at("operations.past.reprovide_duration").integer ?? 0) / 1_000_000 * 1_000_000))),
                ("Avg CIDs/reprovide", decimal("operations.past.avg_keys_per_reprovide")),
                ("Regions reprovided (last cycle)", count("operations.past.regions_reprovided_last_cycle")),
            ]))
        }
        if !isBrief, show("workers") {
            section(0, "Workers", [
                (isCompact ? "Active" : "Active workers", "\(count("workers.active")) / \(count("workers.max")) (max)"),
            ] + workers(at("workers.max").integer ?? 0, periodic: at("workers.active_periodic").integer ?? 0, burst: at("workers.active_burst").integer ?? 0) + [
                ("Max connections/worker", count("workers.max_provide_conns_per_worker")),
            ])
        }
    }

    /// What the one worker does: it takes new blocks and the sweep in turn.
    private func workers(_ all: Int64, periodic: Int64, burst: Int64) -> [(String, String)] {
        let free = max(0, all - periodic - burst)
        if isCompact {
            return [("Periodic", "\(periodic) active, \(free) available, 0 queued"), ("Burst", "\(burst) active, \(free) available, 0 queued")]
        }
        func row(_ name: String, _ periodic: some CustomStringConvertible, _ burst: some CustomStringConvertible) -> (String, String) {
            let first = "\(periodic)"
            return ("  " + name, first + String(repeating: " ", count: max(1, 10 - first.count)) + "\(burst)")
        }
        return [
            ("Free workers", "\(free)"), row("Workers stats", "Periodic", "Burst"), row("Active", periodic, burst), row("Dedicated", 0, 0),
            row("Available", free, free), row("Queued", 0, 0),
        ]
    }

    private func details(_ rows: [(String, String)]) -> [(String, String)] { isBrief ? [] : rows }

    private mutating func section(_ column: Int, _ title: String, _ rows: [(String, String)]) {
        let column = isCompact ? column : 0
        if hasHeadings { columns[column].append("\(title):") }
        let indent = hasHeadings ? "  " : ""
        for (name, value) in rows { columns[column].append(isCompact ? "\(indent)\(name): \(value)" : "\(indent)\(name):\t\(value)") }
        if !isBrief { columns[column].append("") }
    }

    var text: String {
        var columns = columns
        for index in columns.indices where columns[index].last == "" { columns[index].removeLast() }
        guard isCompact else { return AlignedText.lay(columns[0].joined(separator: "\n") + "\n", minimum: 1, padding: 1) }
        let width = (columns[0].map(\.count).max() ?? 0) + 3
        return (0..<max(columns[0].count, columns[1].count)).map { row in
            let left = row < columns[0].count ? columns[0][row] : ""
            let right = row < columns[1].count ? columns[1][row] : ""
            let line = left + (right.isEmpty ? "" : String(repeating: " ", count: width - left.count) + right)
            return line + "\n"
        }.joined()
    }

    /// With commas between the thousands.
    static func number(_ value: Int64) -> String {
        let digits = String(value.magnitude)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return (value < 0 ? "-" : "") + text
    }
}
