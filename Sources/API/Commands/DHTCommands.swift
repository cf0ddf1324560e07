import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `dht query` and `stats dht`: the hash tables themselves.
enum DHTCommands {
    static let command: Command = Command(
        "dht", "Issue commands directly through the DHT.", description: "What is left of an older group: the rest is in 'routing'.",
        example: "> waggle dht query <peerid>",
        subcommands: [query] + ["findprovs", "findpeer", "get", "put", "provide"].map(removed))

    private static let query = Command(
        "query", "Find the closest Peer IDs to a given Peer ID by querying the DHT.", description: "Outputs a list of newline-delimited Peer IDs.",
        example: "> waggle dht query <peerid>", arguments: [.string("peerID", "The peerID to run the query against.", variadic: true)],
        options: [RoutingCommands.verbose], text: queryText, present: { request, console in QueryPresenter(request, console, queryText) }
    ) { request, session, emitter in
        guard let table = try session.online.routing.tables?.active else { throw CommandError("routing service is not a DHT") }
        guard let peer = PeerText.parse(request.arguments[0]) else { throw CommandError.client("invalid peer ID") }
        try await QueryEvents.run(session, emitter) { events in
            for contact in try await table.closestPeers(to: peer.bytes) { events.tell(.finalPeer, contact.peer) }
        }
    }

    private static let queryText: Command.Text = { event, request in
        QueryEvents.text(event, request) { kind, event, _ in kind == .finalPeer ? "\(event["ID"]?.string ?? "")\n" : nil }
    }

    private static func removed(_ name: String) -> Command {
        Command(
            name, "Removed, use 'routing' instead.", description: "This command is in the group 'routing' now.", example: "> waggle routing \(name) <key>",
            arguments: [.string("key", "Not looked at.", required: false, variadic: true)], needs: .nothing
        ) { _, session, _ in throw CommandError("removed, use '\(session.programName) routing' instead") }
    }

    // MARK: stats dht

    static let stat = Command(
        "dht", "Returns statistics about the node's DHT(s).",
        description: "Shows the routing tables of the hash tables that the node is part of, bucket by bucket. A peer with @ is connected.",
        example: "> waggle stats dht lan",
        arguments: [.string("dht", "The DHT whose table should be listed (wan, lan). Defaults to wan and lan.", required: false, variadic: true)],
        text: { value, request in statText(value, request) }
    ) { request, session, emitter in
        let routing = try session.online.routing
        guard let tables = routing.tables else { throw CommandError("routing service is not a DHT") }
        for name in request.arguments.isEmpty ? ["wan", "lan"] : request.arguments {
            let table: Kademlia
            switch name {
            case "wan", "wanserver": table = tables.wide
            case "lan", "lanserver": table = tables.local
            default: throw CommandError.client("unknown dht type: \(name)")
            }
            try await emitter.emit(describe(name, await table.snapshot(), session))
        }
    }

    private static func describe(_ name: String, _ snapshot: KademliaSnapshot, _ session: Session) throws -> JSON {
        let now = session.system.wallTime
        let book = try session.online.swarm.addressBook
        // Whole seconds, as Kubo gives them.
        func time(_ age: Duration) -> JSON { .string(Clock.rfc3339((now.nanoseconds - age.wholeNanoseconds) / 1_000_000_000)) }
        var buckets: [JSON] = []
        for bucket in snapshot.buckets {
            let peers = bucket.peers.map { peer -> JSON in
                [
                    "ID": .string(peer.contact.peer.description), "Connected": .bool(peer.isConnected),
                    "AgentVersion": .string(book.agentVersion(of: peer.contact.peer) ?? ""), "LastUsefulAt": time(peer.lastAnswer),
                    "LastQueriedAt": time(peer.lastAnswer),
                ]
            }
            buckets.append(["LastRefresh": bucket.refreshed.map(time) ?? "", "Peers": .array(peers)])
        }
        return ["Name": .string(name), "Buckets": .array(buckets)]
    }

    private static func statText(_ value: JSON, _ request: Request) -> String {
        let buckets = value["Buckets"]?.array ?? []
        let count = buckets.reduce(0) { $0 + ($1["Peers"]?.array?.count ?? 0) }
        let now = (request.startedAt?.nanoseconds ?? 0) / 1_000_000_000
        func since(_ text: JSON?) -> String {
            guard let text = text?.string, let time = WallTime(rfc3339: text) else { return "never" }
            return now == 0 ? text : "\(GoDuration.text(.seconds(max(0, now - time.nanoseconds / 1_000_000_000)))) ago"
        }
        var rows = "DHT \(value["Name"]?.string ?? "") (\(count) peers):\t\t\t\n"
        for (index, bucket) in buckets.enumerated() {
            let peers = bucket["Peers"]?.array ?? []
            rows += "  Bucket \(index < 10 ? " " : "")\(index) (\(peers.count) peers) - refreshed \(since(bucket["LastRefresh"])):\t\t\t\t\n"
            rows += "    Peer\tlast useful\tlast queried\tAgent Version\n"
            for peer in peers {
                let state = peer["Connected"] == true ? "@" : " "
                rows += "  \(state) \(peer["ID"]?.string ?? "")\t\(since(peer["LastUsefulAt"]))\t\(since(peer["LastQueriedAt"]))\t\(peer["AgentVersion"]?.string ?? "")\n"
            }
            rows += "\t\t\t\n"
        }
        return AlignedText.lay(rows, minimum: 4, padding: 2)
    }
}
