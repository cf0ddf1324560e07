import WaggleBase

/// A link of a dag-pb node.
///
/// Wire shape: protobuf message with `Hash` (1, bytes: binary CID), `Name` (2, UTF-8 string), `Tsize` (3, uint64), in this order, each at
/// most once, nothing else. Spec: ipld.io/specs/codecs/dag-pb, "Serial Format" and "Protobuf Strictness".
public struct PBLink: Hashable, Sendable {
    /// The block it points to.
    public var hash: CID
    /// The entry's name; empty and absent are different on the wire.
    public var name: String?
    /// Size in bytes of the linked block and everything below it, as its author states it.
    public var size: UInt64?

    public init(hash: CID, name: String? = nil, size: UInt64? = nil) {
        self.hash = hash
        self.name = name
        self.size = size
    }

    /// Bytes without the tag and the length.
    var encodedCount: Int {
        var count = ProtobufWriter.size(1, count: hash.count)
        if let name { count += ProtobufWriter.size(2, count: name.utf8.count) }
        if let size { count += ProtobufWriter.size(3, varint: size) }
        return count
    }

    func encode(to writer: inout ProtobufWriter) {
        hash.withUnsafeBytes { writer.write(1, $0) }
        if let name { writer.write(2, name) }
        if let size { writer.write(3, varint: size) }
    }

    init(_ reader: consuming ProtobufReader) throws(DagPBError) {
        var hash: CID?
        var name: String?
        var size: UInt64?
        var last = 0
        do {
            while let field = try reader.next() {
                guard field.number > last else { throw ProtobufError.value(field: field.number) }
                last = field.number
                switch field.number {
                case 1: hash = try PBLink.cid(field)
                case 2: name = try field.string()
                case 3: size = try field.uint64()
                default: throw ProtobufError.fieldNumber(UInt64(field.number))
                }
            }
        } catch {
            throw DagPBError(error)
        }
        guard let hash else { throw .linkWithoutHash }
        self.init(hash: hash, name: name, size: size)
    }

    static func cid(_ field: borrowing ProtobufField) throws -> CID {
        var reader = ByteReader(try field.bytes())
        let cid = try CID.decode(from: &reader)
        guard reader.isAtEnd else { throw CIDError.trailingBytes(reader.remaining) }
        return cid
    }
}

/// Why bytes are not a dag-pb block.
public enum DagPBError: Error, Equatable, Sendable {
    /// Not protobuf; a field that dag-pb does not have, twice, of another type or out of order is `.value` or `.fieldNumber`.
    case protobuf(ProtobufError)
    /// A link's `Hash` is not a CID.
    case link(CIDError)
    /// A link has no `Hash`.
    case linkWithoutHash
    /// A second run of links after `Data`.
    case splitLinks
    /// `Data` twice.
    case duplicateData
    /// A value of the data model that is no dag-pb node.
    case shape

    init(_ error: any Error) {
        switch error {
        case let error as ProtobufError: self = .protobuf(error)
        case let error as CIDError: self = .link(error)
        case let error as DagPBError: self = error
        default: self = .protobuf(.truncated)
        }
    }
}
