import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `swarm peers`, `connect`, `disconnect`, `addrs`.
enum SwarmCommands {
    static let command: Command = Command(
        "swarm", "Interact with the swarm.",
        description: "The swarm is the component that opens, listens for, and maintains connections to other peers.",
        example: "> waggle swarm connect /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…\n> waggle swarm peers -v", subcommands: [peers, connect, disconnect, addresses, SwarmFilterCommands.command, SwarmPeeringCommands.command, SwarmBansCommands.command, SwarmIdentitiesCommands.command, SwarmResourcesCommand.command])

    private static let peers = Command(
        "peers", "List peers with open connections.",
        description: "Lists the peers this node is connected to. With '-v' also the latency and how each connection is secured: the channel, what its keys were agreed on with, the peer's signature, and whether both sides verified what they offered (other implementations do not know how, so theirs are unverified).",
        example: "> waggle swarm peers -v",
        options: [
            .flag("verbose", "v", about: "display all extra information"),
            .flag("streams", about: "Also list information about open streams for each peer"),
            .flag("latency", about: "Also list information about latency to each peer"),
            .flag("direction", about: "Also list information about the direction of connection"),
            .flag("identify", about: "Also list information about peers identify"),
        ],
        text: { value, request in (value["Peers"]?.array ?? []).map { line($0, request) }.joined() }
    ) { request, session, emitter in
        let online = try session.online
        var rows: [(key: String, value: JSON)] = []
        for connection in online.swarm.connections {
            rows.append((connection.peer.description, await describe(connection, online.swarm, request)))
        }
        rows.sort { $0.key < $1.key }
        try await emitter.emitOnce(["Peers": .array(rows.map(\.value))])
    }

    private static func describe(_ connection: Connection, _ swarm: Swarm, _ request: Request) async -> JSON {
        let all = request.flag("verbose")
        let address = connection.remoteAddress.withoutPeerID ?? connection.remoteAddress
        var row: JSON = ["Addr": .string(address.description), "Peer": .string(connection.peer.description)]
        if let alias = connection.alias { row["Alias"] = .string(alias.description) }
        row["Latency"] = .string(all || request.flag("latency") ? connection.roundTrip.map { PingText.duration($0) } ?? "n/a" : "")
        row["Muxer"] = .string(all ? connection.muxer.text : "")
        row["Direction"] = JSON(all || request.flag("direction") ? (connection.direction == .inbound ? 1 : 2) : 0)
        row["Streams"] = .null
        if all || request.flag("streams") { row["Streams"] = .array(await connection.openProtocols.map { ["Protocol": .string($0.text)] }) }
        if all || request.flag("identify") {
            row["Identify"] = [
                "ID": .string(connection.peer.description),
                "PublicKey": .string(Multibase.base64pad.encode(connection.peerKey.encoded, prefixed: false)), "AgentVersion": .string(swarm.addressBook.agentVersion(of: connection.peer) ?? ""),
                "Addresses": .strings(swarm.addressBook.addresses(of: connection.peer).map { $0.with(peer: connection.peer).description }.sorted()),
                "Protocols": .strings(swarm.addressBook.protocols(of: connection.peer).map(\.text).sorted()),
            ]
        }
        if all, let standing = swarm.reputation.standing(of: connection.peer) {
            row["Reputation"] = ["Score": .string(String(Int(standing.score))), "Offences": JSON(standing.offences), "LastOffence": .string(standing.lastOffence)]
        }
        if all {
            row["Security"] = [
                "Channel": .string(connection.security.channel.text), "KeyExchange": .string(connection.security.keyExchange),
                "Signature": .string(connection.security.signature), "PostQuantum": .bool(connection.security.isPostQuantum),
                "TranscriptVerified": .bool(connection.security.transcriptVerified),
            ]
        }
        return row
    }

    private static func line(_ row: JSON, _ request: Request) -> String {
        var text = "\(row["Addr"]?.string ?? "")/p2p/\(row["Peer"]?.string ?? "")"
        if let latency = row["Latency"]?.string, !latency.isEmpty { text += " \(latency)" }
        if let direction = row["Direction"]?.integer, direction > 0 { text += direction == 1 ? " inbound" : " outbound" }
        text += "\n"
        if let security = row["Security"] {
            text += "  \(security["Channel"]?.string ?? "") \(security["KeyExchange"]?.string ?? "") \(security["Signature"]?.string ?? "")"
            if let alias = row["Alias"]?.string { text += " also \(alias)" }
            text += security["TranscriptVerified"]?.bool == true ? " verified\n" : " unverified\n"
        }
        if let reputation = row["Reputation"] {
            text += "  misbehaved \(reputation["Offences"]?.integer ?? 0) times, \(reputation["Score"]?.string ?? "0") points (\(TerminalText.visible(reputation["LastOffence"]?.string ?? "")))\n"
        }
        for stream in row["Streams"]?.array ?? [] { text += "  \(TerminalText.visible(stream["Protocol"]?.string ?? ""))\n" }
        if let identify = row["Identify"], request.flag("identify") || request.flag("verbose") {
            text += "  agent \(TerminalText.visible(identify["AgentVersion"]?.string ?? ""))\n"
        }
        return text
    }

    private static let connect = Command(
        "connect", "Open connection to a given peer.", description: "Opens a new direct connection to a peer address, an IPFS multiaddr.",
        example: "> waggle swarm connect /ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
        arguments: [.string("address", "Address of peer to connect to.", variadic: true, input: true)],
        text: { value, _ in (value["Strings"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined() }
    ) { request, session, emitter in
        let online = try session.online
        var lines: [String] = []
        for text in request.arguments {
            for (peer, addresses) in try await PeerAddress.resolve(text, online.swarm) {
                do {
                    // Who asks by hand wants it now, whatever failed a moment ago.
                    try await online.node.connect(to: peer, addresses: addresses, ignoringBackOff: true)
                } catch {
                    throw CommandError("connect \(peer) failure: \(SwarmText.explain(error))")
                }
                lines.append("connect \(peer) success")
            }
        }
        try await emitter.emitOnce(["Strings": .strings(lines)])
    }

    private static let disconnect = Command(
        "disconnect", "Close connection to a given address.", description: "Closes all connections to a peer. It may be dialed again later.",
        example: "> waggle swarm disconnect /p2p/12D3KooW…",
        arguments: [.string("address", "Address of peer to disconnect from.", variadic: true, input: true)],
        text: { value, _ in (value["Strings"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined() }
    ) { request, session, emitter in
        let online = try session.online
        var lines: [String] = []
        for text in request.arguments {
            let (peer, _) = try PeerAddress.parse(text)
            guard online.swarm.isConnected(peer) else {
                lines.append("disconnect \(peer) failure: not connected")
                continue
            }
            await online.swarm.disconnect(peer)
            lines.append("disconnect \(peer) success")
        }
        try await emitter.emitOnce(["Strings": .strings(lines)])
        if lines.contains(where: { $0.hasSuffix("not connected") }) { throw CommandError("conn not found") }
    }

    private static let addresses = Command(
        "addrs", "List known addresses. Useful for debugging.", description: "Lists all addresses this node is aware of, by peer.",
        example: "> waggle swarm addrs listen",
        subcommands: [
            Command(
                "local", "List local addresses.", description: "Lists all local listening addresses announced to the network.",
                example: "> waggle swarm addrs local --id", options: [.flag("id", about: "Show peer ID in addresses.")], text: listText
            ) { request, session, emitter in
                let swarm = try session.online.swarm
                let suffix = request.flag("id") ? "/p2p/\(swarm.localPeer)" : ""
                try await emitter.emitOnce(["Strings": .strings(swarm.announcedAddresses.map { $0.description + suffix }.sorted())])
            },
            Command(
                "autonat", "Show address reachability.", description: "This version does not ask others whether it can be reached: all addresses are unknown.",
                example: "> waggle swarm addrs autonat",
                text: { value, _ in
                    let addresses = (value["unknown"]?.array ?? []).compactMap(\.string)
                    return "AutoNAT reachability: \(value["reachability"]?.string ?? "")\n" + addresses.map { "  \($0) (unknown)\n" }.joined()
                }
            ) { _, session, emitter in
                let addresses = try session.online.swarm.announcedAddresses.map(\.description).sorted()
                try await emitter.emitOnce(["reachability": "Unknown", "reachable": .null, "unreachable": .null, "unknown": .strings(addresses)])
            },
            Command(
                "listen", "List interface listening addresses.", description: "Lists all interface addresses the node is listening on.",
                example: "> waggle swarm addrs listen", text: listText
            ) { _, session, emitter in
                try await emitter.emitOnce(["Strings": .strings(try session.online.swarm.listenAddresses.map(\.description).sorted())])
            },
        ],
        text: { value, _ in
            (value["Addrs"]?.object?.entries ?? []).map { peer, addresses in
                let lines = (addresses.array ?? []).compactMap(\.string)
                return "\(peer) (\(lines.count))\n" + lines.map { "\t\($0)\n" }.joined()
            }.joined()
        }
    ) { _, session, emitter in
        let book = try session.online.swarm.addressBook
        var all = OrderedMap<JSON>()
        for peer in book.peers.sorted() {
            let known = book.addresses(of: peer)
            if !known.isEmpty { all[peer.description] = .strings(known.map(\.description)) }
        }
        try await emitter.emitOnce(["Addrs": .object(all)])
    }

    private static let listText: Command.Text = { value, _ in (value["Strings"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined() }
}

/// A peer as people name it: a PeerID, or an address that ends in one.
enum PeerAddress {
    static func parse(_ text: String) throws(CommandError) -> (peer: PeerID, address: Multiaddr?) {
        guard text.hasPrefix("/") else {
            do { return (try PeerID(text), nil) } catch { throw CommandError("failed to parse peer address '\(text)': not a peer id or an address") }
        }
        let address: Multiaddr
        do { address = try Multiaddr(parsing: text) } catch { throw CommandError("failed to parse multiaddr \"\(text)\": \(error)") }
        guard let peer = address.peer else { throw CommandError("invalid peer address \"\(text)\": it does not end in /p2p/<peer id>") }
        return (peer, address.withoutPeerID)
    }

    /// The same, but a `/dnsaddr` may name no peer: it stands for all that the domain name system tells.
    static func resolve(_ text: String, _ swarm: Swarm) async throws(CommandError) -> [(peer: PeerID, addresses: [Multiaddr])] {
        guard let address = Multiaddr(text), address.contains(.dnsaddr), address.peer == nil else {
            let (peer, address) = try parse(text)
            return [(peer, address.map { [$0] } ?? [])]
        }
        var peers: [(peer: PeerID, addresses: [Multiaddr])] = []
        let found: [Multiaddr]
        do { found = try await swarm.resolver.resolve(address) } catch { throw CommandError("failed to resolve \(text): \(SwarmText.explain(error))") }
        for address in found {
            guard let peer = address.peer else { continue }
            if let index = peers.firstIndex(where: { $0.peer == peer }) { peers[index].addresses.append(address) } else { peers.append((peer, [address])) }
        }
        guard !peers.isEmpty else { throw CommandError("failed to resolve \(text): no address there ends in /p2p/<peer id>") }
        return peers
    }
}

/// Sentences for what went wrong in the swarm.
enum SwarmText {
    static func explain(_ error: any Error) -> String {
        guard let error = error as? SwarmError else { return "\(error)" }
        switch error {
        case .noAddresses(let peer): return "no addresses are known for \(peer); give one that ends in /p2p/\(peer)"
        case .dialFailed(let failures):
            return "all dials failed" + failures.map { "\n  * [\($0.address)] \(explain($0.cause))" }.joined()
        case .refused(let refusal): return "refused: \(refusal.rawValue)"
        case .unsupportedAddress(let address): return "no transport for \(address)"
        case .listenFailed(let address, let cause): return "cannot listen on \(address): \(explain(cause))"
        case .stream(let cause): return "the stream failed: \(cause)"
        case .cancelled: return "context canceled"
        case .closed: return "the node is shutting down"
        }
    }

    static func explain(_ error: TransportError) -> String {
        switch error {
        case .network(let cause): explain(cause)
        case .handshake(let cause): "handshake failed: \(cause)\(advice(cause))"
        case .wrongPeer(let peer): "another peer answered: \(peer)"
        case .refused(let refusal): "refused: \(refusal.rawValue)"
        case .unsupportedAddress: "no transport for this address"
        case .unresolved(let cause): "the name could not be resolved: \(explain(cause))"
        case .timedOut: "timed out"
        case .backOff: "failed a moment ago; waiting before it is tried again"
        case .cancelled: "cancelled"
        }
    }

    private static func advice(_ error: UpgradeError) -> String {
        guard case .handshake(.identityRefused(let refusal)) = error, case .partnerMissing = refusal.cause else { return "" }
        return "; if its owner has given that one up, 'swarm identities rm \(refusal.peer)' forgets it"
    }

    static func explain(_ error: ResolveError) -> String {
        switch error {
        case .notFound: "there is no such name, or it has no such record"
        case .invalidName: "this is no host name"
        case .timedOut: "no name server answered in time"
        case .serverFailure: "the name servers do not answer, or refuse to"
        case .busy: "too many questions are under way"
        case .cancelled: "cancelled"
        case .other(let detail): detail
        }
    }

    static func explain(_ error: NetworkError) -> String {
        switch error {
        case .addressInUse(let address): "address \(HostText.of(address)) is already in use; stop the other program or choose another port"
        case .permissionDenied(let address): "no permission for \(HostText.of(address)); ports below 1024 need privileges"
        case .addressNotAvailable(let address): "\(HostText.of(address)) is not an address of this machine"
        case .connectionRefused: "connection refused"
        case .unreachable: "network unreachable"
        case .timedOut: "timed out"
        case .cancelled: "cancelled"
        case .outOfDescriptors: "too many open files; raise the limit with 'ulimit -n'"
        case .other(let errno): "network error \(errno)"
        }
    }
}
