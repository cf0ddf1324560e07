import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats

/// `block get`, `put`, `stat`, `rm`.
enum BlockCommands {
    static let command: Command = Command(
        "block", "Interact with raw IPFS blocks.",
        description: "Plumbing commands to manipulate raw blocks. A block is identified by a multihash inside a CID.",
        example: "> echo hello | waggle block put\n> waggle block get <cid>", subcommands: [get, put, stat, remove])

    private static let get = Command(
        "get", "Get a raw IPFS block.", description: "Outputs the block to stdout.", example: "> waggle block get <cid> > block.bin",
        arguments: [.string("cid", "The CID of an existing block to get.", input: true)]
    ) { request, session, emitter in
        let cid = try await session.resolve(request.arguments[0], request)
        let bytes = try await session.source(request).block(cid)
        emitter.setContentType("application/vnd.ipld.raw")
        emitter.setLength(UInt64(bytes.count))
        try await emitter.write(bytes)
    }

    private static let stat = Command(
        "stat", "Print information of a raw IPFS block.", description: "Prints the block's CID and its size in bytes.",
        example: "> waggle block stat <cid>", arguments: [.string("cid", "The CID of an existing block to stat.", input: true)],
        text: { value, _ in "Key: \(value["Key"]?.string ?? "")\nSize: \(value["Size"]?.integer ?? 0)\n" }
    ) { request, session, emitter in
        let show = try CIDText(request)
        let cid = try await session.resolve(request.arguments[0], request)
        var size = try await session.repository.blocks.size(of: cid)
        if size == nil { size = try await session.source(request).block(cid).count }
        try await emitter.emitOnce(["Key": .string(show(cid)), "Size": JSON(size ?? 0)])
    }

    private static let put = Command(
        "put", "Store input as an IPFS block.",
        description: """
            Reads data from a file or stdin, and outputs the block's CID to stdout.

            Unless cid-codec is specified, this command returns raw (0x55) CIDv1 CIDs. Passing another codec does not change the data, nor
            run any validation.
            """,
        example: "> echo hello | waggle block put --pin",
        arguments: [.file("data", "The data to be stored as an IPFS block.", variadic: true, input: true)],
        options: [
            .string("cid-codec", about: "Multicodec to use in returned CID.", default: "raw"),
            .string("mhtype", about: "Multihash hash function. Default: sha2-256."),
            .integer("mhlen", about: "Multihash hash length.", default: -1),
            .flag("pin", about: "Pin added blocks recursively.", default: false),
            .flag("allow-big-block", about: "Disable block size check and allow creation of blocks bigger than 2MiB.", default: false),
            .string("format", "f", about: "Use legacy format for returned CID (DEPRECATED)."),
        ],
        text: { value, _ in "\(value["Key"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let show = try CIDText(request)
        guard let files = request.files else { throw CommandError.client("file argument 'data' is required") }
        let form = try BlockForm(request)
        let blocks = try session.repository.blocks
        var count = 0
        while let entry = try await files.next() {
            guard entry.kind == .file else { throw CommandError("expected a file") }
            let data = try await files.readAll(limit: BlockForm.hardLimit)
            try BlockForm.checkSize(data, request)
            let block = try form.make(data)
            try CIDPolicy.check(block.cid)
            try await blocks.guarded { blockGuard in
                try await BlockWriter.run(into: blocks, under: blockGuard) { writer in
                    try await writer.write([block])
                    try await writer.finish(pins: request.flag("pin") ? [Pin(block.cid, .recursive)] : [])
                }
            }
            try await emitter.emit(["Key": .string(show(block.cid)), "Size": JSON(block.bytes.count)])
            count += 1
        }
        if count == 0 { throw CommandError.client("file argument 'data' is required") }
    }

    private static let remove = Command(
        "rm", "Remove IPFS block(s) from the local datastore.",
        description: "Removes raw blocks. Pinned blocks stay.", example: "> waggle block rm <cid>",
        arguments: [.string("cid", "CIDs of block(s) to remove.", variadic: true)],
        options: [.flag("force", "f", about: "Ignore nonexistent blocks."), .flag("quiet", "q", about: "Write minimal output.")],
        present: { request, console in RemovalPresenter(console) }
    ) { request, session, emitter in
        let show = try CIDText(request)
        let repository = try session.repository
        for argument in request.arguments {
            let cid = try await session.resolve(argument, request)
            var failure: String?
            do {
                // What is in the CID itself is nowhere else.
                let removed = cid.inlined == nil ? try await repository.collector.remove([cid]).count : 1
                if removed == 0, !request.flag("force") { failure = "ipld: could not find \(cid)" }
            } catch let error as BlockStoreError {
                guard case .pinned = error else { throw error }
                failure = try await pinReason(cid, repository, show)
            }
            if let failure {
                try await emitter.emit(["Hash": .string(show(cid)), "Error": .string(failure)])
            } else if !request.flag("quiet") {
                try await emitter.emit(["Hash": .string(show(cid))])
            }
        }
    }

    private static func pinReason(_ cid: CID, _ repository: Repository, _ show: CIDText) async throws -> String {
        switch try await repository.pins.status(of: [cid])[0] {
        case .pinned(let pin): "pinned: \(pin.mode == .recursive ? "recursive" : "direct")"
        case .indirect(let root): "pinned via \(show(root))"
        case .notPinned: "in use by an operation that is going on"
        }
    }
}

/// Shows removals; fails at the end when one failed.
private final class RemovalPresenter: Presenter, @unchecked Sendable {
    private let console: any Console
    private var failed = false

    init(_ console: any Console) { self.console = console }

    func value(_ value: JSON) async throws {
        let hash = value["Hash"]?.string ?? ""
        if let error = value["Error"]?.string, !error.isEmpty {
            failed = true
            console.writeError("cannot remove \(hash): \(error)\n")
        } else {
            try console.print("removed \(hash)\n")
        }
    }

    func end() async throws { if failed { throw CommandError("some blocks not removed") } }
}

/// How `block put` names a block.
struct BlockForm {
    /// Above this no block is stored, in bytes.
    static let hardLimit = ByteCount.mebibytes(64)
    /// Larger blocks are refused unless they are allowed; bitswap carries no more than twice this.
    static let softLimit = ByteCount.mebibytes(2)

    private let codec: Multicodec
    private let isVersion0: Bool
    private let hash: Multicodec
    private let length: Int?

    /// A hash function by its name.
    static func hash(named name: String) throws(CommandError) -> Multicodec {
        // What the registry calls sha3-512 has a short name too.
        guard let hash = Multicodec(name: name == "sha3" ? "sha3-512" : name), Hashing.isKnown(hash.rawValue) else {
            throw .client("unrecognized multihash function: \(name)")
        }
        return hash
    }

    /// Refuses blocks that peers would not take, unless they are allowed.
    static func checkSize(_ bytes: Bytes, _ request: Request) throws(CommandError) {
        guard bytes.count > softLimit.bytes, !request.flag("allow-big-block") else { return }
        throw CommandError("produced block is over 2MiB: big blocks can't be exchanged with other peers. consider using UnixFS for automatic chunking of bigger files, or pass --allow-big-block to override")
    }

    /// Whether a block has the hash that its CID names; not for functions that this build does not know.
    static func matches(_ block: Block) -> Bool {
        let digest = block.cid.digest
        return block.bytes.withUnsafeBytes { data in
            digest.withUnsafeBytes { Hashing.matches(block.cid.hashCode.rawValue, digest: RawSpan(_unsafeBytes: $0), data: data) ?? false }
        }
    }

    init(_ request: Request) throws {
        let format = request.string("format") ?? ""
        let name = request.string("cid-codec") ?? "raw"
        if !format.isEmpty, name != "raw" {
            throw CommandError.client("unable to use \"format\" (deprecated) and a custom \"cid-codec\" at the same time")
        }
        let legacy = ["v0": "dag-pb", "protobuf": "dag-pb", "cbor": "dag-cbor"]
        let codecName = format.isEmpty ? name : legacy[format] ?? format
        guard let codec = Multicodec(name: codecName) else { throw CommandError.client("unrecognized codec: \(codecName)") }
        let hash = try Self.hash(named: request.string("mhtype") ?? "sha2-256")
        let length = Int(request.integer("mhlen") ?? -1)
        self.codec = codec
        self.hash = hash
        self.length = length < 0 ? nil : length
        isVersion0 = format == "v0"
        if let given = self.length ?? Hashing.digestLength(hash.rawValue) { try CIDPolicy.check(hash, length: given) }
        if isVersion0, hash != .sha2_256 || self.length ?? 32 != 32 { throw CommandError.client("only sha2-256 of 32 bytes can be used with CIDv0") }
    }

    func make(_ bytes: Bytes) throws -> Block {
        guard let digest = Hashing.digest(hash.rawValue, bytes, length: length) else {
            throw CommandError.client("the hash \(hash) cannot have \(length ?? -1) bytes")
        }
        let multihash = try Multihash(hash, digest: digest)
        return Block(cid: isVersion0 ? try CID(v0: multihash) : try CID(codec: codec, hash: multihash), bytes: bytes)
    }
}
