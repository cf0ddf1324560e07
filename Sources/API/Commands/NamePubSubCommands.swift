import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `name pubsub state`, `subs`, `cancel`.
enum NamePubSubCommands {
    static let command: Command = Command(
        "pubsub", "IPNS pubsub management",
        description: """
            Manage and inspect names over publish-subscribe: with Ipns.UsePubsub, or daemon --enable-namesys-pubsub, the records of names that were
            published or resolved here travel as messages, and updates are seen within moments.
            """,
        example: "> waggle name pubsub subs", subcommands: [state, subs, cancel])

    private static let state = Command(
        "state", "Query the state of IPNS pubsub.", description: "Prints 'enabled' or 'disabled'.", example: "> waggle name pubsub state",
        text: { value, _ in value["Enabled"] == true ? "enabled\n" : "disabled\n" }
    ) { _, session, emitter in
        try await emitter.emitOnce(["Enabled": .bool(try session.node.online?.routing.pubsubNames != nil)])
    }

    private static func names(_ session: Session) throws -> PubSubNames {
        guard let names = try session.online.routing.pubsubNames else { throw CommandError.client("IPNS pubsub subsystem is not enabled") }
        return names
    }

    private static let subs = Command(
        "subs", "Show current name subscriptions.", description: "Lists the names whose records are followed.", example: "> waggle name pubsub subs",
        options: [KeyText.option], text: { value, _ in (value["Strings"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined() }
    ) { request, session, emitter in
        let show = try KeyText(request)
        try await emitter.emitOnce(["Strings": .strings(try names(session).subscriptions.map { "/ipns/\(show($0.peer))" })])
    }

    private static let cancel = Command(
        "cancel", "Cancel a name subscription.", description: "Stops to follow a name, until it is published or resolved again.",
        example: "> waggle name pubsub cancel <name>", arguments: [.string("name", "Name to cancel the subscription for.")],
        text: { value, _ in value["Canceled"] == true ? "canceled\n" : "no subscription\n" }
    ) { request, session, emitter in
        let names = try names(session)
        guard let name = IPNSName(request.arguments[0]) else { throw CommandError.client("not a valid IPNS name: \(request.arguments[0])") }
        try await emitter.emitOnce(["Canceled": .bool(names.cancel(name))])
    }
}
