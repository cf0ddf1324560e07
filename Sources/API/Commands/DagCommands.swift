import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats

/// `dag get`, `put`, `resolve`, `stat`, `export`, `import`.
enum DagCommands {
    static let command: Command = Command(
        "dag", "Interact with IPLD DAG objects.", description: "Reads and writes blocks by the data model that they express.",
        example: "> echo '{\"hello\": \"world\"}' | waggle dag put\n> waggle dag get <cid>/hello",
        subcommands: [get, put, resolve, stat, DagArchiveCommands.export, DagArchiveCommands.importing])

    private static let get = Command(
        "get", "Get a DAG node from IPFS.", description: "Prints a node, or the part of it that a path leads to, in another codec.",
        example: "> waggle dag get <cid>/field", arguments: [.string("ref", "The object to get", input: true)],
        options: [.string("output-codec", about: "Format that the object will be encoded as.", default: "dag-json")]
    ) { request, session, emitter in
        let codec = try DagCodec(named: request.string("output-codec") ?? "dag-json")
        let (_, found) = try await session.follow(request.arguments[0], request)
        let output: Bytes
        if let value = found.value {
            output = try codec.encode(value)
        } else {
            let block = try await session.source(request).block(found.cid)
            let own = DagCodec(found.cid.codec)
            // The same codec needs no round trip.
            output = own == codec ? block : try codec.encode(try DagCodec.require(found.cid.codec).decode(block))
        }
        emitter.setContentType(codec.contentType)
        try await emitter.write(output)
    }

    private static let put = Command(
        "put", "Add a DAG node to IPFS.", description: "Reads an object from files or standard input and stores it in another codec.",
        example: "> echo '{\"hello\": \"world\"}' | waggle dag put",
        arguments: [.file("object data", "The object to put", variadic: true, input: true)],
        options: [
            .string("store-codec", about: "Codec that the stored object will be encoded with", default: "dag-cbor"),
            .string("input-codec", about: "Codec that the input object is encoded in", default: "dag-json"),
            .flag("pin", about: "Pin this object when adding."), .string("hash", about: "Hash function to use"),
            .flag("allow-big-block", about: "Disable block size check and allow creation of blocks bigger than 2MiB.", default: false),
        ],
        text: { value, request in
            guard let text = value["Cid"]?["/"]?.string, let cid = CID(text) else { return "" }
            return try CIDText(request)(cid) + "\n"
        }
    ) { request, session, emitter in
        let input = try DagCodec(named: request.string("input-codec") ?? "dag-json")
        let store = try DagCodec(named: request.string("store-codec") ?? "dag-cbor")
        let hash = try BlockForm.hash(named: request.string("hash") ?? "sha2-256")
        guard let files = request.files else { throw CommandError.client("file argument 'object data' is required") }
        let blocks = try session.repository.blocks
        while let entry = try await files.next() {
            guard entry.kind == .file else { throw CommandError("expected a regular file") }
            let data = try await files.readAll(limit: BlockForm.hardLimit)
            let bytes = try store.encode(try input.decode(data))
            try BlockForm.checkSize(bytes, request)
            guard let digest = Hashing.digest(hash.rawValue, bytes) else { throw CommandError("unrecognized multihash function: \(hash)") }
            let block = Block(cid: try CID(codec: store.multicodec, hash: try Multihash(hash, digest: digest)), bytes: bytes)
            try CIDPolicy.check(block.cid)
            try await blocks.guarded { blockGuard in
                try await BlockWriter.run(into: blocks, under: blockGuard) { writer in
                    try await writer.write([block])
                    try await writer.finish(pins: request.flag("pin") ? [Pin(block.cid, .recursive)] : [])
                }
            }
            try await emitter.emit(["Cid": ["/": .string(block.cid.description)]])
        }
    }

    private static let resolve = Command(
        "resolve", "Resolve IPLD block.", description: "Prints the CID of the last block on a path, and what is left of the path inside it.",
        example: "> waggle dag resolve <cid>/field", arguments: [.string("ref", "The path to resolve", input: true)],
        text: { value, request in
            guard let text = value["Cid"]?["/"]?.string, let cid = CID(text) else { return "" }
            let path = try ContentPath(parsing: request.arguments.first ?? text)
            let rest = value["RemPath"]?.string ?? ""
            return try CIDText(request, like: path)(cid) + (rest.isEmpty ? "" : "/\(rest)")
        }
    ) { request, session, emitter in
        let (_, found) = try await session.follow(request.arguments[0], request)
        try await emitter.emitOnce(["Cid": ["/": .string(found.cid.description)], "RemPath": .string(found.remainder.joined(separator: "/"))])
    }

    private static let stat = Command(
        "stat", "Gets stats for a DAG.",
        description: "Walks graphs and counts their blocks and bytes; a block that stands in several places counts once.",
        example: "> waggle dag stat <cid>", arguments: [.string("root", "CID of a DAG root to get statistics for", variadic: true, input: true)],
        options: [.flag("progress", "p", about: "Show progress on stderr. Default: true when stderr is a terminal.")],
        text: { value, _ in statText(value) }
    ) { request, session, emitter in
        let show = try CIDText(request)
        let source = try await session.source(request)
        var all: Set<CID> = []
        var unique: (count: Int, bytes: Int) = (0, 0)
        var redundant = 0
        var rows: [JSON] = []
        for argument in request.arguments {
            let root = try await session.resolve(argument, request)
            var walk = DagWalk(root, from: source)
            var bytes = 0
            var count = 0
            while let block = try await walk.next() {
                bytes += block.bytes.count
                count += 1
                if all.insert(block.cid).inserted { unique = (unique.count + 1, unique.bytes + block.bytes.count) }
            }
            redundant += bytes
            rows.append(["Cid": .string(show(root)), "Size": JSON(bytes), "NumBlocks": JSON(count)])
        }
        try await emitter.emitOnce([
            "UniqueBlocks": JSON(unique.count), "TotalSize": JSON(unique.bytes), "SharedSize": JSON(redundant - unique.bytes),
            "Ratio": .number(unique.bytes == 0 ? 0 : Double(redundant) / Double(unique.bytes)), "DagStats": .array(rows),
        ])
    }

    private static func statText(_ value: JSON) -> String {
        let rows = value["DagStats"]?.array ?? []
        let width = rows.first?["Cid"]?.string?.count ?? 3
        func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
        var text = "\n\(padded("CID", width))\t\(padded("Blocks", 15))\tSize\n"
        for row in rows {
            text += "\(row["Cid"]?.string ?? "")\t\(padded("\(row["NumBlocks"]?.integer ?? 0)", 15))\t\(row["Size"]?.integer ?? 0)\n"
        }
        let total = value["TotalSize"]?.integer ?? 0
        let shared = value["SharedSize"]?.integer ?? 0
        let ratio = total == 0 ? 0 : Double(total + shared) / Double(total)
        text += "\nSummary\nTotal Size: \(total) (\(ByteSize.human(UInt64(clamping: total))))\nUnique Blocks: \(value["UniqueBlocks"]?.integer ?? 0)\n"
        return text + "Shared Size: \(shared) (\(ByteSize.human(UInt64(clamping: shared))))\nRatio: \(Decimal.fixed(ratio, places: 6))\n\n\n"
    }
}

/// The codecs that express the data model here.
enum DagCodec: String {
    case cbor = "dag-cbor"
    case json = "dag-json"
    case protobuf = "dag-pb"
    case raw
    case plainJSON = "json"
    case plainCBOR = "cbor"

    init(named name: String) throws(CommandError) {
        guard let codec = DagCodec(rawValue: name) else {
            throw CommandError("no encoder or decoder for codec \"\(name)\": known are dag-json, dag-cbor, dag-pb, raw, json and cbor")
        }
        self = codec
    }

    init?(_ code: Multicodec) {
        switch code {
        case .dagCBOR: self = .cbor
        case .dagJSON: self = .json
        case .dagPB: self = .protobuf
        case .raw: self = .raw
        case .json: self = .plainJSON
        case .cbor: self = .plainCBOR
        default: return nil
        }
    }

    static func require(_ code: Multicodec) throws(CommandError) -> DagCodec {
        guard let codec = DagCodec(code) else { throw CommandError("no decoder for codec \(code.name ?? "\(code.rawValue)")") }
        return codec
    }

    var multicodec: Multicodec {
        switch self {
        case .cbor: .dagCBOR
        case .json: .dagJSON
        case .protobuf: .dagPB
        case .raw: .raw
        case .plainJSON: .json
        case .plainCBOR: .cbor
        }
    }

    var contentType: String {
        switch self {
        case .cbor: "application/vnd.ipld.dag-cbor"
        case .json: "application/vnd.ipld.dag-json"
        case .protobuf: "application/vnd.ipld.dag-pb"
        case .raw: "application/vnd.ipld.raw"
        case .plainJSON: "application/json"
        case .plainCBOR: "application/cbor"
        }
    }

    func decode(_ bytes: Bytes) throws -> Value {
        switch self {
        case .cbor: try DagCBOR.decode(bytes, .relaxed)
        case .json: try DagJSON.decode(bytes, .relaxed)
        case .protobuf: try PBNode(bytes).value
        case .raw: .bytes(bytes)
        case .plainJSON: try Self.value(try JSON(parsing: bytes))
        case .plainCBOR: try DagCBOR.decode(bytes, .relaxed)
        }
    }

    func encode(_ value: Value) throws -> Bytes {
        switch self {
        case .cbor: return try DagCBOR.encode(value)
        case .json: return try DagJSON.encode(value)
        case .protobuf: return try PBNode(value).encode()
        case .raw:
            guard let bytes = value.bytes else { throw CommandError("only bytes can be encoded as raw") }
            return bytes
        case .plainJSON: return Bytes(utf8: try Self.json(value).text())
        case .plainCBOR:
            guard value.links.isEmpty else { throw CommandError("plain cbor has no links; use dag-cbor") }
            return try DagCBOR.encode(value)
        }
    }

    /// JSON as it stands: no form of it means a link or bytes. The parser has bounded its depth.
    private static func value(_ json: JSON) throws(CommandError) -> Value {
        switch json {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .number(let value): return .float(value)
        case .string(let text): return .string(text)
        case .array(let items): return .list(try items.map { (item) throws(CommandError) in try self.value(item) })
        case .object(let members):
            return .map(OrderedMap(try members.entries.map { (member) throws(CommandError) in (member.key, try self.value(member.value)) }))
        }
    }

    private static func json(_ value: Value) throws(CommandError) -> JSON {
        switch value {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .float(let value): return .number(value)
        case .string(let text): return .string(text)
        case .list(let items): return .array(try items.map { (item) throws(CommandError) in try self.json(item) })
        case .map(let members):
            return .object(OrderedMap(try members.entries.map { (member) throws(CommandError) in (member.key, try self.json(member.value)) }))
        case .bytes, .link: throw CommandError("plain json has neither bytes nor links; use dag-json")
        }
    }
}

/// Visits the blocks of a graph once each, depth first, a block before what it links to.
struct DagWalk {
    /// Links whose blocks are asked for before they are visited.
    private static let ahead = 32
    private let source: any BlockSource
    private var pending: [CID]
    private var seen: Set<CID> = []
    /// Leaves out blocks that cannot be had, with what is below them.
    var skipsMissing = false

    init(_ root: CID, from source: any BlockSource) {
        self.source = source
        pending = [root]
    }

    mutating func next() async throws -> Block? {
        while let cid = pending.popLast() {
            guard seen.insert(cid).inserted else { continue }
            let bytes: Bytes
            if let inlined = cid.inlined {
                bytes = inlined
            } else {
                do { bytes = try await source.block(cid) } catch let error as BlockStoreError where skipsMissing {
                    _ = error
                    continue
                }
            }
            let links = try BlockLinks.namedLinks(of: bytes, codec: cid.codec).map(\.cid)
            source.prefetch(links.prefix(Self.ahead).filter { !seen.contains($0) && $0.inlined == nil })
            pending += links.reversed()
            return Block(cid: cid, bytes: bytes)
        }
        return nil
    }
}
