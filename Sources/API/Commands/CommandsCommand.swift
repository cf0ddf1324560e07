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
    ) { request, session, emitter in
        try await emitter.emitOnce(describe(Commands.root, name: session.programName, flags: request.flag("flags")))
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

/// Completion scripts for shells. Each finds the command that the words before the cursor name, and offers its subcommands and flags, else files.
enum Completion {
    static func script(for shell: String, program: String, root: Command) -> String {
        switch shell {
        case "fish": fish(program, root)
        case "zsh": zsh(program, root)
        default: bash(program, root)
        }
    }

    /// Every command with the words that lead to it.
    private static func flatten(_ command: Command, _ path: [String] = []) -> [(path: String, command: Command)] {
        [(path.joined(separator: " "), command)] + command.subcommands.flatMap { flatten($0, path + [$0.name]) }
    }

    private static func flags(_ option: Option) -> [String] { option.names.map { ($0.count == 1 ? "-" : "--") + $0 } }

    private static func paths(_ root: Command) -> [String] { flatten(root).map(\.path).filter { !$0.isEmpty } }

    /// In single quotes, as shells read it.
    private static func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }

    private static func bash(_ program: String, _ root: Command) -> String {
        let cases = flatten(root).map { path, command in
            "    \"\(path)\") words=\"\((command.subcommands.map(\.name) + (path.isEmpty ? [] : command.options.flatMap(flags))).joined(separator: " "))\" ;;"
        }
        return """
            _\(program)() {
              local word place="" words=""
              for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                case "${place:+$place }$word" in \(paths(root).map { "\"\($0)\"" }.joined(separator: "|"))) place="${place:+$place }$word" ;; esac
              done
              case "$place" in
            \(cases.joined(separator: "\n"))
              esac
              case "${COMP_WORDS[COMP_CWORD]}" in -*) words="$words \(root.options.flatMap(flags).joined(separator: " "))" ;; esac
              COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
            }
            complete -o default -F _\(program) \(program)

            """
    }

    private static func zsh(_ program: String, _ root: Command) -> String {
        func list(_ options: [Option]) -> String { options.flatMap { option in flags(option).map { quoted("\($0):\(option.description)") } }.joined(separator: " ") }
        let cases = flatten(root).map { path, command in
            let names = command.subcommands.map { quoted("\($0.name):\($0.tagline)") }.joined(separator: " ")
            return "    (\(quoted(path))) names=(\(names)); flags=(\(path.isEmpty ? "" : list(command.options))) ;;"
        }
        return """
            #compdef \(program)
            _\(program)() {
              local word place=''
              local -a names flags
              for word in "${(@)words[2,CURRENT-1]}"; do
                case "${place:+$place }$word" in (\(paths(root).map(quoted).joined(separator: "|"))) place="${place:+$place }$word" ;; esac
              done
              case "$place" in
            \(cases.joined(separator: "\n"))
              esac
              if [[ "${words[CURRENT]}" == -* ]]; then
                flags+=(\(list(root.options)))
                _describe -o flag flags
              else
                { (( $#names )) && _describe command names } || _files
              fi
            }
            if [[ "$funcstack[1]" == _\(program) ]]; then _\(program) "$@"; else compdef _\(program) \(program); fi

            """
    }

    private static func fish(_ program: String, _ root: Command) -> String {
        var lines = [
            "set -g __\(program)_paths \(paths(root).map(quoted).joined(separator: " "))", "function __\(program)_at", "    set -l place ''", "    for word in (commandline -opc)[2..-1]",
            "        set -l longer (string trim -- \"$place $word\")", "        contains -- $longer $__\(program)_paths; and set place $longer", "    end", "    test \"$place\" = \"$argv[1]\"", "end",
        ]
        for (path, command) in flatten(root) {
            let condition = "__\(program)_at \"\(path)\""
            for child in command.subcommands { lines.append("complete -c \(program) -f -n '\(condition)' -a \(child.name) -d \(fishQuoted(child.tagline))") }
            for option in command.options {
                let names = option.names.map { $0.count == 1 ? "-s \($0)" : "-l \($0)" }.joined(separator: " ")
                lines.append("complete -c \(program)\(path.isEmpty ? "" : " -n '\(condition)'") \(names)\(option.kind == .bool ? "" : " -r") -d \(fishQuoted(option.description))")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func fishQuoted(_ text: String) -> String { "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'" }
}
