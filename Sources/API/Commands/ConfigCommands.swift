import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `config` and its subcommands.
enum ConfigCommands {
    static let command: Command = Command(
        "config", "Get and set IPFS config values.",
        description: """
            Controls configuration variables. It works like 'git config'. The values are stored in the file 'config' of the repository.
            A running daemon reads most of them when it starts.
            """,
        example: """
            > waggle config Addresses.API
            > waggle config Waggle.Security require
            > waggle config --json Addresses.Swarm '["/ip4/0.0.0.0/tcp/4701"]'
            """,
        arguments: [
            .string("key", "The key of the config entry (e.g. \"Addresses.API\")."),
            .string("value", "The value to set the config entry to.", required: false),
        ],
        options: [
            .flag("bool", about: "Set a boolean value."),
            .flag("json", about: "Parse stringified JSON."),
        ],
        subcommands: [show, edit, replace, profile],
        text: { value, request in request.arguments.count == 2 ? "" : human(value["Value"] ?? .null) + "\n" }
    ) { request, session, emitter in
        let key = request.arguments[0]
        guard !["identity", "identity.privkey"].contains(key.lowercased()) else {
            throw CommandError("cannot show or change private key through API")
        }
        guard request.arguments.count == 2 else {
            guard let value = try session.configuration[key] else { throw CommandError("failed to get config value: \"key \(key) not found\"") }
            return try await emitter.emitOnce(["Key": .string(key), "Value": value])
        }
        let text = request.arguments[1]
        let own = try session.node.identity.peer.description
        guard key.lowercased() != "identity.peerid" || text == own else {
            throw CommandError("cannot set Identity.PeerID to a value that does not match the node's private key")
        }
        var value = JSON.string(text)
        if request.flag("json") {
            do { value = try JSON(parsing: text) } catch { throw CommandError("failed to unmarshal json. \(error)") }
        } else if request.flag("bool") {
            value = .bool(text == "true")
        }
        try session.changeConfiguration { try $0.set(key, to: value) }
        try await emitter.emitOnce(["Key": .string(key), "Value": value])
    }

    private static func human(_ value: JSON) -> String { value.string ?? value.text(.indented) }

    private static let show = Command(
        "show", "Output config file contents.", description: "The private key is not part of it: it is in the file 'identity' of the repository.",
        example: "> waggle config show", text: { value, _ in value.text(.indented) + "\n" }
    ) { _, session, emitter in
        try await emitter.emitOnce(try session.configuration.json)
    }

    private static let edit = Command(
        "edit", "Open the config file for editing in $EDITOR.", description: "To use 'config edit', you must have the $EDITOR environment variable set to your preferred text editor.",
        example: "> EDITOR=nano waggle config edit", place: .client
    ) { _, session, _ in
        guard let console = session.console, let editor = console.environment["EDITOR"], !editor.isEmpty else {
            throw CommandError("ENV variable $EDITOR not set")
        }
        let code = try await console.run("sh", ["-c", "exec \(editor) \"$1\"", "sh", try session.repository.path + "/config"])
        if code != 0 { throw CommandError("the editor ended with code \(code)") }
        _ = try session.configuration
    }

    private static let replace = Command(
        "replace", "Replace the config with <file>.", description: "Make sure to back up the config file first if necessary, as this operation can't be undone.",
        example: "> waggle config replace new-config.json", arguments: [.file("file", "The file to use as the new config.")]
    ) { request, session, _ in
        guard let files = request.files, try await files.next() != nil else { throw CommandError.client("file argument 'file' is required") }
        var text: [UInt8] = []
        while let bytes = try await files.read() {
            text += bytes.array
            guard text.count <= Repository.configurationLimit else { throw CommandError("the configuration is larger than 4 MiB") }
        }
        var configuration = try Configuration(parsing: Bytes(text), path: "that was given")
        try configuration.set("Identity.PeerID", to: .string(try session.node.identity.peer.description))
        try session.repository.save(configuration: Bytes(utf8: configuration.text))
    }

    private static let profile = Command(
        "profile", "Apply profiles to config.",
        description: ConfigurationDefaults.profiles.map { "\($0.name): \($0.description)" }.joined(separator: "\n"),
        example: "> waggle config profile apply server",
        subcommands: [
            Command(
                "apply", "Apply profile to config.", example: "> waggle config profile apply post-quantum",
                arguments: [.string("profile", "The profile to apply to the config.")],
                options: [.flag("dry-run", about: "print difference between the current config and the config that would be generated")],
                text: { value, _ in
                    guard value["OldCfg"] != value["NewCfg"] else { return "nothing to change\n" }
                    return changes(value["OldCfg"] ?? .null, value["NewCfg"] ?? .null, "").map { $0 + "\n" }.joined()
                }
            ) { request, session, emitter in
                let old = try session.configuration
                var new = old
                try ConfigurationDefaults.apply(request.arguments[0], to: &new)
                if !request.flag("dry-run") {
                    try session.repository.save(configuration: Bytes(utf8: new.text))
                }
                try await emitter.emitOnce(["OldCfg": old.json, "NewCfg": new.json])
            }
        ])

    /// The members that differ, a line each.
    private static func changes(_ old: JSON, _ new: JSON, _ path: String) -> [String] {
        if old == new { return [] }
        guard let left = old.object, let right = new.object else {
            return ["\(path): \(old.text()) -> \(new.text())"]
        }
        var names = left.keys
        names += right.keys.filter { !names.contains($0) }
        return names.flatMap { changes(left[$0] ?? .null, right[$0] ?? .null, path.isEmpty ? $0 : "\(path).\($0)") }
    }
}
