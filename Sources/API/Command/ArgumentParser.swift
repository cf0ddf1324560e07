import WaggleBase

/// What a command line asks for.
package struct ParsedLine: Sendable {
    package var path: [String] = []
    package var command: Command
    package var arguments: [String] = []
    package var options: [String: OptionValue] = [:]
}

/// Reads a command line against the command tree, with Kubo's rules: options may stand anywhere, `--name=value` or `--name value`, `-n 3`,
/// `-n=3` and `-n3`, short flags may be joined (`-rq`), `--` ends the options.
package struct ArgumentParser {
    private let root: Command
    private let words: [String]
    private var index = 0
    private var line: ParsedLine
    private var definitions: [Option]

    private init(root: Command, words: [String]) {
        self.root = root
        self.words = words
        line = ParsedLine(command: root)
        definitions = root.options
    }

    /// Parses `words`, which come without the program's name. What was understood before an error is in `partial`, so that help can be
    /// shown for the right command.
    package static func parse(_ words: [String], root: Command, partial: inout ParsedLine) throws(CommandError) -> ParsedLine {
        var parser = ArgumentParser(root: root, words: words)
        do throws(CommandError) {
            try parser.parse()
        } catch {
            partial = parser.line
            throw error
        }
        partial = parser.line
        return parser.line
    }

    private mutating func parse() throws(CommandError) {
        while index < words.count {
            let word = words[index]
            if word == "--" {
                line.arguments += words[(index + 1)...]
                return
            }
            if word.hasPrefix("--") {
                try long(word)
            } else if word.hasPrefix("-"), word != "-" {
                try short(word)
            } else {
                try name(word)
            }
            index += 1
        }
    }

    private mutating func name(_ word: String) throws(CommandError) {
        if line.arguments.isEmpty, let next = line.command.subcommands.first(where: { $0.name == word }) {
            line.command = next
            line.path.append(word)
            definitions += next.options
            return
        }
        // A group takes no arguments, so the word was meant as the name of a command.
        if line.command.run == nil { throw Suggestion.unknownCommand(word, in: line.command) }
        line.arguments.append(word)
    }

    private mutating func long(_ word: String) throws(CommandError) {
        let body = word.dropFirst(2)
        let name = String(body.prefix { $0 != "=" })
        let inline = body.firstIndex(of: "=").map { String(body[body.index(after: $0)...]) }
        try set(name, value: inline)
    }

    private mutating func short(_ word: String) throws(CommandError) {
        var rest = word.dropFirst()
        // With a value a whole name may have one dash too (`-cid-version=1`).
        if let equals = rest.firstIndex(of: "="), rest.distance(from: rest.startIndex, to: equals) > 1 {
            return try set(String(rest[..<equals]), value: String(rest[rest.index(after: equals)...]))
        }
        while let letter = rest.first {
            rest = rest.dropFirst()
            let name = String(letter)
            let option = try definition(name)
            if option.kind == .bool {
                if rest.first == "=" {
                    try set(name, value: String(rest.dropFirst()))
                    return
                }
                try set(name, value: nil)
                continue
            }
            if rest.isEmpty { return try set(name, value: nil) }
            return try set(name, value: String(rest.first == "=" ? rest.dropFirst() : rest))
        }
    }

    private func definition(_ name: String) throws(CommandError) -> Option {
        guard let option = definitions.last(where: { $0.names.contains(name) }) else {
            throw .client("unknown option \"\(name)\"")
        }
        return option
    }

    private mutating func set(_ name: String, value inline: String?) throws(CommandError) {
        let option = try definition(name)
        var text = inline
        if text == nil, option.kind != .bool {
            guard index + 1 < words.count else { throw .client("missing argument for option \"\(name)\"") }
            index += 1
            text = words[index]
        }
        let value = try OptionValue(parsing: text ?? "true", as: option.kind, option: name)
        switch (line.options[option.name], value) {
        case (.array(let earlier)?, .array(let more)): line.options[option.name] = .array(earlier + more)
        case (nil, _): line.options[option.name] = value
        default: throw .client("multiple values for option \"\(option.name)\"")
        }
    }
}

/// Finds what the user may have meant.
package enum Suggestion {
    /// The error for a word that names no command, with the nearest names.
    package static func unknownCommand(_ word: String, in root: Command) -> CommandError {
        let names = root.subcommands.map(\.name)
        var near = names.filter { word.contains($0) }
        if near.isEmpty {
            near = names.map { (name: $0, distance: distance(word, $0)) }.filter { $0.distance <= limit }
                .sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.map(\.name)
        }
        var message = "Unknown Command \"\(word)\"\n"
        if near.count == 1 { message += "\nDid you mean this?\n\n\t\(near[0])" }
        if near.count > 1 { message += "\nDid you mean any of these?\n\n\t" + near.joined(separator: "\n\t") }
        return .client(message)
    }

    /// Words further from each other than this are not suggested.
    private static let limit = 3

    /// What it takes to make `right` of `left`: letters left out in typing cost 1, wrong ones 2, superfluous ones 3.
    static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8.prefix(64))
        let right = Array(right.utf8.prefix(64))
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = 3 * (i + 1)
            for (j, b) in right.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 3, row[j] + 1, diagonal + (a == b ? 0 : 2))
                diagonal = above
            }
        }
        return row[right.count]
    }
}

extension Command {
    /// Splits positional words into string arguments and file paths, and checks that there are neither too few nor too many.
    /// `hasInput` says that a missing last argument can be read from standard input or from the request's body.
    package func assign(_ words: [String], hasInput: Bool) throws(CommandError) -> (strings: [String], files: [String]) {
        let required = arguments.filter(\.isRequired).count
        if words.count > arguments.count, arguments.last?.isVariadic != true {
            throw .client("expected \(arguments.count) argument(s), got \(words.count)")
        }
        var strings: [String] = []
        var files: [String] = []
        var left = words[...]
        var missing = required
        for argument in arguments {
            if !argument.isRequired, left.count <= missing { continue }
            if argument.isRequired { missing -= 1 }
            guard let word = left.first else {
                if argument.isRequired, !(argument.readsInput && hasInput) {
                    throw .client("argument \"\(argument.name)\" is required")
                }
                continue
            }
            let taken = argument.isVariadic ? left : [word]
            left = left.dropFirst(taken.count)
            if argument.kind == .string { strings += taken } else { files += taken }
        }
        return (strings, files)
    }
}
