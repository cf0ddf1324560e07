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
            .flag("expand-auto", about: "Show the peers that 'auto' in Bootstrap stands for."),
        ],
        subcommands: [show, edit, replace, profile], needs: .configuration,
        text: { value, request in request.arguments.count == 2 ? "" : human(value["Value"] ?? .null) + "\n" }
    ) { request, session, emitter in
        let key = request.arguments[0]
        guard key.lowercased() != "identity", key.lowercased() != "identity.privkey" else {
            throw CommandError("cannot show or change private key through API")
        }
        guard request.arguments.count == 2 else {
            guard var value = try session.configuration[key] else { throw CommandError("failed to get config value: \"key \(key) not found\"") }
            if request.flag("expand-auto"), key.lowercased() == "bootstrap", let list = value.array {
                value = .strings(ConfigurationDefaults.expanded(list.compactMap(\.string)))
            }
            return try await emitter.emitOnce(["Key": .string(key), "Value": value])
        }
        let text = request.arguments[1]
        var value = JSON.string(text)
        if request.flag("json") {
            do { value = try JSON(parsing: text) } catch { throw CommandError("failed to unmarshal json. \(error)") }
        } else if request.flag("bool") {
            value = .bool(text == "true")
        }
        if key.lowercased() == "identity.peerid" {
            let known = try session.configuration.peerID
            // The one that the key says is right even where the configuration says another, as after a crash in 'key rotate'.
            let owns = try [known.flatMap { PeerText.parse($0) }, IdentityFile.load(from: session.repositoryPath, on: session.system).peer]
            guard let text = value.string, let own = PeerText.parse(text), owns.contains(own) else {
                throw CommandError("Identity.PeerID follows from the node's private key and cannot be set to another value; '\(session.programName) key rotate' makes a new key")
            }
            value = .string(own.description)
        }
        try session.changeConfiguration { try $0.set(key, to: value) }
        try await emitter.emitOnce(["Key": .string(key), "Value": value])
    }

    private static func human(_ value: JSON) -> String { value.string ?? value.text(.indented) }

    private static let show = Command(
        "show", "Output config file contents.",
        description: "The secrets of API.Authorizations are left out. The private key is not part of it: it is in the file 'identity' of the repository.",
        example: "> waggle config show", needs: .configuration, text: { value, _ in value.text(.indented) + "\n" }
    ) { _, session, emitter in
        try await emitter.emitOnce(withoutSecrets(try session.configuration))
    }

    private static func withoutSecrets(_ configuration: Configuration) -> JSON {
        var json = configuration.json
        if json["API"]?["Authorizations"] != nil { json["API"]?["Authorizations"] = nil }
        return json
    }

    private static let edit = Command(
        "edit", "Open the config file for editing in $EDITOR.", description: "To use 'config edit', you must have the $EDITOR environment variable set to your preferred text editor.",
        example: "> EDITOR=nano waggle config edit", place: .client, needs: .configuration
    ) { _, session, _ in
        guard let console = session.console, let editor = console.environment["EDITOR"], !editor.isEmpty else {
            throw CommandError("ENV variable $EDITOR not set")
        }
        let code = try await console.run("sh", ["-c", "exec \(editor) \"$1\"", "sh", session.repositoryPath + "/config"])
        if code != 0 { throw CommandError("the editor ended with code \(code)") }
        _ = try session.configuration
    }

    private static let replace = Command(
        "replace", "Replace the config with <file>.", description: "Make sure to back up the config file first if necessary, as this operation can't be undone.",
        example: "> waggle config replace new-config.json", arguments: [.file("file", "The file to use as the new config.")], needs: .configuration
    ) { request, session, _ in
        guard let files = request.files, try await files.next() != nil else { throw CommandError.client("file argument 'file' is required") }
        var text: [UInt8] = []
        while let bytes = try await files.read() {
            text += bytes.array
            guard text.count <= Repository.configurationLimit else { throw CommandError("the configuration is larger than 4 MiB") }
        }
        var configuration = try Configuration(parsing: Bytes(text), path: "that was given")
        let identity = configuration["Identity"]?.object?.keys ?? []
        guard !identity.contains(where: { $0.lowercased() == "privkey" }) else { throw CommandError("setting private key with API is not supported") }
        let current = try session.configuration
        if let own = current.peerID { try configuration.set("Identity.PeerID", to: .string(own)) }
        // 'config show' leaves them out: what comes back without them does not open the API to everybody.
        if configuration["API.Authorizations"] == nil, let secrets = current["API.Authorizations"] { try configuration.set("API.Authorizations", to: secrets) }
        try session.save(configuration)
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
                needs: .configuration,
                text: { value, _ in
                    difference(value["OldCfg"] ?? .null, value["NewCfg"] ?? .null, "", 0)
                }
            ) { request, session, emitter in
                let old = try session.configuration
                var new = old
                try ConfigurationDefaults.apply(request.arguments[0], to: &new)
                if !request.flag("dry-run") {
                    // What was there is kept beside, so that a profile can be taken back.
                    let name = "config-pre-\(request.arguments[0].map { $0.isLetter || $0.isNumber || $0 == "-" ? String($0) : "_" }.joined())"
                    let stamp = String(session.system.wallTime.nanoseconds, radix: 36)
                    try session.system.files.replace("\(session.repositoryPath)/\(name)-\(stamp)", with: Bytes(utf8: old.text), mode: 0o600)
                    try session.save(new)
                }
                try await emitter.emitOnce(["OldCfg": withoutSecrets(old), "NewCfg": withoutSecrets(new)])
            }
        ])

    /// The whole configuration, a member a line; those that change twice: as they were with a minus, as they will be with a plus.
    private static func difference(_ old: JSON?, _ new: JSON?, _ name: String, _ depth: Int) -> String {
        let indent = String(repeating: "  ", count: depth)
        let label = name.isEmpty ? "" : "\"\(name)\": "
        if old != new, old?.object == nil || new?.object == nil {
            return [(old, "-"), (new, "+")].map { value, sign in value.map { "\(sign)\(indent)\(label)\($0.text())\n" } ?? "" }.joined()
        }
        guard let members = new?.object, !members.isEmpty else { return " \(indent)\(label)\(new?.text() ?? "")\n" }
        let known = old?.object
        let names = members.keys + (known?.keys ?? []).filter { members[$0] == nil }
        let inner = names.map { difference(known?[$0], members[$0], $0, depth + 1) }.joined()
        return " \(indent)\(label){\n\(inner) \(indent)}\n"
    }
}
