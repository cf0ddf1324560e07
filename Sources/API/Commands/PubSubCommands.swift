import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `pubsub pub`, `sub`, `ls`, `peers`, `reset`. Topics, data and sequence numbers are bytes, and travel over the RPC API in base64url with its
/// multibase prefix `u`.
enum PubSubCommands {
    static let command: Command = Command(
        "pubsub", "An experimental publish-subscribe system on ipfs.",
        description: """
            Publishes messages to topics and receives what others publish, over gossipsub.

            To enable it, set 'Pubsub.Enabled' in the configuration to true.
            """,
        example: "> waggle pubsub sub weather\n> echo sunny | waggle pubsub pub weather", subcommands: [publish, subscribe, list, peers, reset])

    private static let publish = Command(
        "pub", "Publish data to a given pubsub topic.",
        description: "Publishes a message to a topic. It reads binary data from stdin or a file.", example: "> echo sunny | waggle pubsub pub weather",
        arguments: [
            .string("topic", "Topic to publish to (multibase encoded when sent over HTTP RPC)."),
            .file("data", "The data to be published.", input: true),
        ],
        place: .daemon, prepare: encodeArguments
    ) { request, session, _ in
        let pubsub = try enabled(session)
        let topic = try topic(request.arguments[0])
        guard let files = request.files, try await files.next() != nil else { throw CommandError.client("file argument 'data' is required") }
        let data = try await files.readAll(limit: PubSubLimits.rpc)
        do throws(PubSubError) { try await pubsub.publish(data, to: topic) } catch { throw CommandError(error.description) }
    }

    private static let subscribe = Command(
        "sub", "Subscribe to messages on a given topic.",
        description: "Prints the data of each message as it comes, with nothing between them. With --enc=json also shows who it is from.",
        example: "> waggle pubsub sub weather", arguments: [.string("topic", "Name of topic to subscribe to (multibase encoded when sent over HTTP RPC).")],
        place: .daemon, present: { _, console in MessagePresenter(console) }, prepare: encodeArguments
    ) { request, session, emitter in
        let pubsub = try enabled(session)
        let name = try topic(request.arguments[0])
        let joined: PubSubTopic
        do throws(PubSubError) { joined = try await pubsub.join(name) } catch { throw CommandError(error.description) }
        do {
            // The headers go out before the first message does.
            try await emitter.begin()
            for await message in joined.messages {
                try await emitter.emit([
                    "from": .string(message.author?.description ?? ""), "data": .string(Multibase.base64url.encode(message.data)),
                    "seqno": .string(Multibase.base64url.encode(message.sequence)), "topicIDs": [.string(Multibase.base64url.encode(message.topic.bytes))],
                ])
            }
        } catch {
            joined.leave()
            throw error
        }
        joined.leave()
    }

    private static let list = Command(
        "ls", "List subscribed topics by name.", description: "Lists the topics that are subscribed to.", example: "> waggle pubsub ls",
        place: .daemon,
        text: { value, _ in
            try strings(value).map { text in escaped(try Multibase.decode(text).bytes) + "\n" }.joined()
        }
    ) { _, session, emitter in
        let names = try enabled(session).topics.map { JSON.string(Multibase.base64url.encode($0.bytes)) }
        try await emitter.emitOnce(["Strings": .array(names)])
    }

    private static let peers = Command(
        "peers", "List peers we are currently pubsubbing with.",
        description: "Lists the connected peers that take part in publish-subscribe, or those that subscribe to a topic.",
        example: "> waggle pubsub peers weather", arguments: [.string("topic", "Topic to list connected peers of.", required: false)],
        place: .daemon, text: { value, _ in strings(value).map { $0 + "\n" }.joined() }, prepare: encodeArguments
    ) { request, session, emitter in
        let pubsub = try enabled(session)
        let name: TopicID? = request.arguments.isEmpty ? nil : try topic(request.arguments[0])
        try await emitter.emitOnce(["Strings": .strings(pubsub.peers(of: name).map(\.description).sorted())])
    }

    private static let reset = Command(
        "reset", "Reset pubsub validator state.",
        description: "Forgets which sequence numbers of messages were seen, of all authors or of one. For tests: old messages may come again.",
        example: "> waggle pubsub reset", options: [.string("peer", "p", about: "Only reset state for this peer ID")], place: .daemon,
        text: { value, request in
            let count = value["deleted"]?.integer ?? 0
            guard let peer = request.string("peer"), !peer.isEmpty else { return "Reset validator state for \(count) peer(s)\n" }
            return count == 0 ? "No validator state found for peer \(peer)\n" : "Reset validator state for peer \(peer)\n"
        }
    ) { request, session, emitter in
        let pubsub = try enabled(session)
        var peer: PeerID?
        if let text = request.string("peer"), !text.isEmpty {
            guard let parsed = PeerText.parse(text) else { throw CommandError("invalid peer ID: \(text)") }
            peer = parsed
        }
        try await emitter.emitOnce(["deleted": JSON(pubsub.resetSequences(of: peer))])
    }

    // MARK: Shared

    private static func enabled(_ session: Session) throws -> PubSub {
        guard let pubsub = try session.online.node.pubsub else {
            throw CommandError("experimental pubsub feature not enabled, run daemon with --enable-pubsub-experiment to use")
        }
        return pubsub
    }

    /// Names with any bytes survive a URL in base64url only.
    @Sendable private static func encodeArguments(_ request: inout Request, _ console: any Console) {
        request.arguments = request.arguments.map { Multibase.base64url.encode(Bytes(utf8: $0)) }
    }

    private static func topic(_ text: String) throws -> TopicID {
        let decoded: (base: Multibase, bytes: Bytes)
        do { decoded = try Multibase.decode(text) } catch { throw CommandError("URL arg must be multibase encoded: \(error)") }
        guard decoded.base == .base64url else { throw CommandError("URL arg must be base64url encoded") }
        return TopicID(bytes: decoded.bytes)
    }

    private static func strings(_ value: JSON) -> [String] { (value["Strings"]?.array ?? []).compactMap(\.string) }

    /// What would change the terminal is shown as an escape.
    private static func escaped(_ bytes: Bytes) -> String {
        String(decoding: bytes.array, as: UTF8.self).unicodeScalars.map { scalar in
            scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value) ? "\\x" + String(scalar.value + 0x100, radix: 16).suffix(2) : String(scalar)
        }.joined()
    }
}

/// Writes the data of messages as it is.
private final class MessagePresenter: Presenter, @unchecked Sendable {
    private let console: any Console

    init(_ console: any Console) { self.console = console }

    func value(_ value: JSON) async throws {
        guard let text = value["data"]?.string else { return }
        try console.write(try Multibase.decode(text).bytes)
    }
}
