import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `bootstrap`, `bootstrap list`, `add`, `rm`.
enum BootstrapCommands {
    static let command: Command = Command(
        "bootstrap", "Show or edit the list of bootstrap peers.",
        description: """
            A node connects to these peers when it starts. Whoever runs them can see that it is there, so change the list with care. This program brings no
            list of its own.
            """,
        example: "> waggle bootstrap add /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…", subcommands: [list, add, remove], needs: .configuration, text: listText, run: show)

    private static let show: Command.Run = { _, session, emitter in
        try await emitter.emitOnce(["Peers": .strings(try session.configuration.bootstrap)])
    }

    private static let listText: Command.Text = { value, _ in peers(value).map { $0 + "\n" }.joined() }

    private static func peers(_ value: JSON) -> [String] { (value["Peers"]?.array ?? []).compactMap(\.string).sorted() }

    private static let list = Command(
        "list", "Show peers in the bootstrap list.", description: "Peers are shown as '<multiaddr>/p2p/<peer id>'.", example: "> waggle bootstrap list",
        options: [.flag("expand-auto", about: "Accepted for compatibility; there are no placeholders to expand.")], needs: .configuration,
        text: listText, run: show)

    private static let peerArgument: Argument = .string(
        "peer", "A peer to add to or take from the list, in the format '<multiaddr>/p2p/<peer id>'.", required: false, variadic: true, input: true)

    private static let add = Command(
        "add", "Add peers to the bootstrap list.", description: "Shows the peers that were added.",
        example: "> waggle bootstrap add /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…", arguments: [peerArgument], needs: .configuration,
        text: { value, _ in peers(value).map { "added \($0)\n" }.joined() }
    ) { request, session, emitter in
        guard !request.arguments.isEmpty else { throw CommandError("no bootstrap peers to add") }
        for text in request.arguments { try check(text) }
        var added: [String] = []
        for text in request.arguments where !added.contains(text) { added.append(text) }
        try session.changeConfiguration { configuration in
            let kept = configuration.bootstrap.filter { !added.contains($0) }
            try configuration.set("Bootstrap", to: .strings(added + kept))
        }
        try await emitter.emitOnce(["Peers": .strings(added)])
    }

    private static func check(_ text: String) throws {
        if text == "default" || text == "auto" {
            throw CommandError("cannot add default bootstrap peers: this program brings none; give the addresses of peers")
        }
        let address: Multiaddr
        do { address = try Multiaddr(parsing: text) } catch { throw CommandError("failed to parse multiaddr \"\(text)\": \(error)") }
        guard address.peer != nil else { throw CommandError("invalid bootstrap address: \(text)") }
        guard let rest = address.withoutPeerID, rest.components.first(where: { _ in true }) != nil else { throw CommandError("bootstrap address without a transport: \(text)") }
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
        for text in request.arguments where Multiaddr(text) == nil && PeerText.parse(text) == nil {
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

    private static func removeAll(_ session: Session, _ emitter: any Emitter) async throws {
        let all = try session.configuration.bootstrap
        try session.changeConfiguration { try $0.set("Bootstrap", to: []) }
        try await emitter.emitOnce(["Peers": .strings(all)])
    }
}
