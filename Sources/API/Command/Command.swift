import WaggleBase
import WaggleFormats

/// One command of the tree that the command line and the RPC API share.
///
/// `run` does the work and emits values or bytes; `text` says how a value looks on a terminal; `present` takes over the terminal
/// where that is not enough (progress bars, files to write).
package struct Command: Sendable {
    package enum Place: Sendable {
        /// On the daemon when one runs, else in this process.
        case anywhere
        /// Only in the command line's own process; not in the RPC API.
        case client
        /// Only on a running daemon.
        case daemon
    }

    /// What must be there before `run` is called.
    package enum Needs: Sendable {
        case nothing
        /// A repository that exists; it is not opened.
        case configuration
        case repository
    }

    package var name: String
    package var tagline: String
    package var description: String
    package var example: String
    package var arguments: [Argument]
    package var options: [Option]
    package var subcommands: [Command]
    package var place: Place
    package var needs: Needs
    package var run: Run?
    package var text: Text?
    package var present: Present?
    /// Changes a request of the command line before it is run or sent to a daemon.
    package var prepare: Prepare?

    package typealias Run = @Sendable (Request, Session, any Emitter) async throws -> Void
    /// What one emitted value looks like on a terminal, without a final newline being added.
    package typealias Text = @Sendable (JSON, Request) throws -> String
    package typealias Present = @Sendable (Request, any Console) -> any Presenter
    package typealias Prepare = @Sendable (inout Request, any Console) -> Void

    /// A command that does something.
    package init(
        _ name: String, _ tagline: String, description: String = "", example: String = "", arguments: [Argument] = [],
        options: [Option] = [], subcommands: [Command] = [], place: Place = .anywhere, needs: Needs = .repository,
        text: Text? = nil, present: Present? = nil, prepare: Prepare? = nil, run: @escaping Run
    ) {
        self.init(name, tagline, description: description, example: example, options: options, subcommands: subcommands, needs: needs)
        self.arguments = arguments
        self.place = place
        self.text = text
        self.present = present
        self.prepare = prepare
        self.run = run
    }

    /// A group of commands.
    package init(
        _ name: String, _ tagline: String, description: String = "", example: String = "", options: [Option] = [],
        subcommands: [Command], needs: Needs = .repository
    ) {
        self.name = name
        self.tagline = tagline
        self.description = description
        self.example = example
        arguments = []
        self.options = options
        self.subcommands = subcommands
        place = .anywhere
        self.needs = needs
        text = nil
        present = nil
        prepare = nil
        run = nil
    }

    /// Follows names from this command; nil when one does not exist.
    package func descend(_ path: some Sequence<String>) -> Command? {
        var command = self
        for name in path {
            guard let next = command.subcommands.first(where: { $0.name == name }) else { return nil }
            command = next
        }
        return command
    }
}

/// A positional argument.
package struct Argument: Sendable {
    package enum Kind: Sendable { case string, file }
    package var name: String
    package var kind: Kind
    package var isRequired: Bool
    package var isVariadic: Bool
    /// Read from standard input when it is missing.
    package var readsInput: Bool
    package var description: String

    package static func string(
        _ name: String, _ description: String, required: Bool = true, variadic: Bool = false, input: Bool = false
    ) -> Argument {
        Argument(name: name, kind: .string, isRequired: required, isVariadic: variadic, readsInput: input, description: description)
    }

    package static func file(
        _ name: String, _ description: String, required: Bool = true, variadic: Bool = false, input: Bool = false
    ) -> Argument {
        Argument(name: name, kind: .file, isRequired: required, isVariadic: variadic, readsInput: input, description: description)
    }
}

/// A flag or a named value.
package struct Option: Sendable {
    package enum Kind: String, Sendable { case bool, int, int64, uint, uint64, float, string, array }
    /// The first is the name in requests; one-letter names are short flags.
    package var names: [String]
    package var kind: Kind
    package var description: String
    package var fallback: OptionValue?

    package init(_ names: String..., kind: Kind = .string, _ description: String = "", default fallback: OptionValue? = nil) {
        self.names = names
        self.kind = kind
        self.description = description
        self.fallback = fallback
    }

    package static func flag(_ names: String..., about description: String, default fallback: Bool? = nil) -> Option {
        var option = Option(kind: .bool, description, default: fallback.map(OptionValue.bool))
        option.names = names
        return option
    }

    package static func string(_ names: String..., about description: String, default fallback: String? = nil) -> Option {
        var option = Option(kind: .string, description, default: fallback.map(OptionValue.string))
        option.names = names
        return option
    }

    package static func integer(_ names: String..., kind: Kind = .int, about description: String, default fallback: Int64? = nil) -> Option {
        var option = Option(kind: kind, description, default: fallback.map(OptionValue.integer))
        option.names = names
        return option
    }

    package var name: String { names[0] }
}

/// The value of an option.
package enum OptionValue: Hashable, Sendable {
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    case float(Double)
    case string(String)
    case array([String])

    /// Reads `text` as a value of `kind`.
    package init(parsing text: String, as kind: Option.Kind, option name: String) throws(CommandError) {
        func bad(_ expected: String) -> CommandError {
            .client("could not convert value \"\(text)\" to type \"\(kind.rawValue)\" for option \"-\(name)\": expected \(expected)")
        }
        switch kind {
        case .bool:
            switch text.lowercased() {
            case "", "true", "1", "t": self = .bool(true)
            case "false", "0", "f": self = .bool(false)
            default: throw bad("true or false")
            }
        case .int, .int64:
            guard let value = Int64(text) else { throw bad("an integer") }
            self = .integer(value)
        case .uint, .uint64:
            // As in Go, a leading 0 means octal and 0x hexadecimal (file modes).
            let value: UInt64? =
                if text.hasPrefix("0x") { UInt64(text.dropFirst(2), radix: 16) } else if text.hasPrefix("0"), text.count > 1 {
                    UInt64(text.dropFirst(1), radix: 8)
                } else { UInt64(text) }
            guard let value else { throw bad("a number that is not negative") }
            self = .unsigned(value)
        case .float:
            guard let value = Double(text) else { throw bad("a number") }
            self = .float(value)
        case .string: self = .string(text)
        case .array: self = .array([text])
        }
    }

    /// The value as it stands in a query.
    package var texts: [String] {
        switch self {
        case .bool(let value): [value.description]
        case .integer(let value): [value.description]
        case .unsigned(let value): [value.description]
        case .float(let value): [value.description]
        case .string(let value): [value]
        case .array(let values): values
        }
    }
}
