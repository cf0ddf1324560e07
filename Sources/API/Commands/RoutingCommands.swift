import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `routing findprovs`, `findpeer`, `get`, `put`, `provide`, `reprovide`: questions to the hash tables and the other routers.
enum RoutingCommands {
    static let command: Command = Command(
        "routing", "Issue routing commands.",
        description: "Asks the hash tables of the public and the local network, and the delegated routers of the configuration, all at once.",
        example: "> waggle routing findprovs <cid>\n> waggle routing findpeer <peerid>",
        subcommands: [findProviders, findPeer, get, put, provide, reprovide])

    static let verbose: Option = .flag("verbose", "v", about: "Print extra information.")

    // MARK: findprovs

    private static let findProviders = Command(
        "findprovs", "Find peers that can provide a specific value, given a key.", description: "Outputs a list of newline-delimited provider Peer IDs.",
        example: "> waggle routing findprovs -n 3 <cid>", arguments: [.string("key", "The key to find providers for.", variadic: true)],
        options: [verbose, .integer("num-providers", "n", about: "The number of providers to find.", default: 20)],
        text: providerText, present: { request, console in QueryPresenter(request, console, providerText) }
    ) { request, session, emitter in
        let online = try session.online
        let count = Int(clamping: request.integer("num-providers") ?? 20)
        guard count > 0 else { throw CommandError("number of providers must be greater than 0") }
        let cid = try key(request.arguments[0])
        let isAutomatic = try RoutingSettings.isAutomatic(session.configuration)
        try await QueryEvents.run(session, emitter, tellsClosest: request.flag("verbose")) { events in
            do {
                _ = try await online.routing.discovery.findProviders(of: cid, count: count, limit: nil) { events.tell(.provider, nil, [$0]) }
            } catch KademliaError.noPeers where isAutomatic {
                // Who knows nobody yet has found nobody.
            }
        }
    }

    private static let providerText: Command.Text = { event, request in
        QueryEvents.text(event, request) { kind, event, isVerbose in
            switch kind {
            case .finalPeer: return isVerbose ? "* closest peer \(event["ID"]?.string ?? "")\n" : ""
            case .provider:
                let provider = event["Responses"]?[0]
                let peer = provider?["ID"]?.string ?? ""
                guard isVerbose else { return peer + "\n" }
                return "provider: \(peer)\n" + (provider?["Addrs"]?.array ?? []).compactMap(\.string).map { "\t\($0)\n" }.joined()
            default: return nil
            }
        }
    }

    /// A CID, or a path of which it is the root.
    static func key(_ text: String) throws -> CID {
        if let cid = CID(text) { return cid }
        let path = try ContentPath(parsing: text)
        guard path.segments.isEmpty, let cid = path.cid else { throw CommandError("\(text) is not a CID") }
        return cid
    }

    // MARK: findpeer

    private static let findPeer = Command(
        "findpeer", "Find the multiaddresses associated with a Peer ID.", description: "Outputs a list of newline-delimited multiaddresses.",
        example: "> waggle routing findpeer <peerid>", arguments: [.string("peerID", "The ID of the peer to search for.", variadic: true)],
        options: [verbose], text: peerText, present: { request, console in QueryPresenter(request, console, peerText) }
    ) { request, session, emitter in
        let online = try session.online
        let peer: PeerID
        do { peer = try PeerID(request.arguments[0]) } catch { throw CommandError("failed to parse peer ID: \(error)") }
        guard peer != online.swarm.localPeer else { throw CommandError("finding your own node in the DHT is currently not supported") }
        try await QueryEvents.run(session, emitter) { events in
            let addresses: [Multiaddr]
            do {
                addresses = try await online.routing.router.findPeer(peer)
                guard !addresses.isEmpty else { throw RoutingError.notFound }
            } catch {
                if !(error is CancellationError) { events.tell(.queryError, extra: CommandError(explaining: error).message) }
                throw error
            }
            events.tell(.finalPeer, nil, [ContentProvider(peer: peer, addresses: addresses)])
        }
    }

    private static let peerText: Command.Text = { event, request in
        QueryEvents.text(event, request) { kind, event, _ in
            guard kind == .finalPeer else { return nil }
            return (event["Responses"]?[0]?["Addrs"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined()
        }
    }

    // MARK: get and put

    private static let get = Command(
        "get", "Given a key, query the routing system for its best value.",
        description: """
            Outputs the best value for the given key.

            There may be several different values for a given key stored in the routing system; 'best' depends on the key type. For IPNS it is the
            record that is valid and has the highest sequence number.
            """,
        example: "> waggle routing get /ipns/<name> > record", arguments: [.string("key", "The key to find a value for.", variadic: true)],
        present: { _, console in ValuePresenter(console) }
    ) { request, session, emitter in
        let value = try await value(of: try RoutingKeyText.parse(request.arguments[0]), session)
        try await emitter.emitOnce(QueryEvents.event(.value, extra: Multibase.base64pad.encode(value, prefixed: false)))
    }

    /// The best value that the routers and this node have.
    static func value(of key: Bytes, _ session: Session) async throws -> Bytes {
        let online = try session.online
        if let name = IPNSName(routingKey: key) {
            guard let record = try await session.node.names.record(of: name) else { throw RoutingError.notFound }
            return record.encoded
        }
        let best = Mutex<Bytes?>(nil)
        try await online.routing.router.values(for: key) { value in
            best.withLock { $0 = value }
            return true
        }
        guard let value = best.withLock({ $0 }) else { throw RoutingError.notFound }
        return value
    }

    /// The bytes as they are, not in base64.
    private final class ValuePresenter: Presenter {
        private let console: any Console
        init(_ console: any Console) { self.console = console }
        func value(_ value: JSON) async throws { try console.write(try Multibase.base64pad.decode(unprefixed: value["Extra"]?.string ?? "")) }
    }

    private static let put = Command(
        "put", "Write a key/value pair to the routing system.",
        description: """
            Given a key of the form /ipns/<name> and a valid value for that key, this will write that value to the routing system with that key.

            The value must be an IPNS record (protobuf) signed with the key that the name stands for. Unless you have a relatively deep understanding
            of the routing system, you likely want to be using 'name publish' instead of this.
            """,
        example: "> waggle routing put /ipns/<name> record",
        arguments: [
            .string("key", "The key to store the value at."), .file("value-file", "A path to a file containing the value to store.", input: true),
        ],
        options: [
            .flag("allow-offline", about: "When offline, save the IPNS record to the local datastore without broadcasting to the network instead of simply failing.")
        ],
        text: { event, request in QueryEvents.text(event, request) { kind, event, _ in kind == .value ? "\(event["ID"]?.string ?? "")\n" : nil } }
    ) { request, session, emitter in
        guard let name = IPNSName(request.arguments[0]) else { throw CommandError("invalid key: \(request.arguments[0]) is not an IPNS name") }
        let route = try PublishingRoute(request, session, offline: "can't put while offline")
        let bytes = try await NameCommands.file(request, "value-file", limit: .mebibytes(1))
        let record: IPNSRecord
        do { record = try IPNSRecord(decoding: bytes) } catch { throw CommandError("invalid IPNS record: \(error)") }
        try await session.node.names.put(record, of: name, sharing: false)
        try await route.share(record, of: name)
        try await emitter.emitOnce(QueryEvents.event(.value, name.peer))
    }

    // MARK: provide

    private static let provide = Command(
        "provide", "Deprecated: use 'provide once' instead.",
        description: """
            Announces to the network that you are providing given values, and returns when that is done. 'provide once' announces many values with less
            work for the network.
            """,
        example: "> waggle routing provide <cid>",
        arguments: [.string("key", "The key[s] to send provide records for.", variadic: true, input: true)],
        options: [verbose, .flag("recursive", "r", about: "Recursively provide entire graph.")],
        text: provideText, present: { request, console in QueryPresenter(request, console, provideText) }
    ) { request, session, emitter in
        let announcer = try ProvideCommands.announcer(session, "invalid configuration: Provide.Enabled is set to 'false'")
        let routing = try session.online.routing
        try ProvideCommands.checkPeers(session, "cannot provide, no connected peers")
        let cids = try request.arguments.map(key)
        for cid in cids { try await ProvideCommands.checkPresence(cid, session) }
        if request.flag("recursive") { try await announcer.announce(below: cids) }
        try await QueryEvents.run(session, emitter, tellsClosest: true) { events in
            for cid in cids {
                do { try await routing.router.provide(cid) } catch {
                    if !(error is CancellationError) { events.tell(.queryError, extra: CommandError(explaining: error).message) }
                    throw CommandError("error providing cid: \(CommandError(explaining: error).message)")
                }
            }
        }
    }

    private static let provideText: Command.Text = { event, request in
        QueryEvents.text(event, request) { kind, event, isVerbose in
            guard kind == .finalPeer else { return nil }
            return isVerbose ? "sending provider record to peer \(event["ID"]?.string ?? "")\n" : ""
        }
    }

    static let reprovide = Command(
        "reprovide", "Trigger a reprovide cycle.", description: "Kept for scripts: content is announced again by a continuous sweep, which needs no trigger.",
        example: "> waggle provide stat --all"
    ) { _, session, _ in
        let announcer = try ProvideCommands.announcer(session, "invalid configuration: Provide.Enabled is set to 'false'")
        guard announcer.options.interval != nil else { throw CommandError("invalid configuration: Provide.DHT.Interval is set to '0'") }
        throw CommandError(
            "manual reprovide is not available with the sweep provider; run '\(session.programName) provide stat --all' to monitor the sweep schedule")
    }
}

/// Keys of records as people write them: `/ipns/<name>`, `/pk/<peer>`.
enum RoutingKeyText {
    static func parse(_ text: String) throws(CommandError) -> Bytes {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].isEmpty, parts[1] == "ipns" || parts[1] == "pk" else { throw CommandError("invalid key") }
        guard let peer = PeerText.parse(String(parts[2])) else { throw CommandError("invalid key: \(parts[2]) is not an IPNS name or PeerID") }
        var writer = ByteWriter()
        writer.write(utf8: "/\(parts[1])/")
        writer.write(peer.bytes)
        return writer.finish()
    }
}
