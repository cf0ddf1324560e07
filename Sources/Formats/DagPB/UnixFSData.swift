import WaggleBase

/// What the `Data` of a dag-pb block says in a UnixFS graph.
///
/// Wire shape: protobuf message `Type` (1, enum, required), `Data` (2, bytes), `filesize` (3, uint64), `blocksizes` (4, repeated uint64,
/// written unpacked, read in both forms), `hashType` (5, uint64), `fanout` (6, uint64), `mode` (7, uint32), `mtime` (8, message).
/// Unknown fields are ignored; of a field that appears twice the last counts. Spec: specs.ipfs.tech/unixfs.
public struct UnixFSData: Hashable, Sendable {
    /// What the node is.
    public enum Kind: Int32, Sendable {
        case raw = 0
        case directory = 1
        case file = 2
        case metadata = 3
        case symlink = 4
        case hamtShard = 5
    }

    public var kind: Kind
    /// Content of a leaf, target of a symlink, bit field of a shard.
    public var data: Bytes?
    /// Bytes of content in this node and below it.
    public var fileSize: UInt64?
    /// Bytes of content below each link.
    public var blockSizes: [UInt64]
    /// Multihash code of the function that spreads names over a shard.
    public var hashType: UInt64?
    /// Slots of a shard.
    public var fanout: UInt64?
    /// Unix permission bits.
    public var mode: UInt32?
    /// When the content last changed.
    public var modified: UnixFSTime?

    public init(
        kind: Kind, data: Bytes? = nil, fileSize: UInt64? = nil, blockSizes: [UInt64] = [], hashType: UInt64? = nil, fanout: UInt64? = nil,
        mode: UInt32? = nil, modified: UnixFSTime? = nil
    ) {
        self.kind = kind
        self.data = data
        self.fileSize = fileSize
        self.blockSizes = blockSizes
        self.hashType = hashType
        self.fanout = fanout
        self.mode = mode
        self.modified = modified
    }

    /// Decodes a message; `data` stays a window onto `bytes`.
    public init(_ bytes: Bytes) throws(ProtobufError) {
        var kind: Kind?
        self.init(kind: .raw)
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1:
                guard let value = Kind(rawValue: try field.int32()) else { throw .value(field: 1) }
                kind = value
            case 2: data = bytes[try field.range()]
            case 3: fileSize = try field.uint64()
            case 4: try field.append(to: &blockSizes, limit: FormatsLimits.blockSizes)
            case 5: hashType = try field.uint64()
            case 6: fanout = try field.uint64()
            case 7: mode = try field.uint32()
            case 8: modified = try UnixFSTime(try field.message())
            default: break
            }
        }
        guard let kind else { throw .missing(field: 1) }
        self.kind = kind
    }

    /// The message, fields in ascending order.
    public func encode() -> Bytes {
        var writer = ProtobufWriter(capacity: 32 + (data?.count ?? 0) + blockSizes.count * 6)
        writer.write(1, int64: Int64(kind.rawValue))
        if let data { writer.write(2, data) }
        if let fileSize { writer.write(3, varint: fileSize) }
        for size in blockSizes { writer.write(4, varint: size) }
        if let hashType { writer.write(5, varint: hashType) }
        if let fanout { writer.write(6, varint: fanout) }
        if let mode { writer.write(7, varint: UInt64(mode)) }
        if let modified { writer.message(8) { modified.encode(to: &$0) } }
        return writer.finish()
    }
}

/// A time in a UnixFS node.
///
/// Wire shape: protobuf message `Seconds` (1, int64, required), `FractionalNanoseconds` (2, fixed32, 1 … 999,999,999).
public struct UnixFSTime: Hashable, Sendable {
    /// Seconds since 1970-01-01 UTC.
    public var seconds: Int64
    /// Nanoseconds after that second; absent and zero are different on the wire.
    public var nanoseconds: UInt32?

    public init(seconds: Int64, nanoseconds: UInt32? = nil) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    init(_ reader: consuming ProtobufReader) throws(ProtobufError) {
        var seconds: Int64?
        var nanoseconds: UInt32?
        while let field = try reader.next() {
            switch field.number {
            case 1: seconds = try field.int64()
            case 2:
                let value = try field.fixed32()
                guard value < 1_000_000_000 else { throw .value(field: 2) }
                nanoseconds = value
            default: break
            }
        }
        guard let seconds else { throw .missing(field: 1) }
        self.init(seconds: seconds, nanoseconds: nanoseconds)
    }

    func encode(to writer: inout ProtobufWriter) {
        writer.write(1, int64: seconds)
        if let nanoseconds { writer.write(2, fixed32: nanoseconds) }
    }
}
