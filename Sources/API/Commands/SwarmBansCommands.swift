import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `swarm bans ls`, `rm`: peers that are refused because they misbehaved.
enum SwarmBansCommands {
    static let command: Command = Command(
        "bans", "List and lift bans of misbehaving peers.",
        description: """
            A peer that provably breaks the rules of a protocol is first left alone for a while, and banned when it goes on: its connections are closed
            and new ones refused, each time for longer. Bans outlive the daemon, and end by themselves. 'swarm peering' peers are never banned.
            """,
        example: "> waggle swarm bans\n> waggle swarm bans rm 12D3KooW…", subcommands: [list, remove], text: listText, run: show)

    private static let list = Command(
        "ls", "List bans.", description: "Lists the peers and addresses that are refused now, why, and for how long.", example: "> waggle swarm bans ls",
        text: listText, run: show)

    private static let show: Command.Run = { _, session, emitter in
        let reputation = try session.online.swarm.reputation
        let now = session.system.wallTime
        let rows: [JSON] = reputation.bans.map { standing in
            let (state, until): (String, WallTime) =
                switch standing.state {
                case .good: ("good", now)
                case .cooling(let until): ("cooling", until)
                case .banned(let until): ("banned", until)
                }
            return [
                "ID": .string(standing.peer.description), "State": .string(state), "Seconds": JSON(max(0, (until.nanoseconds - now.nanoseconds) / 1_000_000_000)),
                "Offence": .string(standing.lastOffence), "Offences": JSON(standing.offences), "Bans": JSON(standing.bans),
            ]
        }
        try await emitter.emitOnce(["Bans": .array(rows), "Addresses": .strings(reputation.refusedAddresses.map { "\($0.base.text)/\($0.prefixLength)" })])
    }

    private static let listText: Command.Text = { value, _ in
        let peers = (value["Bans"]?.array ?? []).map { row in
            let reason = TerminalText.visible(row["Offence"]?.string ?? "")
            return "\(row["ID"]?.string ?? "") \(row["State"]?.string ?? "") for \(row["Seconds"]?.integer ?? 0)s (\(reason), \(row["Offences"]?.integer ?? 0) offences, \(row["Bans"]?.integer ?? 0) bans)\n"
        }
        let addresses = (value["Addresses"]?.array ?? []).compactMap(\.string).map { "\($0) refused: many banned peers share it\n" }
        return (peers + addresses).joined()
    }

    private static let remove = Command(
        "rm", "Lift bans.", description: "Forgives the given peers, or all of them, and forgets what they did.", example: "> waggle swarm bans rm 12D3KooW…",
        arguments: [.string("ID", "Peer to forgive.", required: false, variadic: true, input: true)], options: [.flag("all", about: "Forgive everybody.")],
        text: { value, _ in "forgave \(value["ID"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let reputation = try session.online.swarm.reputation
        guard request.flag("all") != !request.arguments.isEmpty else { throw CommandError.client("name peers to forgive, or use --all") }
        let peers = try request.flag("all") ? reputation.bans.map(\.peer) : request.arguments.map { text in
            guard let peer = PeerText.parse(text) else { throw CommandError("invalid peer id: \(text)") }
            return peer
        }
        for peer in peers {
            guard reputation.pardon(peer) else { throw CommandError("\(peer) is not banned") }
            try await emitter.emit(["ID": .string(peer.description)])
        }
    }
}
