import WaggleBase
import WaggleFormats

/// The command-line program: reads the line, decides where the command runs, shows its output and says with which code to exit.
package struct CommandLineProgram: Sendable {
    private let root: Command
    private let console: any Console
    private let system: any System

    package init(root: Command, console: any Console, system: any System) {
        self.root = root
        self.console = console
        self.system = system
    }

    /// Runs the command that the console's arguments name. Call on the home loop.
    package func run() async -> Int32 {
        var words = console.arguments
        if words == ["--version"] { words = ["version"] }
        // `help`, `help <command>`: the same as `<command> --help`.
        if words.first == "help" { words = words.dropFirst() + (words.last == "--help" ? [] : ["--help"]) }
        var line = ParsedLine(command: root)
        var stage = Stage.parsing
        do {
            let parsed = try ArgumentParser.parse(words, root: root, partial: &line)
            if let code = try showHelp(parsed) { return code }
            stage = .arguments
            let request = try await makeRequest(parsed)
            stage = .running
            try await Deadline.run(request.string("timeout"), on: system) { try await execute(request) }
            return 0
        } catch {
            // `--help` wins over whatever is wrong with the rest of the line.
            if line.options["help"] == .bool(true) || line.options["h"] == .bool(true) {
                do { if let code = try showHelp(line) { return code } } catch { return 1 }
            }
            return report(error, line, stage)
        }
    }

    private enum Stage { case parsing, arguments, running }

    private func report(_ error: any Error, _ line: ParsedLine, _ stage: Stage) -> Int32 {
        if let error = error as? ExitCode { return error.code }
        // Whoever read the output has read enough (`| head`): the code that a shell shows for a closed pipe, and no words about it.
        if case .other(path: "standard output", errno: 32)? = error as? FileError { return 141 }
        let failure = CommandError(explaining: error)
        console.writeError("Error: \(failure.message)\n")
        guard failure.code == .client else { return 1 }
        switch stage {
        case .parsing: break
        case .arguments: console.writeError("\n" + Help(program: console.programName, root: root, width: 80).text(line.path, long: false))
        case .running:
            let name = ([console.programName] + line.path).joined(separator: " ")
            console.writeError("Use '\(name) --help' for information about this command\n")
        }
        return 1
    }

    private func showHelp(_ line: ParsedLine) throws -> Int32? {
        let help = Help(program: console.programName, root: root, width: console.outputIsTerminal ? console.width : 80)
        if line.options["help"] == .bool(true) {
            try console.print(help.text(line.path, long: true))
            return 0
        }
        if line.options["h"] == .bool(true) || line.command.run == nil {
            try console.print(help.text(line.path, long: false))
            return line.command.run == nil && line.options["h"] == nil && !line.path.isEmpty && line.command.subcommands.isEmpty ? 1 : 0
        }
        return nil
    }

    // MARK: The request

    private func makeRequest(_ line: ParsedLine) async throws -> Request {
        var definitions = root.options
        for depth in line.path.indices { definitions += root.descend(line.path.prefix(depth + 1))?.options ?? [] }
        var request = Request(path: line.path, command: line.command, arguments: [], options: line.options)
        request.fillDefaults(definitions)
        request.startedAt = system.wallTime
        let assigned = try line.command.assign(line.arguments, hasInput: true)
        request.arguments = assigned.strings
        request.files = try files(assigned.files, request)
        try await readMissingArguments(&request)
        request.command.prepare?(&request, console)
        return request
    }

    private func files(_ paths: [String], _ request: Request) throws -> (any FileTree)? {
        guard let argument = request.command.arguments.first(where: { $0.kind == .file }) else { return nil }
        if paths.isEmpty {
            guard argument.readsInput, argument.isRequired else { return nil }
            noteInput()
            return InputFile(name: request.string("stdin-name") ?? "", console: console, system: system)
        }
        if paths == ["-"] { return InputFile(name: request.string("stdin-name") ?? "", console: console, system: system) }
        var rules = DiskFiles.Rules()
        rules.recursive = request.flag("recursive")
        rules.hidden = request.flag("hidden")
        rules.followLinks = request.flag("dereference-symlinks")
        rules.followNamedLinks = request.flag("dereference-args")
        var patterns = request.strings("ignore")
        if let path = request.string("ignore-rules-path") {
            patterns += (try system.files.read(path, limit: 1 << 20).utf8 ?? "").split(separator: "\n").map(String.init)
        }
        rules.ignore = IgnoreRules(patterns)
        return try DiskFiles(paths, rules: rules, workingDirectory: console.workingDirectory, system: system)
    }

    /// String arguments that may come from standard input, one a line.
    private func readMissingArguments(_ request: inout Request) async throws {
        let strings = request.command.arguments.filter { $0.kind == .string }
        guard let last = strings.last, last.readsInput, request.arguments.count < strings.count else { return }
        // What may be left out is only read where something is piped in.
        if !last.isRequired, console.inputIsTerminal || request.flag("all") { return }
        guard request.arguments.count < strings.filter(\.isRequired).count || !last.isRequired else { return }
        noteInput()
        let input = InputFile(name: "", console: console, system: system)
        _ = try await input.next()
        var text: [UInt8] = []
        while let bytes = try await input.read() { text += bytes.array }
        let lines = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
        request.arguments += last.isVariadic ? lines : Array(lines.prefix(1))
        guard request.arguments.count >= strings.filter(\.isRequired).count else {
            throw CommandError.client("argument \"\(last.name)\" is required")
        }
    }

    private func noteInput() {
        if console.inputIsTerminal { console.writeError("\(console.programName): Reading from standard input; send Ctrl-d to stop.\n") }
    }

    // MARK: Running

    private func execute(_ request: Request) async throws {
        if request.flag("debug") { (system.log as? any AdjustableLogSink)?.setLevel(.debug, subsystem: nil) }
        let repository = RepositoryPath.resolve(request, console)
        let remote = try await RemoteAPI.find(request, repository: repository, system: system)
        let presenter = Presentation.make(request, console)
        do {
            if let remote {
                try await remote.execute(request, presenter)
            } else {
                try await executeHere(request, repository, presenter)
            }
            try await presenter.end()
        } catch {
            presenter.abandon()
            throw error
        }
    }

    private func executeHere(_ request: Request, _ repository: String, _ presenter: any Presenter) async throws {
        if request.command.place == .daemon {
            throw CommandError("this command must be run in online mode. Try running '\(console.programName) daemon' first")
        }
        let session = try await Session.open(request, repository: repository, console: console, system: system)
        do {
            try await request.command.run?(request, session, PresenterEmitter(presenter))
        } catch {
            await session.close()
            throw error
        }
        await session.close()
    }
}

/// Ends the program with a code, without a message: the command has said it all.
package struct ExitCode: Error {
    package let code: Int32
    package init(_ code: Int32) { self.code = code }
}

/// Where the repository is: `--repo-dir`, the environment, or the home directory.
package enum RepositoryPath {
    package static func resolve(_ request: Request, _ console: any Console) -> String {
        if let path = request.string("repo-dir") { return absolute(path, console) }
        // Under the name of Kubo's program its environment counts, so that tools written for it can be pointed here.
        let isKubo = console.programName == "ipfs"
        if let path = console.environment[isKubo ? "IPFS_PATH" : "WAGGLE_PATH"], !path.isEmpty { return absolute(path, console) }
        return (console.environment["HOME"] ?? "") + (isKubo ? "/.ipfs" : "/.waggle")
    }

    private static func absolute(_ path: String, _ console: any Console) -> String {
        if path.hasPrefix("~/") { return (console.environment["HOME"] ?? "") + path.dropFirst(1) }
        return path.hasPrefix("/") ? path : console.workingDirectory + "/" + path
    }
}

/// Hands a command's output to a presenter in the same process.
final class PresenterEmitter: Emitter, @unchecked Sendable {
    private let presenter: any Presenter

    init(_ presenter: any Presenter) { self.presenter = presenter }

    func setLength(_ length: UInt64) { presenter.length(length) }
    func setContentType(_ type: String) {}
    func emit(_ value: JSON) async throws { try await presenter.value(value) }
    func emitOnce(_ value: JSON) async throws { try await presenter.value(value) }
    func write(_ bytes: Bytes) async throws { try await presenter.bytes(bytes) }
}
