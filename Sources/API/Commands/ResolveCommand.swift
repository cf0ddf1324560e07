import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats

/// `resolve`: where a path leads.
enum ResolveCommand {
    static let command: Command = Command(
        "resolve", "Resolve the value of names to IPFS.",
        description: "Follows a path through names and directories and prints the path of what it ends at.",
        example: "> waggle resolve /ipfs/<cid>/photos/cat.jpg\n> waggle resolve -r=false /ipns/<name>", arguments: [.string("name", "The name to resolve.", input: true)],
        options: [
            .flag("recursive", "r", about: "Resolve until the result is an IPFS name.", default: true),
            .integer("dht-record-count", "dhtrc", about: "Accepted for compatibility: a search ends by itself."),
            .string("dht-timeout", "dhtt", about: "Max time to collect values during DHT resolution, e.g. \"30s\". Pass 0 for no timeout."),
        ],
        text: { value, _ in "\(value["Path"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let asked = try ContentPath(parsing: request.arguments[0])
        if asked.namespace == .ipns, request.flagIfGiven("recursive") == false {
            let step = try await session.node.names.step(asked, try NameCommands.resolving(request))
            return try await emitter.emitOnce(["Path": .string(step.path.description)])
        }
        let (path, found) = try await session.follow(request.arguments[0], request)
        let show = try CIDText(request, like: path)
        let parts = [show(found.cid)] + found.remainder
        try await emitter.emitOnce(["Path": .string("/\(path.namespace.rawValue)/" + parts.joined(separator: "/"))])
    }
}
