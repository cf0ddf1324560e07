import WaggleBase

/// A dag-pb block: links and opaque data.
///
/// Wire shape: protobuf message with any number of `Links` (2, message) followed by `Data` (1, bytes). Blocks with `Data` first exist and
/// are read; links on both sides of it are refused. Spec: ipld.io/specs/codecs/dag-pb.
public struct PBNode: Hashable, Sendable {
    /// The links in the order of the block.
    public var links: [PBLink]
    /// The data; empty and absent are different on the wire.
    public var data: Bytes?

    public init(links: [PBLink] = [], data: Bytes? = nil) {
        self.links = links
        self.data = data
    }

    /// Decodes a block strictly. `data` stays a window onto `block`; the links are copied.
    public init(_ block: Bytes) throws(DagPBError) {
        self.init()
        var reader = ProtobufReader(block.span)
        var dataBeforeLinks = false
        do {
            while let field = try reader.next() {
                switch field.number {
                case 1:
                    guard data == nil else { throw DagPBError.duplicateData }
                    data = block[try field.range()]
                    dataBeforeLinks = links.isEmpty
                case 2:
                    guard data == nil || dataBeforeLinks else { throw DagPBError.splitLinks }
                    links.append(try PBLink(try field.message()))
                default: throw ProtobufError.fieldNumber(UInt64(field.number))
                }
            }
        } catch {
            throw DagPBError(error)
        }
    }

    /// The canonical block: links sorted by the bytes of their names (stable, absent counts as empty), then data.
    public func encode() -> Bytes {
        var sorted = links
        if !zip(links, links.dropFirst()).allSatisfy({ !PBNode.precedes($1, $0) }) {
            // `sort` is stable in practice; the index makes that a promise.
            sorted = links.enumerated().sorted {
                PBNode.precedes($0.element, $1.element) || (!PBNode.precedes($1.element, $0.element) && $0.offset < $1.offset)
            }.map(\.element)
        }
        var count = data.map { ProtobufWriter.size(1, count: $0.count) } ?? 0
        for link in sorted { count += ProtobufWriter.size(2, count: link.encodedCount) }
        var writer = ProtobufWriter(capacity: count)
        for link in sorted {
            writer.begin(2, count: link.encodedCount)
            link.encode(to: &writer)
        }
        if let data { writer.write(1, data) }
        return writer.finish()
    }

    private static func precedes(_ left: PBLink, _ right: PBLink) -> Bool {
        (left.name ?? "").utf8.lexicographicallyPrecedes((right.name ?? "").utf8)
    }

    /// The CIDs of all links of `block` in order, without reading names and data: for walks over graphs, which then also pass blocks whose
    /// names are not UTF-8.
    public static func links(of block: Bytes) throws(DagPBError) -> [CID] {
        var links: [CID] = []
        var reader = ProtobufReader(block.span)
        do {
            while let field = try reader.next() {
                guard field.number == 2 else { continue }
                var link = try field.message()
                while let field = try link.next() {
                    if field.number == 1 { links.append(try PBLink.cid(field)) }
                }
            }
        } catch {
            throw DagPBError(error)
        }
        return links
    }
}
