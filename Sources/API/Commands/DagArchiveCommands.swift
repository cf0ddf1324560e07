import WaggleBase
import WaggleContent
import WaggleFormats

/// `dag export` and `dag import`: graphs as CAR archives.
///
/// Spec: ipld.io/specs/transport/car, version 1 for writing, 1 and 2 for reading.
enum DagArchiveCommands {
    static let export = Command(
        "export", "Streams the selected DAG as a .car stream on stdout.", description: "Writes all blocks of a graph as a CAR archive, version 1.",
        example: "> waggle dag export <cid> > photos.car",
        arguments: [.string("root", "CID of a root to recursively export", input: true)],
        options: [
            .flag("progress", "p", about: "Stream progress data. Defaults to true when stderr is a terminal."),
            .flag("local-only", about: "Leave out blocks that are not here, with what is below them. Implies --offline."),
        ],
        present: { request, console in TransferPresenter(request, console) }
    ) { request, session, emitter in
        let isLocal = request.flag("local-only")
        let root = try await session.resolve(request.arguments[0], request)
        let source: any BlockSource = isLocal ? try session.repository.blocks : try await session.source(request)
        var walk = DagWalk(root, from: source)
        walk.skipsMissing = isLocal
        emitter.setContentType("application/vnd.ipld.car")
        var pending = ByteWriter()
        CARFormat.writeHeader([root], to: &pending)
        while let block = try await walk.next() {
            CARFormat.write(block, to: &pending)
            if pending.count >= CARFormat.pieceSize {
                try await emitter.write(pending.finish())
                pending = ByteWriter()
            }
        }
        try await emitter.write(pending.finish())
    }

    static let importing = Command(
        "import", "Import the contents of .car files",
        description: """
            Stores all blocks of CAR archives and pins the roots that they name. Pinning comes after all archives were read, so that a graph may be
            spread over several, and does not use the network.
            """,
        example: "> waggle dag import photos.car", arguments: [.file("path", "The path of a .car file.", variadic: true, input: true)],
        options: [
            .flag("pin-roots", about: "Pin optional roots listed in the .car headers after importing. Default: true."),
            .flag("local-only", about: "Import an archive that is not complete. Implies --pin-roots=false."),
            .flag("fast-provide-root", about: "Accepted for compatibility: content is not announced to a routing system."),
            .flag("fast-provide-wait", about: "Accepted for compatibility."),
            .flag("silent", about: "No output."), .flag("stats", about: "Output stats."),
            .flag("allow-big-block", about: "Disable block size check and allow creation of blocks bigger than 2MiB.", default: false),
        ],
        text: { value, request in
            if request.flag("silent") { return "" }
            if let stats = value["Stats"], !stats.isNull {
                guard request.flag("stats") else { return "" }
                return "Imported \(stats["BlockCount"]?.integer ?? 0) blocks (\(stats["BlockBytesCount"]?.integer ?? 0) bytes)\n"
            }
            guard let text = value["Root"]?["Cid"]?["/"]?.string, let cid = CID(text) else { return "" }
            let shown = try CIDText(request)(cid)
            if let error = value["Root"]?["PinErrorMsg"]?.string, !error.isEmpty { throw CommandError("pinning root \"\(shown)\" FAILED: \(error)") }
            return "Pinned root\t\(shown)\tsuccess\n"
        }
    ) { request, session, emitter in
        guard let files = request.files else { throw CommandError.client("file argument 'path' is required") }
        let pinsRoots = (request.flagIfGiven("pin-roots") ?? true) && !request.flag("local-only")
        let repository = try session.repository
        let blocks = repository.blocks
        let counts = ImportCounts()
        try await blocks.guarded { blockGuard in
            try await BlockWriter.run(into: blocks, under: blockGuard) { writer in
                while let entry = try await files.next() {
                    guard entry.kind == .file else { throw CommandError("expected a regular file") }
                    try await read(files, request, counts, into: writer)
                }
                try await writer.finish(pins: [])
            }
            guard pinsRoots else { return }
            for root in counts.roots {
                var message = ""
                do { try await repository.pins.add(Pin(root, .recursive), from: blocks) } catch { message = CommandError(explaining: error).message }
                try await emitter.emit(["Root": ["Cid": ["/": .string(root.description)], "PinErrorMsg": .string(message)]])
            }
        }
        if request.flag("stats") {
            try await emitter.emit(["Stats": ["BlockCount": JSON(counts.blocks), "BlockBytesCount": JSON(counts.bytes)]])
        }
    }

    private static func read(_ files: any FileTree, _ request: Request, _ counts: ImportCounts, into writer: BlockWriter) async throws {
        var machine = CARMachine()
        while let bytes = try await files.read() {
            try machine.receive(bytes)
            var batch: [Block] = []
            while let output = try machine.next() {
                switch output {
                case .roots(let roots): for root in roots where !counts.roots.contains(root) { counts.roots.append(root) }
                case .block(let block):
                    try CIDPolicy.check(block.cid)
                    try BlockForm.checkSize(block.bytes, request)
                    counts.blocks += 1
                    counts.bytes += block.bytes.count
                    // What is in the CID itself needs no block.
                    if block.cid.inlined == nil { batch.append(block) }
                }
            }
            for block in batch {
                guard BlockForm.matches(block) else { throw CommandError("the archive's block \(block.cid) does not have that hash") }
            }
            if !batch.isEmpty { try await writer.write(batch) }
        }
        try machine.finish()
    }
}

/// What an import has seen.
private final class ImportCounts: @unchecked Sendable {
    // Only the command's task touches it.
    var roots: [CID] = []
    var blocks = 0
    var bytes = 0
}
