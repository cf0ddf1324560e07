import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `id`: who this node, or a connected peer, is.
enum IDCommand {
    static let command: Command = Command(
        "id", "Show IPFS node id info.",
        description: """
            Prints out information about the specified peer. If no peer is specified, prints out information for the local node.

            'id' supports the format option for output with the following keys:
            <id> : The peers id.
            <aver>: Agent version.
            <pubkey>: Public key.
            <addrs>: Addresses (newline delimited).
            <protocols>: Libp2p Protocol registrations (newline delimited).

            A node with two identities has SecondID and SecondPublicKey besides, its post-quantum name and key. ChainAlias is the name that chain
            networks give its key: SHA3-256 of the algorithm's number and the key.
            """,
        example: "> waggle id -f=\"<addrs>\\n\"",
        arguments: [.string("peerid", "Peer.ID of node to look up.", required: false)],
        options: [
            .string("format", "f", about: "Optional output format."),
            .string("peerid-base", about: "Encoding used for peer IDs: b58mh, or a multibase for a CIDv1.", default: "b58mh"),
        ],
        text: { value, request in
            guard let format = request.string("format") else { return value.text(.indented) + "\n" }
            func lines(_ name: String) -> String { (value[name]?.array ?? []).compactMap(\.string).joined(separator: "\n") }
            return format.replacing("<id>", with: value["ID"]?.string ?? "").replacing("<aver>", with: value["AgentVersion"]?.string ?? "")
                .replacing("<pubkey>", with: value["PublicKey"]?.string ?? "").replacing("<addrs>", with: lines("Addresses"))
                .replacing("<protocols>", with: lines("Protocols")).replacing("\\n", with: "\n").replacing("\\t", with: "\t")
        }
    ) { request, session, emitter in
        let node = try session.node
        let own = node.identity.peer
        let asked = try request.arguments.first.map { text in
            do { return try PeerID(text) } catch { throw CommandError("invalid peer id") }
        }
        let show = try encoder(request)
        guard let asked, asked != own, asked != node.identity.second?.peer else {
            let key = Multibase.base64pad.encode(node.identity.key.publicKey.encoded, prefixed: false)
            var value: JSON = [
                "ID": .string(show(own)), "PublicKey": .string(key), "Addresses": .strings(addresses(node, own)),
                "AgentVersion": .string(try session.agentVersion),
                "Protocols": .strings(node.online?.swarm.supportedProtocols.map(\.text).sorted() ?? []),
            ]
            if let second = node.identity.second {
                value["SecondID"] = .string(show(second.peer))
                value["SecondPublicKey"] = .string(Multibase.base64pad.encode(second.key.publicKey.encoded, prefixed: false))
            }
            // Of the post-quantum key where there is one: that is what chain networks have.
            let chainKey = node.identity.second?.key.publicKey ?? node.identity.key.publicKey
            if let alias = chainKey.chainAlias { value["ChainAlias"] = .string(Multibase.base16.encode(alias, prefixed: false)) }
            return try await emitter.emitOnce(value)
        }
        if request.flag("offline") {
            let key = asked.publicKey.map { Multibase.base64pad.encode($0.encoded, prefixed: false) } ?? ""
            return try await emitter.emitOnce([
                "ID": .string(show(asked)), "PublicKey": .string(key), "Addresses": .null, "AgentVersion": "", "Protocols": .null,
            ])
        }
        if let online = node.online {
            do { try await online.node.connect(to: asked, ignoringBackOff: true) } catch { throw CommandError("\(SwarmText.explain(error))") }
            return try await emitter.emitOnce(describe(asked, online.swarm, show))
        }
        throw CommandError("'\(session.programName) id' cannot query information on remote peers without a running daemon; if you only want to convert --peerid-base, pass --offline option")
    }

    private static func addresses(_ node: ContentNode, _ own: PeerID) -> [String] {
        (node.online?.swarm.announcedAddresses ?? []).map { $0.with(peer: own).description }.sorted()
    }

    private static func describe(_ peer: PeerID, _ swarm: Swarm, _ show: (PeerID) -> String) -> JSON {
        let key = swarm.connections(to: peer).first?.peerKey ?? peer.publicKey
        var value: JSON = [
            "ID": .string(show(peer)), "PublicKey": .string(key.map { Multibase.base64pad.encode($0.encoded, prefixed: false) } ?? ""),
            "Addresses": .strings(swarm.addressBook.addresses(of: peer).map { $0.with(peer: peer).description }.sorted()),
            "AgentVersion": .string(swarm.addressBook.agentVersion(of: peer) ?? ""),
            "Protocols": .strings(swarm.addressBook.protocols(of: peer).map(\.text).sorted()),
        ]
        let partner = swarm.addressBook.identities.partner(of: peer)
        if let partner { value["SecondID"] = .string(show(partner)) }
        // The alias of a node with two identities is that of the post-quantum key, which is not at hand.
        if partner == nil, let alias = key?.chainAlias { value["ChainAlias"] = .string(Multibase.base16.encode(alias, prefixed: false)) }
        return value
    }

    private static func encoder(_ request: Request) throws -> @Sendable (PeerID) -> String {
        let name = request.string("peerid-base") ?? "b58mh"
        if name == "b58mh" { return { $0.description } }
        let short = name.unicodeScalars.count == 1 ? name.unicodeScalars.first.flatMap { Multibase(prefix: $0) } : nil
        guard let base = short ?? Multibase(name: name) else { throw CommandError.client("unsupported multibase encoding: \(name)") }
        return { $0.cidText(base: base) }
    }
}
