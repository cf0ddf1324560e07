import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `swarm identities ls`, `rm`: peers that are known to have two identities.
enum SwarmIdentitiesCommands {
    static let command: Command = Command(
        "identities", "List and forget peers with two identities.",
        description: """
            A peer can have a classical and a post-quantum identity, and prove both in one handshake. This node remembers such a pair while the peer's
            certificate is valid, some days, and believes neither name without the other meanwhile. Forget a pair when its owner has given up one of
            the two: else that peer is refused until the certificate is over.
            """,
        example: "> waggle swarm identities\n> waggle swarm identities rm 12D3KooW…", subcommands: [list, remove], text: listText, run: show)

    private static let list = Command(
        "ls", "List peers with two identities.", description: "Lists both names of each peer, and when its certificate is over.",
        example: "> waggle swarm identities ls", text: listText, run: show)

    private static let show: Command.Run = { _, session, emitter in
        let bindings = try session.online.swarm.addressBook.identities.all
        let rows: [JSON] = bindings.map { binding in
            [
                "ID": .string(binding.classical.description), "SecondID": .string(binding.postQuantum.description),
                "Expires": .string(Clock.rfc3339(binding.expires.nanoseconds / 1_000_000_000)),
            ]
        }
        try await emitter.emitOnce(["Identities": .array(rows)])
    }

    private static let listText: Command.Text = { value, _ in
        (value["Identities"]?.array ?? []).map { row in
            "\(row["ID"]?.string ?? "") \(row["SecondID"]?.string ?? "") until \(row["Expires"]?.string ?? "")\n"
        }.joined()
    }

    private static let remove = Command(
        "rm", "Forget pairs.", description: "Forgets that the given peers have two identities; either name will do. Their next handshake may tell again.",
        example: "> waggle swarm identities rm 12D3KooW…", arguments: [.string("ID", "Peer to forget the pair of.", variadic: true, input: true)],
        text: { value, _ in "forgot \(value["ID"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let identities = try session.online.swarm.addressBook.identities
        let peers = try request.arguments.map { text in
            guard let peer = PeerText.parse(text) else { throw CommandError("invalid peer id: \(text)") }
            return peer
        }
        for peer in peers {
            guard identities.forget(peer) else { throw CommandError("\(peer) is not known to have two identities") }
            try await emitter.emit(["ID": .string(peer.description)])
        }
    }
}
