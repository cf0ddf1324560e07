import WaggleBase
import WaggleContent
import WaggleFormats

/// `get`: files and directories to the disk.
enum GetCommand {
    static let command: Command = Command(
        "get", "Download IPFS objects.",
        description: """
            Stores to disk the data contained at the given path. By default, the output will be stored at './<ipfs-path>', but an alternate
            path can be specified with '--output=<path>' or '-o=<path>'. To output a TAR archive instead of unpacked files, use '--archive'.
            With '--compress' a file, or the archive, is compressed with gzip.
            """,
        example: "> waggle get <cid> -o photos", arguments: [.string("ipfs-path", "The path to the IPFS object(s) to be outputted.", input: true)],
        options: [
            .string("output", "o", about: "The path where the output should be stored."),
            .flag("archive", "a", about: "Output a TAR archive."),
            .flag("compress", "C", about: "Compress the output with GZIP compression."),
            .integer("compression-level", "l", about: "The level of compression (1-9)."),
            .flag("progress", "p", about: "Stream progress data. Default: true when stderr is a terminal."),
        ],
        present: { request, console in GetPresenter(request, console) }
    ) { request, session, emitter in
        let source = try await session.source(request)
        let path = try ContentPath(parsing: request.arguments[0])
        let root = try await UnixFSNode.load(try await session.resolve(request.arguments[0], request), from: source)
        let compresses = request.flag("compress")
        let level = request.integer("compression-level").map { Int($0) }
        if compresses, let level, !(1...9).contains(level) { throw CommandError.client("compression level must be between 1 and 9") }
        let isBare = compresses && !request.flag("archive")
        if isBare, root.kind != .file { throw CommandError("file is not regular") }
        emitter.setContentType(compresses ? "application/gzip" : "application/x-tar")
        emitter.setLength(root.isDirectory ? root.cumulativeSize : root.content)
        let gzip = compresses ? try Gzip(level: level) : nil
        defer { gzip?.close() }
        let send: (Bytes) async throws -> Void = { bytes in
            if let gzip { try await gzip.write(bytes) { try await emitter.write($0) } } else { try await emitter.write(bytes) }
        }
        if isBare {
            var reader = try FileReader(root, from: source)
            try await reader.forEach { try await send($0) }
        } else {
            try await ArchiveWriter(source: source, name: path.segments.last ?? path.root, send: send).write(root.cid)
            try await send(TarFormat.end)
        }
        try await gzip?.write(Bytes(), isLast: true) { try await emitter.write($0) }
    }
}

/// Writes a UnixFS tree as a TAR archive whose entries begin with `name`.
private struct ArchiveWriter {
    let source: any BlockSource
    let name: String
    let send: (Bytes) async throws -> Void

    func write(_ root: CID) async throws {
        var tree = TreeReader(root, from: source)
        while let item = try await tree.next() {
            switch item {
            case .directory(let path, let metadata):
                try await send(TarFormat.header(text(path), kind: .directory, size: 0, own(metadata)))
            case .leave: break
            case .symlink(let path, let target, let metadata):
                try await send(TarFormat.header(text(path), kind: .link(target: target), size: 0, own(metadata)))
            case .file(let path, let node):
                var reader = try FileReader(node, from: source)
                try await send(TarFormat.header(text(path), kind: .file, size: reader.size, own(node.metadata)))
                try await reader.forEach { try await send($0) }
                let padding = Int((512 - reader.size % 512) % 512)
                if padding > 0 { try await send(Bytes([UInt8](repeating: 0, count: padding))) }
            }
        }
    }

    private func text(_ path: [String]) -> String { ([name] + path).joined(separator: "/") }

    private func own(_ metadata: UnixFSMetadata) -> TarFormat.Metadata {
        TarFormat.Metadata(
            mode: metadata.mode, seconds: metadata.modified?.seconds, nanoseconds: metadata.modified?.nanoseconds ?? 0)
    }
}

/// Unpacks the archive that `get` receives, or stores it as it is.
private final class GetPresenter: Presenter, @unchecked Sendable {
    private let request: Request
    private let console: any Console
    private let output: String
    private var bar: ProgressBar?
    private var extractor: TarExtractor?
    private var archive: (file: any OpenFile, offset: Int64)?

    init(_ request: Request, _ console: any Console) {
        self.request = request
        self.console = console
        let path = request.arguments.first ?? ""
        let name = request.string("output") ?? path.split(separator: "/").last.map(String.init) ?? path
        output = name.hasPrefix("/") ? name : console.workingDirectory + "/" + name
    }

    func length(_ length: UInt64) {
        let shows = request.flagIfGiven("progress") ?? console.errorIsTerminal
        if shows { bar = ProgressBar("", total: length, console: console) }
    }

    func value(_ value: JSON) async throws {}

    func bytes(_ bytes: Bytes) async throws {
        if request.flag("archive") || request.flag("compress") { try store(bytes) } else { try extract(bytes) }
        bar?.advance(by: bytes.count)
    }

    private func store(_ bytes: Bytes) throws {
        if archive == nil {
            var path = output
            if request.flag("archive"), !path.hasSuffix(".tar"), !path.hasSuffix(".tar.gz") { path += ".tar" }
            if request.flag("compress"), !path.hasSuffix(".gz") { path += ".gz" }
            try console.print("Saving archive to \(shown(path))\n")
            archive = (try console.files.create(path, mode: 0o644, exclusive: false), 0)
        }
        guard let (file, offset) = archive else { return }
        try bytes.withUnsafeBytes { (buffer) throws(FileError) in try file.write(buffer, at: offset) }
        archive = (file, offset + Int64(bytes.count))
    }

    private func extract(_ bytes: Bytes) throws {
        if extractor == nil {
            try console.print("Saving file(s) to \(shown(output))\n")
            extractor = TarExtractor(to: output, files: console.files)
        }
        try extractor?.receive(bytes)
    }

    private func shown(_ path: String) -> String {
        path.hasPrefix(console.workingDirectory + "/") ? String(path.dropFirst(console.workingDirectory.count + 1)) : path
    }

    func end() async throws {
        archive?.file.close()
        try extractor?.finish()
        bar?.finish()
    }

    func abandon() {
        archive?.file.close()
        extractor?.abandon()
        bar?.clear()
    }
}
