import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `name publish`, `resolve`, `inspect`, `get`, `put`.
enum NameCommands {
    static let command: Command = Command(
        "name", "Publish and resolve IPNS names.",
        description: """
            IPNS is a PKI namespace, where names are the hashes of public keys, and the private key enables publishing new (signed) values. In both
            publish and resolve, the default name used is the node's own PeerID. More names come with keys: see 'key gen'.
            """,
        example: """
            > waggle name publish /ipfs/<cid>
            > waggle name publish --key=mykey /ipfs/<cid>
            > waggle name resolve <name>
            > waggle cat /ipns/<name>/file.txt
            """,
        subcommands: [publish, resolve, NamePubSubCommands.command, NameRecordCommands.inspect, NameRecordCommands.get, NameRecordCommands.put])

    /// What the text of an entry is: the name, or a sentence.
    private static let publish = Command(
        "publish", "Publish IPNS names.",
        description: """
            Signs a record that says what the name of a key stands for, and has others keep it: the hash tables, and the publishers in
            Ipns.DelegatedPublishers. The daemon publishes it again before it expires.

            --ttl says for how long others may remember it: a lower value makes updates visible earlier. --sequence sets the record's number, which
            must be higher than the one before; without it the number grows when the value changes.
            """,
        example: """
            > waggle name publish /ipfs/<cid>
            > waggle name publish --lifetime=24h --ttl=1m --key=mykey /ipfs/<cid>/site
            > waggle name publish --allow-offline /ipfs/<cid>
            """,
        arguments: [.string("ipfs-path", "ipfs path of the object to be published.", input: true)],
        options: [
            .string("key", "k", about: "Name of the key to be used or a valid PeerID, as listed by 'key list -l'.", default: "self"),
            .flag("resolve", about: "Check if the given path can be resolved before publishing.", default: true),
            .string("lifetime", "t", about: "Time duration the signed record will be valid for. Accepts durations such as \"300s\", \"1.5h\". Default: 48h0m0s"),
            .string("ttl", about: "Time duration to cache this record before checking for updates. Must not exceed --lifetime. Default: 5m0s (capped to --lifetime)."),
            .flag("quieter", "Q", about: "Write only final IPNS Name encoded as CIDv1 (for use in /ipns content paths)."),
            .flag("v1compat", about: "Produce a backward-compatible IPNS Record by including fields for both V1 and V2 signatures.", default: true),
            .flag("allow-offline", about: "Allow publishing when offline: stores the record here without requiring network connectivity."),
            .flag("allow-delegated", about: "Allow publishing without DHT connectivity: stores the record here and uses HTTP delegated publishers only."),
            .integer("sequence", kind: .uint64, about: "Set a custom sequence number for the IPNS record (must be higher than current)."),
            KeyText.option,
        ],
        text: { value, request in
            let name = value["Name"]?.string ?? ""
            return request.flag("quieter") ? "\(name)\n" : "Published to \(name): \(value["Value"]?.string ?? "")\n"
        }
    ) { request, session, emitter in
        let show = try KeyText(request)
        var options = try publishing(request)
        let path = try ContentPath(parsing: request.arguments[0])
        let node = try session.node
        let route = try PublishingRoute(request, session)
        let key = try key(request.string("key") ?? Keystore.ownName, node.keystore)
        if request.flagIfGiven("resolve") != false {
            let (_, found) = try await session.follow(path.description, request)
            if found.value == nil { _ = try await session.source(request).block(found.cid) }
        }
        options.isShared = false
        options.asksOthers = !request.flag("offline")
        let record = try await node.names.publish(path, with: key, options)
        try await route.share(record, of: IPNSName(PeerID(key.publicKey)))
        try await emitter.emitOnce(["Name": .string(show(key)), "Value": .string(path.description)])
    }

    private static func publishing(_ request: Request) throws(CommandError) -> NameSystem.Publishing {
        var options = NameSystem.Publishing()
        if let text = request.string("lifetime") {
            guard let lifetime = GoDuration.parse(text) else { throw CommandError("error parsing lifetime option: time: invalid duration \"\(text)\"") }
            guard lifetime > .zero else { throw CommandError("lifetime must be greater than zero, got \(text)") }
            options.lifetime = lifetime
        }
        options.timeToLive = min(options.timeToLive, options.lifetime)
        if let text = request.string("ttl") {
            guard let ttl = GoDuration.parse(text) else { throw CommandError("time: invalid duration \"\(text)\"") }
            guard ttl >= .zero else { throw CommandError("ttl must not be negative, got \(text)") }
            guard ttl <= options.lifetime else {
                throw CommandError("ttl (\(GoDuration.text(ttl))) must not be greater than lifetime (\(GoDuration.text(options.lifetime)))")
            }
            options.timeToLive = ttl
        }
        options.sequence = request.unsigned("sequence")
        options.isCompatible = request.flagIfGiven("v1compat") ?? true
        return options
    }

    /// A key by its name, or by the PeerID that belongs to it.
    static func key(_ text: String, _ keystore: Keystore) throws -> IdentityKeyPair {
        let isName: Bool
        do { isName = try keystore.contains(text) } catch { isName = false }
        if isName { return try keystore.key(named: text) }
        guard let name = IPNSName(text) else { throw CommandError("no key by the given name was found") }
        for known in [Keystore.ownName] + (try keystore.list()) {
            let key = try keystore.key(named: known)
            if name.peer.matches(key.publicKey) { return key }
        }
        throw CommandError("no key by the given name or PeerID was found")
    }

    // MARK: resolve

    private static let resolve = Command(
        "resolve", "Resolve IPNS names.",
        description: "Prints what a name stands for. A name is one of a key, or a domain with a DNSLink.",
        example: "> waggle name resolve\n> waggle name resolve <name>\n> waggle name resolve -n docs.example.org",
        arguments: [.string("name", "The IPNS name to resolve. Defaults to your node's peerID.", required: false)],
        options: [
            .flag("recursive", "r", about: "Resolve until the result is not an IPNS name.", default: true),
            .flag("nocache", "n", about: "Do not use cached entries."),
            .integer("dht-record-count", "dhtrc", kind: .uint, about: "Accepted for compatibility: a search ends by itself.", default: 16),
            .string("dht-timeout", "dhtt", about: "Max time to collect values during DHT resolution, e.g. \"30s\". Pass 0 for no timeout.", default: "1m0s"),
            .flag("stream", "s", about: "Stream entries as they are found."),
        ],
        text: { value, _ in "\(value["Path"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let node = try session.node
        let path = try namePath(request.arguments.first ?? node.identity.peer.description)
        var options = try resolving(request)
        let isRecursive = request.flagIfGiven("recursive") ?? true
        if request.flag("stream") {
            if !isRecursive { options.depth = 1 }
            return try await node.names.resolveAll(path, options) { result in
                try await emitter.emit(["Path": .string(result.path.description)])
                return true
            }
        }
        let result = try await isRecursive ? node.names.resolve(path, options) : node.names.step(path, options)
        try await emitter.emitOnce(["Path": .string(result.path.description)])
    }

    /// `/ipns/NAME`, `ipns://NAME` or a bare name.
    private static func namePath(_ text: String) throws -> ContentPath {
        if text.hasPrefix("/") || text.contains("://") {
            let path = try ContentPath(parsing: text)
            guard path.namespace == .ipns else { throw CommandError("\"\(text)\" is not an IPNS name") }
            return path
        }
        return try ContentPath(parsing: "/ipns/" + text)
    }

    /// How a name is looked for.
    static func resolving(_ request: Request) throws(CommandError) -> NameSystem.Resolving {
        var options = NameSystem.Resolving()
        options.usesCache = !request.flag("nocache")
        options.search.asksOthers = !request.flag("offline")
        if let text = request.string("dht-timeout") {
            guard let limit = GoDuration.parse(text) else { throw CommandError("time: invalid duration \"\(text)\"") }
            guard limit >= .zero else { throw CommandError("DHT timeout value must be >= 0") }
            options.search.limit = limit == .zero ? nil : limit
        }
        return options
    }

    /// The one file of a command.
    static func file(_ request: Request, _ name: String, limit: ByteCount) async throws -> Bytes {
        guard let files = request.files, try await files.next() != nil else { throw CommandError.client("file argument '\(name)' is required") }
        return try await files.readAll(limit: limit)
    }
}

/// Whom a record is given to: everybody, the delegated publishers, or, offline, nobody.
struct PublishingRoute {
    private let names: NameSystem
    private let publishers: (any ValueRouting)?
    private let allowsFailure: Bool
    /// With other routers than the hash tables it is no failure that these know nobody yet.
    private let allowsSolitude: Bool

    /// Throws where the options do not fit together, or nobody is there.
    init(_ request: Request, _ session: Session, offline: String = "can't publish while offline") throws {
        let (allowsOffline, allowsDelegated) = (request.flag("allow-offline"), request.flag("allow-delegated"))
        guard !allowsOffline || !allowsDelegated else { throw CommandError("cannot use both --allow-offline and --allow-delegated flags") }
        let node = try session.node
        names = node.names
        allowsFailure = allowsOffline
        allowsSolitude = try RoutingSettings.isAutomatic(session.configuration)
        if allowsDelegated {
            let delegates = try RoutingSettings.publishers(try session.configuration, on: session.system)
            guard !delegates.isEmpty else {
                throw CommandError("no delegated publishers configured: add Ipns.DelegatedPublishers or use --allow-offline for local-only publishing")
            }
            var routers = CompositeRouting.Routers()
            routers.putValues = delegates
            publishers = CompositeRouting(routers)
        } else {
            guard names.isOnline || allowsOffline else {
                throw CommandError("\(offline): pass `--allow-offline` to override or `--allow-delegated` if Ipns.DelegatedPublishers are set up")
            }
            publishers = request.flag("offline") ? nil : node.online?.routing.router
        }
    }

    /// Has others keep a record that is stored here already. The first node of a network has nobody to tell: it does so later.
    /// `isForced`: nor is it a failure that others have a newer one.
    func share(_ record: IPNSRecord, of name: IPNSName, isForced: Bool = false) async throws {
        guard let publishers else { return }
        do { try await names.tell(record, of: name, to: publishers) } catch KademliaError.noPeers where allowsSolitude {
        } catch KademliaError.outdated where isForced {
        } catch {
            guard allowsFailure, !(error is CancellationError) else { throw error }
        }
    }
}
