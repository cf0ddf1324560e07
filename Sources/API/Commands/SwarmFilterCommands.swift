import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `swarm filters`, `add`, `rm`: ranges of addresses that the node neither dials nor accepts.
enum SwarmFilterCommands {
    static let command: Command = Command(
        "filters", "Manipulate address filters.",
        description: "Shows the ranges that are refused. They are kept in Swarm.AddrFilters of the configuration, and a running node obeys at once.",
        example: "> waggle swarm filters add /ip4/192.168.0.0/ipcidr/16", subcommands: [add, remove], text: lines
    ) { _, session, emitter in
        let filters = try session.online.swarm.gate.rules.deniedRanges.map(text).sorted()
        try await emitter.emitOnce(["Strings": .strings(filters)])
    }

    private static let lines: Command.Text = { value, _ in (value["Strings"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined() }

    private static let argument: Argument = .string("address", "Range in the form /ip4/192.168.0.0/ipcidr/16.", variadic: true, input: true)

    private static func text(_ range: IPRange) -> String {
        "/\(range.base.text.contains(":") ? "ip6" : "ip4")/\(range.base.text)/ipcidr/\(range.prefixLength)"
    }

    private static let add = Command(
        "add", "Add an address filter.", description: "Open connections that it forbids are closed.",
        example: "> waggle swarm filters add /ip4/192.168.0.0/ipcidr/16", arguments: [argument], text: lines
    ) { request, session, emitter in
        let online = try session.online
        let ranges = try request.arguments.map { try NodeSettings.range($0, "filter") }
        for range in ranges { online.swarm.gate.deny(range) }
        try session.changeConfiguration { configuration in
            let known = configuration.addressFilters
            try configuration.set("Swarm.AddrFilters", to: .strings(known + request.arguments.filter { !known.contains($0) }))
        }
        try await emitter.emitOnce(["Strings": .strings(request.arguments)])
    }

    private static let remove = Command(
        "rm", "Remove an address filter.", description: "With 'all' every filter is removed.", example: "> waggle swarm filters rm all",
        arguments: [argument], text: lines
    ) { request, session, emitter in
        let gate = try session.online.swarm.gate
        let isAll = request.arguments == ["all"] || request.arguments == ["*"]
        let ranges = isAll ? Array(gate.rules.deniedRanges) : try request.arguments.map { try NodeSettings.range($0, "filter") }
        var removed: [String] = []
        for range in ranges where gate.rules.deniedRanges.contains(range) {
            gate.forget(range)
            removed.append(text(range))
        }
        try session.changeConfiguration { configuration in
            let gone = Set(ranges)
            let kept = try configuration.addressFilters.filter { !gone.contains(try NodeSettings.range($0, "Swarm.AddrFilters")) }
            try configuration.set("Swarm.AddrFilters", to: isAll ? [] : .strings(kept))
        }
        try await emitter.emitOnce(["Strings": .strings(removed.sorted())])
    }
}
