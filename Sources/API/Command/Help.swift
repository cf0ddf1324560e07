/// Help texts, generated from the command tree in Kubo's layout.
package struct Help {
    package let program: String
    package let root: Command
    package let width: Int

    package init(program: String, root: Command, width: Int) {
        self.program = program
        self.root = root
        self.width = max(40, width)
    }

    /// The text for the command at `path`; `long` adds arguments, options and the whole description.
    package func text(_ path: [String], long: Bool) -> String {
        let command = root.descend(path) ?? root
        let name = ([program] + path).joined(separator: " ")
        var text = "USAGE\n" + wrap("\(usage(command, name)) - \(command.tagline)", indent: 2, hanging: 4)
        if long {
            text += section("SYNOPSIS", wrap(synopsis(command, name), indent: 2, hanging: name.count + 3))
            text += section("ARGUMENTS", rows(command.arguments.map { (label($0), $0.description) }))
            let options = command.options + (path.isEmpty ? [] : root.options.filter { ["help", "encoding"].contains($0.name) })
            text += section("OPTIONS", rows(options.map { (label($0), describe($0)) }))
        }
        text += long ? section("DESCRIPTION", indented(command.description)) : command.description.isEmpty ? "" : "\n" + indented(command.description)
        text += section("EXAMPLES", indented(command.example.replacing("waggle", with: program)))
        if !command.subcommands.isEmpty {
            text += section("SUBCOMMANDS", rows(command.subcommands.map { (usage($0, name + " " + $0.name), $0.tagline) }))
            text += "\n  For more information about each command, use:\n  '\(name) <subcmd> --help'\n"
        } else if !long {
            text += "\n  For more information, use '\(name) --help'\n"
        }
        return text
    }

    private func section(_ title: String, _ body: String) -> String { body.isEmpty ? "" : "\n\(title)\n\n\(body)" }

    private func usage(_ command: Command, _ name: String) -> String {
        let words = command.arguments.map(label) + (command.name.isEmpty ? ["[options]", "<command>", "..."] : [])
        return ([name] + words).joined(separator: " ")
    }

    private func synopsis(_ command: Command, _ name: String) -> String {
        let options = command.options.map { option -> String in
            let value = option.kind == .bool ? "" : "=<\(option.name)>"
            let names = option.names.map { ($0.count == 1 ? "-" : "--") + $0 }.joined(separator: " | ")
            return option.kind == .array ? "[\(names)\(value)]..." : "[\(names)\(value)]"
        }
        return ([name] + options + (command.arguments.isEmpty ? [] : ["[--]"]) + command.arguments.map(label)).joined(separator: " ")
    }

    private func label(_ argument: Argument) -> String {
        let name = argument.isVariadic ? "<\(argument.name)>..." : "<\(argument.name)>"
        return argument.isRequired ? name : "[\(name)]"
    }

    private func label(_ option: Option) -> String {
        option.names.sorted { $0.count < $1.count }.map { ($0.count == 1 ? "-" : "--") + $0 }.joined(separator: ", ")
    }

    private func describe(_ option: Option) -> String {
        let fallback = option.fallback.map { " Default: \($0.texts.joined(separator: ", "))." } ?? ""
        let isSentence = fallback.isEmpty || option.description.isEmpty || ".!?)".contains(option.description.suffix(1))
        return "\(option.kind.rawValue) - \(option.description)\(option.description.contains("Default:") ? "" : (isSentence ? "" : ".") + fallback)"
    }

    private func indented(_ text: String) -> String {
        if text.isEmpty { return "" }
        // Paragraphs are filled again; lines that are set apart stay as they are, unless they are too long.
        var paragraphs: [String] = []
        var isOpen = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let isEntry = line.firstRange(of: ": ").map { !line[..<$0.lowerBound].contains(" ") } ?? false
            let isPlain = !line.isEmpty && line.first != " " && line.first != ">" && line.first != "<" && !isEntry
            if isPlain, isOpen { paragraphs[paragraphs.count - 1] += " " + line } else { paragraphs.append(String(line)) }
            isOpen = isPlain
        }
        return paragraphs.map { paragraph in
            if paragraph.isEmpty { return "\n" }
            let own = paragraph.prefix { $0 == " " }.count
            if paragraph.dropFirst(own).first == ">" { return "  \(paragraph)\n" }
            return wrap(String(paragraph.dropFirst(own)), indent: 2 + own, hanging: 2 + own)
        }.joined()
    }

    private func rows(_ rows: [(String, String)]) -> String {
        let column = min(rows.map(\.0.count).max() ?? 0, 34)
        return rows.map { label, text in
            // A label that is too long for its column gets lines of its own.
            if label.count > column { return wrap(label, indent: 2, hanging: 6) + wrap(text, indent: column + 4, hanging: column + 4) }
            let head = "  " + label + String(repeating: " ", count: column - label.count) + "  "
            let body = wrap(text, indent: column + 4, hanging: column + 4)
            return head + body.dropFirst(column + 4)
        }.joined()
    }

    /// Fills lines up to the width; the first begins at `indent`, the others at `hanging`.
    private func wrap(_ text: String, indent: Int, hanging: Int) -> String {
        var lines: [String] = []
        var line = String(repeating: " ", count: indent)
        var isBare = true
        for word in text.split(separator: " ") {
            if !isBare, line.count + word.count + 1 > width {
                lines.append(line)
                line = String(repeating: " ", count: hanging)
                isBare = true
            }
            line += isBare ? String(word) : " \(word)"
            isBare = false
        }
        lines.append(line)
        return lines.joined(separator: "\n") + "\n"
    }
}
