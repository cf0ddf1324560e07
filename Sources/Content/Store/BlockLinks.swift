import WaggleBase
import WaggleFormats

/// The links of a block, whatever its codec: what pins and the garbage collector follow.
enum BlockLinks {
    /// Whether blocks of `codec` can have links at all.
    static func mayLink(_ codec: Multicodec) -> Bool { codec == .dagPB || codec == .dagCBOR || codec == .dagJSON }

    /// The links in the order of the block; none for codecs without links. Throws when the block is not what its codec says.
    static func links(of bytes: Bytes, codec: Multicodec) throws -> [CID] {
        switch codec {
        case .dagPB: try PBNode.links(of: bytes)
        default: []
        }
    }
}
