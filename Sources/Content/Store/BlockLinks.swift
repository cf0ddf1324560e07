import WaggleBase
import WaggleFormats

/// The links of a block, whatever its codec: what pins and the garbage collector follow.
package enum BlockLinks {
    /// Whether blocks of `codec` can have links at all.
    static func mayLink(_ codec: Multicodec) -> Bool { codec == .dagPB || codec == .dagCBOR || codec == .dagJSON }

    /// The links in the order of the block; none for codecs without links. Throws when the block is not what its codec says.
    static func links(of bytes: Bytes, codec: Multicodec) throws -> [CID] {
        switch codec {
        case .dagPB: try PBNode.links(of: bytes)
        case .dagCBOR: try DagCBOR.links(of: bytes)
        case .dagJSON: try DagJSON.decode(bytes, .relaxed).links
        default: []
        }
    }

    /// The links with their names; "" where the codec gives them none.
    package static func namedLinks(of bytes: Bytes, codec: Multicodec) throws -> [(cid: CID, name: String)] {
        if codec == .dagPB { return try PBNode(bytes).links.map { ($0.hash, $0.name ?? "") } }
        return try links(of: bytes, codec: codec).map { ($0, "") }
    }
}
