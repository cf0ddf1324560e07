import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `rendezvous register`, `unregister`, `discover`, `ls`: meeting peers under a name at a server that both know.
enum RendezvousCommands {
    static let command: Command = Command(
        "rendezvous", "Meet peers under a name at a rendezvous server.",
        description: """
            Peers that look for the same thing register under a name at a server that all of them know, and ask it who else did. Where no server is given
            with --at, those in Waggle.Rendezvous.Points of the configuration are used; names in Waggle.Rendezvous.Namespaces are registered and searched
            from the start of the daemon on. With Waggle.Rendezvous.Server set to true a daemon is such a server itself.
            """,
        example: "> waggle rendezvous register my-game --at /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…\n> waggle rendezvous discover my-game",
        subcommands: [register, unregister, discover, list])

    private static let pointOption: Option = .string("at", about: "Address of the server, ending in /p2p/<peer id>. Default: all of the configuration.")
    private static let namespace: Argument = .string("namespace", "The name, up to \(RendezvousLimits.namespace) bytes.")

    private static let register = Command(
        "register", "Register under a name, and keep the registration up.",
        description: "The registration is renewed until it is taken back or the daemon ends; with --once it ends by itself.",
        example: "> waggle rendezvous register my-game", arguments: [namespace],
        options: [pointOption, .flag("once", about: "Register once."), .string("ttl", about: "How long the registration shall hold, with --once; for example 2h.")],
        text: { value, _ in
            let time = value["TTL"]?.integer.map { " for \($0 / 1_000_000_000) s" } ?? ""
            return "registered \(TerminalText.visible(value["Namespace"]?.string ?? "")) with \(value["Point"]?.string ?? "")\(time)\n"
        }
    ) { request, session, emitter in
        let rendezvous = try session.rendezvous
        let name = request.arguments[0]
        var time: Duration?
        if let text = request.string("ttl") {
            guard request.flag("once") else { throw CommandError("--ttl goes with --once: what is kept up needs no time") }
            guard let parsed = GoDuration.parse(text) else { throw CommandError("--ttl: \"\(text)\" is not a duration such as 2h") }
            time = parsed
        }
        for (peer, address) in try points(request, session) {
            try await reach(peer, address, session, "register with")
            do {
                let granted = try await rendezvous.register(name, at: peer, addresses: address.withoutPeerID.map { [$0] } ?? [], time: time)
                if !request.flag("once") { try rendezvous.keep(name, at: address) }
                try await emitter.emit(["Namespace": .string(name), "Point": .string(peer.description), "TTL": JSON(granted.wholeNanoseconds)])
            } catch let error as RendezvousError {
                throw CommandError("register with \(peer): \(explain(error))")
            }
        }
    }

    /// Who asks by hand wants it now, whatever failed a moment ago.
    private static func reach(_ peer: PeerID, _ address: Multiaddr, _ session: Session, _ what: String) async throws {
        let swarm = try session.online.swarm
        do throws(SwarmError) { _ = try await swarm.connect(to: peer, addresses: address.withoutPeerID.map { [$0] } ?? [], ignoringBackOff: true) } catch {
            throw CommandError("\(what) \(peer): \(SwarmText.explain(error))")
        }
    }

    private static let unregister = Command(
        "unregister", "Take a registration back.", example: "> waggle rendezvous unregister my-game", arguments: [namespace], options: [pointOption],
        text: { value, _ in "unregistered \(TerminalText.visible(value["Namespace"]?.string ?? "")) with \(value["Point"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let rendezvous = try session.rendezvous
        let name = request.arguments[0]
        for (peer, address) in try points(request, session) {
            rendezvous.release(name, at: peer)
            do throws(RendezvousError) { try await rendezvous.unregister(name, at: peer, addresses: address.withoutPeerID.map { [$0] } ?? []) } catch {
                throw CommandError("unregister with \(peer): \(explain(error))")
            }
            try await emitter.emit(["Namespace": .string(name), "Point": .string(peer.description)])
        }
    }

    private static let discover = Command(
        "discover", "Find the peers that are registered under a name.", description: "Without a name, those under any name. Shows addresses, one a line.",
        example: "> waggle rendezvous discover my-game --connect",
        arguments: [.string("namespace", "The name.", required: false)],
        options: [
            pointOption, .integer("limit", "n", about: "Peers to show at most from each server.", default: 100),
            .flag("connect", about: "Connect to the peers that are found."),
        ],
        text: { value, _ in
            let peer = value["ID"]?.string ?? ""
            let state = value["Error"]?.string.map { " (\($0))" } ?? (value["Connected"] == true ? " (connected)" : "")
            let addresses = (value["Addrs"]?.array ?? []).compactMap(\.string)
            return addresses.isEmpty ? "/p2p/\(peer)\(state)\n" : addresses.map { "\($0)/p2p/\(peer)\(state)\n" }.joined()
        }
    ) { request, session, emitter in
        let rendezvous = try session.rendezvous
        let online = try session.online
        let limit = Int(clamping: request.integer("limit") ?? 100)
        guard limit > 0 else { throw CommandError("--limit must be greater than 0") }
        for (point, address) in try points(request, session) {
            try await reach(point, address, session, "discover at")
            do {
                for try await found in rendezvous.peers(request.arguments.first, at: point, addresses: address.withoutPeerID.map { [$0] } ?? [], limit: limit) {
                    var row: JSON = [
                        "ID": .string(found.peer.description), "Addrs": .strings(found.addresses.map(\.description)), "Namespace": .string(found.namespace),
                        "TTL": JSON(found.time.wholeNanoseconds), "Signed": .bool(found.isSigned),
                    ]
                    if request.flag("connect") {
                        do throws(SwarmError) {
                            _ = try await online.swarm.connect(to: found.peer, addresses: found.addresses, ignoringBackOff: true)
                            row["Connected"] = true
                        } catch {
                            row["Error"] = .string(SwarmText.explain(error))
                        }
                    }
                    try await emitter.emit(row)
                }
            } catch let error as RendezvousError {
                throw CommandError("discover at \(point): \(explain(error))")
            }
        }
    }

    private static let list = Command(
        "ls", "List the registrations that this node keeps up.", example: "> waggle rendezvous ls",
        text: { value, _ in
            (value["Registrations"]?.array ?? []).map { row in
                let state = row["Registered"] == true ? "registered" : "not registered"
                return "\(TerminalText.visible(row["Namespace"]?.string ?? "")) \(row["Point"]?.string ?? "") \(state)\n"
            }.joined()
        }
    ) { _, session, emitter in
        let rows = try session.rendezvous.kept.map { kept -> JSON in
            ["Namespace": .string(kept.namespace), "Point": .string(kept.point.description), "Registered": .bool(kept.isRegistered)]
        }
        try await emitter.emitOnce(["Registrations": .array(rows)])
    }

    // MARK: Inside

    private static func points(_ request: Request, _ session: Session) throws -> [(peer: PeerID, address: Multiaddr)] {
        let texts = try request.string("at").map { [$0] } ?? session.configuration.rendezvousPoints
        guard !texts.isEmpty else { throw CommandError("no rendezvous server: give one with --at, or set Waggle.Rendezvous.Points") }
        return try texts.map { text in
            guard let address = Multiaddr(text), let peer = address.peer else { throw CommandError("\"\(text)\" is not an address that ends in /p2p/<peer id>") }
            return (peer, address)
        }
    }

    private static func explain(_ error: RendezvousError) -> String {
        switch error {
        case .refused(let status, let text): text.isEmpty ? "refused (\(status.rawValue))" : "refused: \(TerminalText.visible(text)) (\(status.rawValue))"
        case .unreachable(let cause): SwarmText.explain(cause)
        case .broken: "the server broke off or does not speak the protocol"
        case .invalidNamespace: "the namespace is empty or longer than \(RendezvousLimits.namespace) bytes"
        case .noPoint: "no server"
        case .tooMany: "there are \(RendezvousLimits.kept) registrations already"
        case .cancelled: "cancelled"
        }
    }
}

extension Session {
    fileprivate var rendezvous: Rendezvous {
        get throws {
            guard let rendezvous = try online.node.rendezvous else { throw CommandError("this node has no rendezvous service") }
            return rendezvous
        }
    }
}
