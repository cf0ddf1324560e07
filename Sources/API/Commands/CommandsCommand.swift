import WaggleBase
import WaggleFormats

/// `commands`: the tree itself, and completion scripts made from it.
enum CommandsCommand {
    static let command: Command = Command(
        "commands", "List all available commands.", description: "Lists all available commands (and subcommands) and exits.",
        example: "> waggle commands --flags\n> waggle commands completion bash > ~/.local/share/bash-completion/completions/waggle",
        options: [.flag("flags", "f", about: "Show command flags.")],
        subcommands: [completion], needs: .nothing,
        text: { value, request in
            func lines(_ node: JSON, _ prefix: String) -> [String] {
                let name = prefix.isEmpty ? node["Name"]?.string ?? "" : "\(prefix) \(node["Name"]?.string ?? "")"
                var all = [name]
                if request.flag("flags") {
                    for option in node["Options"]?.array ?? [] {
                        let names = option["Names"]?.array?.compactMap(\.string) ?? []
                        if prefix.isEmpty { continue }
                        all.append(names.map { "\(name) \($0.count == 1 ? "-" : "--")\($0)" }.joined(separator: " / "))
                    }
                }
                for child in node["Subcommands"]?.array ?? [] { all += lines(child, name) }
                return all
            }
            return lines(value, "").sorted().joined(separator: "\n") + "\n"
        }
    ) { request, _, emitter in
        try await emitter.emitOnce(describe(Commands.root, name: "ipfs", flags: request.flag("flags")))
    }

    private static func describe(_ command: Command, name: String, flags: Bool) -> JSON {
        let options = flags ? command.options.map { ["Names": .strings($0.names)] as JSON } : []
        return [
            "Name": .string(name),
            "Subcommands": .array(command.subcommands.sorted { $0.name < $1.name }.map { describe($0, name: $0.name, flags: flags) }),
            "Options": .array(options),
        ]
    }

    private static let completion: Command = Command(
        "completion", "Generate shell completions.", description: "Writes a script that teaches a shell to complete commands and flags.",
        example: "> waggle commands completion bash > ~/.local/share/bash-completion/completions/waggle",
        subcommands: ["bash", "zsh", "fish"].map { shell in
            Command(
                shell, "Generate \(shell) shell completions.", example: "> waggle commands completion \(shell)", place: .client, needs: .nothing
            ) { _, session, emitter in
                try await emitter.write(Bytes(utf8: Completion.script(for: shell, program: session.programName, root: Commands.root)))
            }
        },
        needs: .nothing)
}

/// Completion scripts for shells.
enum Completion {
    static func script(for shell: String, program: String, root: Command) -> String {
        switch shell {
        case "fish": fish(program, root)
        case "zsh": "#compdef \(program)\nautoload -U bashcompinit && bashcompinit\n" + bash(program, root)
        default: bash(program, root)
        }
    }

    /// Every command with its path, words below it and flags.
    private static func flatten(_ command: Command, _ path: [String] = []) -> [(path: [String], command: Command)] {
        [(path, command)] + command.subcommands.flatMap { flatten($0, path + [$0.name]) }
    }

    private static func flags(_ command: Command) -> [String] { command.options.flatMap { $0.names.map { ($0.count == 1 ? "-" : "--") + $0 } } }

    private static func bash(_ program: String, _ root: Command) -> String {
        let cases = flatten(root).map { path, command in
            "    \"\(path.joined(separator: " "))\") words=\"\((command.subcommands.map(\.name) + flags(command)).joined(separator: " "))\" ;;"
        }
        let paths = flatten(root).filter { !$0.path.isEmpty }.map { "\"\($0.path.joined(separator: " "))\"" }.joined(separator: "|")
        return """
            _\(program)() {
              local word path="" words=""
              for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                case "${path:+$path }$word" in \(paths)) path="${path:+$path }$word" ;; esac
              done
              case "$path" in
            \(cases.joined(separator: "\n"))
              esac
              COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
            }
            complete -o default -F _\(program) \(program)

            """
    }

    private static func fish(_ program: String, _ root: Command) -> String {
        var lines: [String] = []
        for (path, command) in flatten(root) {
            let seen = path.map { "__fish_seen_subcommand_from \($0)" }.joined(separator: "; and ")
            let children = command.subcommands.map(\.name).joined(separator: " ")
            for child in command.subcommands {
                let condition = path.isEmpty ? "__fish_use_subcommand" : "\(seen); and not __fish_seen_subcommand_from \(children)"
                lines.append("complete -c \(program) -f -n '\(condition)' -a \(child.name) -d '\(escape(child.tagline))'")
            }
            for option in command.options {
                let names = option.names.map { $0.count == 1 ? "-s \($0)" : "-l \($0)" }.joined(separator: " ")
                let condition = path.isEmpty ? "" : " -n '\(seen)'"
                lines.append("complete -c \(program)\(condition) \(names)\(option.kind == .bool ? "" : " -r") -d '\(escape(option.description))'")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func escape(_ text: String) -> String { text.replacing("'", with: "\\'") }
}
