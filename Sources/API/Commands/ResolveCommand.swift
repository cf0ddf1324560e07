import WaggleBase
import WaggleContent
import WaggleFormats

/// `resolve`: where a path leads.
enum ResolveCommand {
    static let command: Command = Command(
        "resolve", "Resolve the value of names to IPFS.", description: "Follows a path through directories and prints the path of what it ends at.",
        example: "> waggle resolve /ipfs/<cid>/photos/cat.jpg", arguments: [.string("name", "The name to resolve.", input: true)],
        options: [
            .flag("recursive", "r", about: "Resolve until the result is an IPFS name.", default: true),
            .integer("dht-record-count", "dhtrc", about: "Accepted for compatibility."),
            .string("dht-timeout", "dhtt", about: "Accepted for compatibility."),
        ],
        text: { value, _ in "\(value["Path"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let (path, found) = try await session.follow(request.arguments[0], request)
        let show = try CIDText(request, like: path)
        let parts = [show(found.cid)] + found.remainder
        try await emitter.emitOnce(["Path": .string("/\(path.namespace.rawValue)/" + parts.joined(separator: "/"))])
    }
}
