import WaggleBase
import WaggleContent
import WaggleFormats

/// `refs` and `refs local`.
enum RefsCommands {
    static let command: Command = Command(
        "refs", "List links (references) from an object.",
        description: "Lists the CIDs of all the links the objects at the given paths contain. List all references recursively with the flag '-r'.",
        example: "> waggle refs -r --unique <cid>",
        arguments: [.string("ipfs-path", "Path to the object(s) to list refs from.", variadic: true, input: true)],
        options: [
            .string("format", about: "Emit edges with given format. Available tokens: <src> <dst> <linkname>.", default: "<dst>"),
            .flag("edges", "e", about: "Emit edge format: `<from> -> <to>`."),
            .flag("unique", "u", about: "Omit duplicate refs from output."),
            .flag("recursive", "r", about: "Recursively list links of child nodes."),
            .integer("max-depth", about: "Only for recursive refs, limits fetch and listing to the given depth.", default: -1),
        ],
        subcommands: [local], text: { value, _ in try line(value) }
    ) { request, session, emitter in
        let show = try CIDText(request)
        let given = request.string("format") ?? "<dst>"
        if request.flag("edges"), given != "<dst>" { throw CommandError("using format argument with edges is not allowed") }
        let format = request.flag("edges") ? "<src> -> <dst>" : given
        var options = LinkWalker.Options()
        options.unique = request.flag("unique")
        let depth = request.flag("recursive") ? Int(request.integer("max-depth") ?? -1) : 1
        options.maximumDepth = depth < 0 ? nil : depth
        var roots: [CID] = []
        for argument in request.arguments { roots.append(try await session.resolve(argument, request)) }
        var walker = LinkWalker(roots, from: try await session.source(request), options)
        while let edge = try await walker.next() {
            let text = format.replacing("<src>", with: show(edge.parent)).replacing("<dst>", with: show(edge.cid))
                .replacing("<linkname>", with: edge.name)
            try await emitter.emit(["Ref": .string(text), "Err": ""])
        }
    }

    private static let local = Command(
        "local", "List all local references.",
        description: "Displays the CIDs of all local objects. All local objects are treated as \"raw blocks\": CIDv1-Raw CIDs are shown.",
        example: "> waggle refs local", text: { value, _ in try line(value) }
    ) { request, session, emitter in
        let show = try CIDText(request)
        let blocks = try session.repository.blocks
        var last: Multihash?
        while true {
            let keys = try await blocks.keys(after: last, limit: 1000)
            for key in keys { try await emitter.emit(["Ref": .string(show(try CID(codec: .raw, hash: key))), "Err": ""]) }
            guard let end = keys.last else { return }
            last = end
        }
    }

    private static func line(_ value: JSON) throws -> String {
        if let error = value["Err"]?.string, !error.isEmpty { throw CommandError(error) }
        return "\(value["Ref"]?.string ?? "")\n"
    }
}
