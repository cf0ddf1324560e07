import WaggleBase
import WaggleContent
import WaggleFormats

/// `add`: files into the block store.
enum AddCommand {
    static let command: Command = Command(
        "add", "Add a file or directory to IPFS.",
        description: """
            Adds the content of <path> to IPFS. Use -r to add directories. Big files are chunked, to form the IPFS MerkleDAG. Without a
            running daemon the files are added to the repository directly.

            The wrap option, '-w', wraps the file (or files) in a directory, so that the file keeps its name.

            Almost all flags change the final CID. CIDv1 is used with non-default hash functions and brings raw leaves with it.
            """,
        example: """
            > waggle add example.jpg
            added QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH example.jpg
            > waggle add -r -Q --cid-version=1 photos/
            > tar c photos | waggle add -q
            """,
        arguments: [.file("path", "The path to a file to be added to IPFS.", variadic: true, input: true)],
        options: options, present: { request, console in AddPresenter(request, console) }, prepare: prepare, run: run)

    private static let options: [Option] = [
        .flag("recursive", "r", about: "Add directory paths recursively."),
        .flag("dereference-args", about: "Symlinks supplied in arguments are dereferenced."),
        .string("stdin-name", about: "Assign a name if the file source is stdin."),
        .flag("hidden", "H", about: "Include files that are hidden. Only takes effect on recursive add."),
        Option("ignore", kind: .array, "A rule (.gitignore-stype) defining which file(s) should be ignored (variadic, experimental)."),
        .string("ignore-rules-path", about: "A path to a file with .gitignore-style ignore rules (experimental)."),
        .flag("empty-dirs", "E", about: "Include empty directories in the import.", default: true),
        .flag("dereference-symlinks", about: "Recursively resolve all symlinks to their target content."),
        .flag("quiet", "q", about: "Write minimal output."),
        .flag("quieter", "Q", about: "Write only final hash."),
        .flag("silent", about: "Write no output."),
        .flag("progress", "p", about: "Stream progress data. Default: true when stderr is a terminal."),
        .flag("only-hash", "n", about: "Only chunk and hash - do not write to disk."),
        .flag("wrap-with-directory", "w", about: "Wrap files with a directory object."),
        .flag("pin", about: "Pin locally to protect added files from garbage collection.", default: true),
        .string("pin-name", about: "Name to use for the pin. Requires explicit value (e.g., --pin-name=myname)."),
        .integer("cid-version", about: "CID version (0 or 1). CIDv1 automatically enables raw-leaves and is required for non-sha2-256 hashes."),
        .string("hash", about: "Hash function to use. Implies CIDv1 if not sha2-256."),
        .flag("raw-leaves", about: "Use raw blocks for leaf nodes. CIDv1 automatically enables raw-leaves."),
        .string("chunker", "s", about: "Chunking algorithm, size-[bytes], rabin-[min]-[avg]-[max] or buzhash."),
        .flag("trickle", "t", about: "Use trickle-dag format for dag generation."),
        .integer("max-file-links", about: "Limit the maximum number of links in UnixFS file nodes to this value."),
        .integer("max-directory-links", about: "Limit the maximum number of links in UnixFS basic directory nodes to this value."),
        .integer("max-hamt-fanout", about: "Limit the maximum number of links of a UnixFS HAMT directory node to this (power of 2, between 8 and 1024)."),
        .flag("fast-provide-root", about: "Accepted for compatibility: content is not announced to a routing system."),
        .flag("fast-provide-wait", about: "Accepted for compatibility."),
        .flag("inline", about: "Inline small blocks into CIDs."),
        .integer("inline-limit", about: "Maximum block size to inline. Maximum: 128 bytes.", default: 32),
        .flag("preserve-mode", about: "Apply existing POSIX permissions to created UnixFS entries. Disables raw-leaves."),
        .flag("preserve-mtime", about: "Apply existing POSIX modification time to created UnixFS entries. Disables raw-leaves."),
        .integer("mode", kind: .uint, about: "Custom POSIX file mode to store in created UnixFS entries. Disables raw-leaves."),
        .integer("mtime", kind: .int64, about: "Custom POSIX modification time to store in created UnixFS entries (seconds before or after the Unix Epoch)."),
        .integer("mtime-nsecs", kind: .uint, about: "Custom POSIX modification time (optional time fraction in nanoseconds)."),
    ]

    /// A bar on the terminal needs the reports of who does the work.
    private static let prepare: Command.Prepare = { request, console in
        guard request.flagIfGiven("progress") == nil, console.errorIsTerminal, request.string("encoding") == "text" else { return }
        request.options["progress"] = .bool(!["quiet", "quieter", "silent"].contains { request.flag($0) })
    }

    private static let run: Command.Run = { request, session, emitter in
        guard let files = request.files else { throw CommandError.client("file argument 'path' is required") }
        let flags = try AddFlags(request, try session.configuration)
        let job = try AddJob(flags, request, session, emitter)
        if try await job.run(files) == 0 { throw CommandError("expected a file argument") }
    }
}

/// What the options and the configuration's `Import` section say about an import.
struct AddFlags {
    var imports = ImportFlags()
    let options: ImportOptions
    let onlyHash: Bool
    let pins: Bool
    let pinName: String

    init(_ request: Request, _ configuration: Configuration) throws {
        imports.chunker = request.string("chunker") ?? configuration.importSetting("UnixFSChunker")?.string
        imports.trickle = request.flagIfGiven("trickle") ?? (configuration.importSetting("UnixFSDAGLayout")?.string == "trickle")
        imports.cidVersion = (request.integer("cid-version") ?? configuration.importSetting("CidVersion")?.integer).map { Int($0) }
        imports.hash = request.string("hash") ?? configuration.importSetting("HashFunction")?.string
        imports.rawLeaves = request.flagIfGiven("raw-leaves") ?? configuration.importSetting("UnixFSRawLeaves")?.bool
        imports.inline = request.flag("inline")
        imports.inlineLimit = Int(request.integer("inline-limit") ?? 32)
        imports.maxFileLinks = (request.integer("max-file-links") ?? configuration.importSetting("UnixFSFileMaxLinks")?.integer).map { Int($0) }
        imports.maxDirectoryLinks =
            (request.integer("max-directory-links") ?? configuration.importSetting("UnixFSDirectoryMaxLinks")?.integer).map { Int($0) }
        imports.maxShardFanout =
            (request.integer("max-hamt-fanout") ?? configuration.importSetting("UnixFSHAMTDirectoryMaxFanout")?.integer).map { Int($0) }
        imports.shardThreshold = configuration.importSetting("UnixFSHAMTDirectorySizeThreshold")
            .flatMap { $0.string.flatMap { ByteSize.parse($0) }.map { Int($0) } ?? $0.integer.map { Int($0) } }
        switch configuration.importSetting("UnixFSHAMTDirectorySizeEstimation")?.string {
        case "block": imports.sizeEstimation = .block
        case "disabled": imports.sizeEstimation = .disabled
        default: imports.sizeEstimation = .links
        }
        imports.preserveMode = request.flag("preserve-mode")
        imports.preserveModified = request.flag("preserve-mtime")
        imports.mode = request.unsigned("mode").map { UInt32(truncatingIfNeeded: $0) }
        imports.modifiedSeconds = request.integer("mtime")
        imports.modifiedNanoseconds = request.unsigned("mtime-nsecs").map { UInt32(clamping: $0) }
        if let name = imports.hash, let hash = Multicodec(name: name) { try CIDPolicy.check(hash, length: CIDPolicy.shortestDigest) }
        do { options = try imports.resolve() } catch { throw CommandError("\(error)") }
        onlyHash = request.flag("only-hash")
        pins = request.flag("pin") && !onlyHash
        pinName = request.string("pin-name") ?? ""
        try PinNames.check(pinName)
        if !request.flag("pin"), request.options["pin-name"] != nil { throw CommandError("pin-name option requires pin to be set") }
    }

    func metadata(_ entry: FileTreeEntry) throws -> UnixFSMetadata {
        let time = entry.modified.map { time -> UnixFSTime in
            let (seconds, nanoseconds) = time.parts
            return UnixFSTime(seconds: seconds, nanoseconds: UInt32(clamping: nanoseconds))
        }
        return try imports.metadata(own: UnixFSMetadata(mode: entry.mode, modified: time))
    }
}

/// Imports the entries of a tree; each root becomes durable together with its pin.
private final class AddJob: @unchecked Sendable {
    /// Bytes between two reports of progress.
    private static let progressStep: UInt64 = 1 << 20
    private let flags: AddFlags
    private let session: Session
    private let emitter: any Emitter
    private let show: CIDText
    private let wraps: Bool
    private let showsProgress: Bool
    private let isSilent: Bool
    private let keepsEmptyDirectories: Bool
    private var pending: FileTreeEntry?

    init(_ flags: AddFlags, _ request: Request, _ session: Session, _ emitter: any Emitter) throws {
        self.flags = flags
        self.session = session
        self.emitter = emitter
        show = try CIDText(request)
        wraps = request.flag("wrap-with-directory")
        showsProgress = request.flag("progress")
        isSilent = request.flag("silent")
        keepsEmptyDirectories = request.flagIfGiven("empty-dirs") ?? true
    }

    /// Imports everything; gives the number of roots.
    func run(_ files: any FileTree) async throws -> Int {
        var roots = 0
        pending = try await files.next()
        while pending != nil {
            try await stored { sink in try await self.root(files, sink) }
            roots += 1
        }
        return roots
    }

    /// Runs `body` with a sink, and commits what it wrote together with the pin of the root that it gives.
    private func stored(_ body: ((any BlockSink)?) async throws -> ImportedNode?) async throws {
        if flags.onlyHash {
            _ = try await body(nil)
            return
        }
        let blocks = try session.repository.blocks
        try await blocks.guarded { blockGuard in
            try await BlockWriter.run(into: blocks, under: blockGuard) { writer in
                let root = try await body(writer)
                let pins = flags.pins ? root.map { [Pin($0.cid, .recursive, name: flags.pinName)] } ?? [] : []
                try await writer.finish(pins: pins)
            }
        }
    }

    private func root(_ files: any FileTree, _ sink: (any BlockSink)?) async throws -> ImportedNode? {
        guard let entry = pending else { return nil }
        // A mode or time that was given, not found, is the wrapping directory's too.
        if wraps { return try await tree(files, sink, below: nil, metadata: try flags.imports.metadata(own: .none)) }
        if entry.kind == .directory {
            let metadata = try flags.metadata(entry)
            pending = try await files.next()
            return try await tree(files, sink, below: entry.path, metadata: metadata)
        }
        return try await leaf(entry, [], nil, files, sink)
    }

    /// Imports entries below `prefix` (all when nil) as one directory.
    private func tree(
        _ files: any FileTree, _ sink: (any BlockSink)?, below prefix: String?, metadata: UnixFSMetadata
    ) async throws -> ImportedNode? {
        let importer = try TreeImporter(flags.options, metadata: metadata, on: session.system, into: sink)
        let depth = prefix.map { $0.split(separator: "/").count } ?? 0
        while let entry = pending {
            if let prefix, !entry.path.hasPrefix(prefix + "/") { break }
            let path = entry.path.split(separator: "/").dropFirst(depth).map(String.init)
            if entry.kind == .directory {
                if keepsEmptyDirectories { try importer.addDirectory(path, metadata: try flags.metadata(entry)) }
                pending = try await files.next()
            } else {
                _ = try await leaf(entry, path, importer, files, sink)
            }
        }
        let directories = try await importer.finish()
        for directory in directories {
            let name = ([prefix].compactMap { $0 } + directory.path).joined(separator: "/")
            try await added(directory.node, name, metadata: .none)
        }
        return directories.last?.node
    }

    private func leaf(
        _ entry: FileTreeEntry, _ path: [String], _ importer: TreeImporter?, _ files: any FileTree, _ sink: (any BlockSink)?
    ) async throws -> ImportedNode {
        let metadata = try flags.metadata(entry)
        let node: ImportedNode
        if case .symbolicLink(let target) = entry.kind {
            // A link on its own is imported as the entry of a directory that is never written.
            let importer = try importer ?? TreeImporter(flags.options, on: session.system, into: sink)
            node = try await importer.addSymlink(path.isEmpty ? ["link"] : path, target: target, metadata: metadata)
        } else {
            node = try await file(entry, metadata, files, sink)
            // Data without a name takes its CID as its name, as in Kubo.
            try importer?.put(node, at: path.isEmpty ? [show(node.cid)] : path)
        }
        pending = try await files.next()
        try await added(node, entry.path.isEmpty ? show(node.cid) : entry.path, metadata: metadata)
        return node
    }

    private func file(
        _ entry: FileTreeEntry, _ metadata: UnixFSMetadata, _ files: any FileTree, _ sink: (any BlockSink)?
    ) async throws -> ImportedNode {
        var total: UInt64 = 0
        var told: UInt64 = 0
        let importer = try FileImporter(flags.options, on: session.system, into: sink)
        let node = try await identified(importer, metadata) { total = $0 } reading: { [self] in
            if showsProgress, total - told >= AddJob.progressStep {
                told = total
                try await emitter.emit(["Name": .string(entry.path), "Bytes": JSON(total)])
            }
            return try await files.read()
        }
        if showsProgress, node.content > told || told == 0 { try await emitter.emit(["Name": .string(entry.path), "Bytes": JSON(node.content)]) }
        return node
    }

    /// Imports, and says in words what a CID that holds all its content cannot.
    private func identified(
        _ importer: FileImporter, _ metadata: UnixFSMetadata, progress: (UInt64) -> Void, reading: () async throws -> Bytes?
    ) async throws -> ImportedNode {
        do {
            return try await importer.add(metadata: metadata, progress: progress, reading: reading)
        } catch UnixFSError.limit(let bytes) where flags.imports.hash == "identity" {
            throw CommandError("digest too large: identity digest got \(bytes) bytes, maximum \(CIDPolicy.longestDigest)")
        }
    }

    private func added(_ node: ImportedNode, _ name: String, metadata: UnixFSMetadata) async throws {
        if isSilent { return }
        var event: JSON = ["Name": .string(name), "Hash": .string(show(node.cid)), "Size": .string(node.size.description)]
        if let mode = metadata.mode { event["Mode"] = .string("0" + String(mode, radix: 8)) }
        if let time = metadata.modified {
            event["Mtime"] = JSON(time.seconds)
            if let nanoseconds = time.nanoseconds, nanoseconds > 0 { event["MtimeNsecs"] = JSON(nanoseconds) }
        }
        try await emitter.emit(event)
    }
}

/// Shows what was added, and a progress bar meanwhile.
private final class AddPresenter: Presenter, @unchecked Sendable {
    private let console: any Console
    private let quiet: Bool
    private let quieter: Bool
    private let silent: Bool
    private let bar: ProgressBar?
    private let files: (any FileTree)?
    private var isMeasured = false
    private var last = ""
    private var before: UInt64 = 0

    init(_ request: Request, _ console: any Console) {
        self.console = console
        quieter = request.flag("quieter")
        quiet = quieter || request.flag("quiet")
        silent = request.flag("silent")
        bar = request.flag("progress") ? ProgressBar("", total: nil, console: console) : nil
        files = request.files
    }

    func value(_ value: JSON) async throws {
        guard let hash = value["Hash"]?.string else {
            guard let bar, let bytes = value["Bytes"]?.integer, bytes >= 0 else { return }
            if !isMeasured { bar.total = try await files?.totalSize().map { UInt64(clamping: $0) } }
            isMeasured = true
            return bar.advance(to: before + UInt64(bytes))
        }
        before = bar?.done ?? 0
        last = hash
        bar?.clear()
        if silent || quieter { return }
        try console.print(quiet ? "\(hash)\n" : "added \(hash) \(TerminalText.visible(value["Name"]?.string ?? ""))\n")
    }

    func end() async throws {
        bar?.clear()
        if quieter, !last.isEmpty { try console.print("\(last)\n") }
    }

    func abandon() { bar?.clear() }
}

/// Text from elsewhere, made safe for a terminal.
package enum TerminalText {
    /// Control characters become escapes, so that a file name cannot move the cursor, change colours or turn the direction of the text.
    package static func visible(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var shown = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": shown += "\\n"
            case "\r": shown += "\\r"
            case "\t": shown += "\\t"
            default:
                if isControl(scalar) {
                    let hex = String(scalar.value, radix: 16)
                    shown += scalar.value < 256 ? "\\x" + String(repeating: "0", count: 2 - hex.count) + hex : "\\u{" + hex + "}"
                } else {
                    shown.unicodeScalars.append(scalar)
                }
            }
        }
        return shown
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        // Joiners belong to scripts and to emoji, and change nothing else.
        if scalar == "\u{200c}" || scalar == "\u{200d}" { return false }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return true
        default: return false
        }
    }
}
