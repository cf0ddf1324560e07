import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `bootstrap`, `bootstrap list`, `add`, `rm`.
enum BootstrapCommands {
    static let command: Command = Command(
        "bootstrap", "Show or edit the list of bootstrap peers.",
        description: """
            A node connects to these peers when it starts, and again when it has lost its others. Whoever runs them can see that it is there, so change the
            list with care. An entry is a peer's address, with /p2p/<peer id> at its end; host:port for whoever answers there; or a list of peers that somebody
            publishes: dns://name in TXT records, https://… in a document.
            """,
        example: "> waggle bootstrap add /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…", subcommands: [list, add, remove], needs: .configuration, text: listText, run: show)

    private static let show: Command.Run = { request, session, emitter in
        let list = try session.configuration.bootstrap
        try await emitter.emitOnce(["Peers": .strings(request.flag("expand-auto") ? ConfigurationDefaults.expanded(list) : list)])
    }

    private static let listText: Command.Text = { value, _ in peers(value).map { $0 + "\n" }.joined() }

    private static func peers(_ value: JSON) -> [String] { (value["Peers"]?.array ?? []).compactMap(\.string).sorted() }

    private static let list = Command(
        "list", "Show peers in the bootstrap list.", description: "Peers are shown as '<multiaddr>/p2p/<peer id>'.", example: "> waggle bootstrap list",
        options: [.flag("expand-auto", about: "Show the peers that 'auto' stands for.")], needs: .configuration,
        text: listText, run: show)

    private static let peerArgument: Argument = .string(
        "peer", "A peer to add to or take from the list, in the format '<multiaddr>/p2p/<peer id>'.", required: false, variadic: true, input: true)

    private static let add = Command(
        "add", "Add peers to the bootstrap list.", description: "Shows the peers that were added.",
        example: "> waggle bootstrap add /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…\n> waggle bootstrap add dns://seeds.example.org", arguments: [peerArgument],
        options: [.flag("default", about: "Add the peers of the public network.")],
        subcommands: [
            Command(
                "default", "Add the default peers to the bootstrap list.", description: "Shows the peers that were added.",
                example: "> waggle bootstrap add default", needs: .configuration, text: addText
            ) { _, session, emitter in try await add(ConfigurationDefaults.bootstrap, session, emitter) }
        ],
        needs: .configuration, text: addText
    ) { request, session, emitter in
        let wanted = (request.flag("default") ? ConfigurationDefaults.bootstrap : []) + request.arguments
        guard !wanted.isEmpty else { throw CommandError("no bootstrap peers to add") }
        for text in wanted where text != ConfigurationDefaults.automatic { try check(text) }
        try await add(wanted, session, emitter)
    }

    private static let addText: Command.Text = { value, _ in peers(value).map { "added \($0)\n" }.joined() }

    private static func add(_ wanted: [String], _ session: Session, _ emitter: any Emitter) async throws {
        var added: [String] = []
        for text in wanted where !added.contains(text) { added.append(text) }
        try session.changeConfiguration { configuration in
            let kept = configuration.bootstrap.filter { !added.contains($0) }
            try configuration.set("Bootstrap", to: .strings(added + kept))
        }
        try await emitter.emitOnce(["Peers": .strings(added)])
    }

    private static func check(_ text: String) throws {
        let source: SeedSource
        do { source = try SeedSource(text) } catch {
            throw CommandError(text.hasPrefix("/") ? "failed to parse multiaddr \(error)" : "invalid bootstrap address: \(error)")
        }
        if text.hasPrefix("/"), case .address(let address) = source, address.peer == nil { throw CommandError("invalid bootstrap address: \(text) does not end in /p2p/<peer id>") }
    }

    private static let removeText: Command.Text = { value, _ in peers(value).map { "removed \($0)\n" }.joined() }

    private static let remove = Command(
        "rm", "Remove peers from the bootstrap list.", description: "Shows the peers that were removed.",
        example: "> waggle bootstrap rm --all", arguments: [peerArgument], options: [.flag("all", about: "Remove all bootstrap peers.")],
        subcommands: [
            Command(
                "all", "Remove all peers from the bootstrap list.", description: "Shows the peers that were removed.",
                example: "> waggle bootstrap rm all", needs: .configuration, text: removeText
            ) { _, session, emitter in try await removeAll(session, emitter) }
        ],
        needs: .configuration, text: removeText
    ) { request, session, emitter in
        if request.flag("all") { return try await removeAll(session, emitter) }
        for text in request.arguments where !isEntry(text) && Multiaddr(text) == nil && PeerText.parse(text) == nil {
            throw CommandError("failed to parse multiaddr \"\(text)\": not an address")
        }
        var removed: [String] = []
        try session.changeConfiguration { configuration in
            let known = configuration.bootstrap
            for text in request.arguments {
                // A bare PeerID takes all its addresses.
                let matches = known.filter { $0 == text || Multiaddr($0)?.peer.map { "/p2p/\($0)" == text || "\($0)" == text } == true }
                removed += matches.filter { !removed.contains($0) }
            }
            try configuration.set("Bootstrap", to: .strings(known.filter { !removed.contains($0) }))
        }
        try await emitter.emitOnce(["Peers": .strings(removed)])
    }

    private static func isEntry(_ text: String) -> Bool {
        do { _ = try SeedSource(text) } catch { return text == ConfigurationDefaults.automatic }
        return true
    }

    private static func removeAll(_ session: Session, _ emitter: any Emitter) async throws {
        let all = try session.configuration.bootstrap
        try session.changeConfiguration { try $0.set("Bootstrap", to: []) }
        try await emitter.emitOnce(["Peers": .strings(all)])
    }
}
