import WaggleBase
import WaggleContent
import WaggleFormats

/// `cat`: the content of files.
enum CatCommand {
    static let command: Command = Command(
        "cat", "Show IPFS object data.", description: "Displays the data contained by IPFS objects at the given paths, one after the other.",
        example: "> waggle cat <cid> > hello.txt\n> waggle cat --offset=100 --length=20 <cid>",
        arguments: [.string("ipfs-path", "The path to the IPFS object(s) to be outputted.", variadic: true, input: true)],
        options: [
            .integer("offset", "o", kind: .int64, about: "Byte offset to begin reading from."),
            .integer("length", "l", kind: .int64, about: "Maximum number of bytes to read."),
            .flag("progress", "p", about: "Stream progress data. Default: true when stderr is a terminal."),
        ],
        present: { request, console in TransferPresenter(request, console) }
    ) { request, session, emitter in
        var offset = request.integer("offset") ?? 0
        guard offset >= 0 else { throw CommandError("cannot specify negative offset") }
        let limit = request.integer("length")
        guard limit ?? 0 >= 0 else { throw CommandError("cannot specify negative length") }
        let source = try await session.source(request)
        var readers: [FileReader] = []
        var total: UInt64 = 0
        for argument in request.arguments where limit != 0 {
            let node = try await session.file(argument, request)
            if UInt64(offset) > node.content {
                offset -= Int64(node.content)
                continue
            }
            let left = limit.map { UInt64($0) - total }
            let reader = try FileReader(node, from: source, offset: UInt64(offset), length: left)
            offset = 0
            total += reader.length
            readers.append(reader)
            if let limit, total >= UInt64(limit) { break }
        }
        emitter.setLength(total)
        for index in readers.indices { try await readers[index].forEach { try await emitter.write($0) } }
    }
}

extension Session {
    /// The file at a path, for reading.
    func file(_ text: String, _ request: Request) async throws -> UnixFSNode {
        let node = try await UnixFSNode.load(try await resolve(text, request), from: try await source(request))
        switch node.kind {
        case .file: return node
        case .directory, .shard: throw CommandError("this dag node is a directory")
        case .symlink: throw CommandError("operation not supported")
        }
    }
}

/// Bytes to standard output, with a progress bar for long ones.
final class TransferPresenter: Presenter, @unchecked Sendable {
    /// Shorter transfers show no bar, in bytes.
    private static let threshold: UInt64 = 8 << 20
    private let console: any Console
    private let shows: Bool
    private var bar: ProgressBar?

    init(_ request: Request, _ console: any Console) {
        self.console = console
        // Where the data goes to the terminal itself a bar would only get into it.
        shows = request.flagIfGiven("progress") ?? (console.errorIsTerminal && !console.outputIsTerminal)
    }

    func length(_ length: UInt64) {
        if shows, length >= Self.threshold { bar = ProgressBar("", total: length, console: console) }
    }

    func bytes(_ bytes: Bytes) async throws {
        try console.write(bytes)
        bar?.advance(by: bytes.count)
    }

    func value(_ value: JSON) async throws { try console.print(value.text() + "\n") }
    func end() async throws { bar?.finish() }
    func abandon() { bar?.clear() }
}
