import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `bitswap stat`, `wantlist`, `ledger`.
enum BitswapCommands {
    static let command: Command = Command(
        "bitswap", "Interact with the bitswap agent.", description: "Bitswap is how blocks are exchanged with peers.",
        example: "> waggle bitswap stat --human", subcommands: [stat, wantlist, ledger, reprovide])

    static let stat = Command(
        "stat", "Show some diagnostic information on the bitswap agent.", description: "Shows what was exchanged since the daemon started.",
        example: "> waggle bitswap stat --human",
        options: [
            .flag("verbose", "v", about: "Print extra information"),
            .flag("human", about: "Print sizes in human readable format (e.g., 1K 234M 2G)"),
        ],
        text: { value, request in try text(value, request) }
    ) { _, session, emitter in
        let now = try await session.online.bitswap.statistics()
        try await emitter.emitOnce([
            "Wantlist": .array(now.wantlist.map { ["/": .string($0.description)] }), "Peers": .strings(now.peers.map(\.description)),
            "BlocksReceived": JSON(now.blocksReceived), "DataReceived": JSON(now.bytesReceived), "DupBlksReceived": JSON(now.duplicateBlocks),
            "DupDataReceived": 0, "MessagesReceived": JSON(now.messagesReceived), "BlocksSent": JSON(now.blocksSent), "DataSent": JSON(now.bytesSent),
            "ProvideBufLen": 0,
        ])
    }

    private static func text(_ value: JSON, _ request: Request) throws -> String {
        let show = try CIDText(request)
        func count(_ name: String) -> Int64 { value[name]?.integer ?? 0 }
        func size(_ name: String) -> String {
            request.flag("human") ? ByteSize.human(UInt64(clamping: count(name))) : "\(count(name))"
        }
        let wants = (value["Wantlist"]?.array ?? []).compactMap { $0["/"]?.string }
        let peers = (value["Peers"]?.array ?? []).compactMap(\.string)
        var text = """
            bitswap status
            \tblocks received: \(count("BlocksReceived"))
            \tblocks sent: \(count("BlocksSent"))
            \tdata received: \(size("DataReceived"))
            \tdata sent: \(size("DataSent"))
            \tdup blocks received: \(count("DupBlksReceived"))
            \tdup data received: \(size("DupDataReceived"))
            \twantlist [\(wants.count) keys]

            """
        for want in wants { text += "\t\t\(CID(want).map { show($0) } ?? want)\n" }
        text += "\tpartners [\(peers.count)]\n"
        if request.flag("verbose") { text += peers.map { "\t\t\($0)\n" }.joined() }
        return text
    }

    private static let reprovide: Command = {
        var command = RoutingCommands.reprovide
        command.tagline = "Deprecated: use 'routing reprovide' instead."
        return command
    }()

    private static let wantlist = Command(
        "wantlist", "Show blocks currently on the wantlist.", description: "Lists the blocks that this node, or a peer, is looking for.",
        example: "> waggle bitswap wantlist", options: [.string("peer", "p", about: "Specify which peer to show wantlist for. Default: self.")],
        text: { value, request in
            let show = try CIDText(request)
            return (value["Keys"]?.array ?? []).compactMap { $0["/"]?.string }.map { text in (CID(text).map { show($0) } ?? text) + "\n" }.sorted().joined()
        }
    ) { request, session, emitter in
        let online = try session.online
        var keys = await online.bitswap.statistics().wantlist
        if let text = request.string("peer") {
            guard let peer = PeerText.parse(text) else { throw CommandError("invalid peer id: \(text)") }
            if peer != online.swarm.localPeer { keys = await online.bitswap.wantlist(of: peer) }
        }
        try await emitter.emitOnce(["Keys": keys.isEmpty ? .null : .array(keys.map { ["/": .string($0.description)] })])
    }

    private static let ledger = Command(
        "ledger", "Show the current ledger for a peer.", description: "Shows how many bytes were exchanged with a peer.",
        example: "> waggle bitswap ledger <peer-id>", arguments: [.string("peer", "The PeerID (B58) of the ledger to inspect.")],
        text: { value, _ in
            var ratio = 0.0
            if case .number(let number)? = value["Value"] { ratio = number } else if let whole = value["Value"]?.integer { ratio = Double(whole) }
            return """
                Ledger for \(value["Peer"]?.string ?? "")
                Debt ratio:\t\(Decimal.fixed(ratio, places: 6))
                Exchanges:\t\(value["Exchanged"]?.integer ?? 0)
                Bytes sent:\t\(value["Sent"]?.integer ?? 0)
                Bytes received:\t\(value["Recv"]?.integer ?? 0)


                """
        }
    ) { request, session, emitter in
        let online = try session.online
        guard let peer = PeerText.parse(request.arguments[0]) else { throw CommandError("invalid peer id: \(request.arguments[0])") }
        let ledger = await online.bitswap.ledger(of: peer)
        try await emitter.emitOnce([
            "Peer": .string(peer.description), "Value": .number(ledger?.debtRatio ?? 0), "Sent": JSON(ledger?.bytesSent ?? 0),
            "Recv": JSON(ledger?.bytesReceived ?? 0), "Exchanged": JSON(ledger?.exchanges ?? 0),
        ])
    }
}
