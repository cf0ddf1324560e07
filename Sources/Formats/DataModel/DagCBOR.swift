import WaggleBase

/// The data model in CBOR.
///
/// Wire shape: RFC 8949 restricted to definite lengths, integers and lengths in the fewest bytes, 64-bit floats, maps with string keys sorted
/// by length and then bytewise, false, true, null, and tag 42 around a byte string of `00` and a binary CID.
/// Spec: ipld.io/specs/codecs/dag-cbor, "Strictness".
public enum DagCBOR {
    /// The canonical encoding.
    public static func encode(_ value: Value) throws(DagCBORError) -> Bytes {
        var encoder = DagCBOREncoder()
        try encoder.encode(value, depth: 0)
        return encoder.finish()
    }

    /// The value that all of `block` holds. Large byte strings stay windows onto `block`.
    ///
    /// With `.relaxed` map keys may be in any order, integers, lengths and the tag longer than needed, and floats of 16 and 32 bits.
    public static func decode(_ block: Bytes, _ strictness: Strictness = .canonical) throws(DagCBORError) -> Value {
        var decoder = DagCBORDecoder(block: block, isCanonical: strictness == .canonical)
        let value = try decoder.decode(depth: 0)
        guard decoder.offset == block.count else { throw .trailingBytes(block.count - decoder.offset) }
        return value
    }

    /// The links of `block` in its order, for walks over graphs.
    ///
    /// Looks at the structure and at links only and makes no values, so it also passes blocks with text that is not UTF-8, with odd map keys
    /// and of any depth, which exist in the wild.
    public static func links(of block: Bytes) throws(DagCBORError) -> [CID] {
        var decoder = DagCBORDecoder(block: block, isCanonical: false)
        let links = try decoder.scanLinks()
        guard decoder.offset == block.count else { throw .trailingBytes(block.count - decoder.offset) }
        return links
    }
}

/// Why bytes are not DAG-CBOR, or a value cannot be written. Offsets are in bytes from the start of the block.
public enum DagCBORError: Error, Equatable, Sendable {
    /// The block ends inside an item, or a length exceeds it.
    case truncated
    /// This many bytes after the item.
    case trailingBytes(Int)
    /// A longer form than needed, or a map key out of order.
    case notCanonical(at: Int)
    /// An item that begins with this byte does not exist in DAG-CBOR: an indefinite length, another simple value, another tag.
    case unsupported(UInt8, at: Int)
    /// Text that is not UTF-8, a key that is not text or appears twice, a tag 42 around anything but a CID behind `00`.
    case malformed(at: Int)
    /// The CID of a link.
    case link(CIDError)
    /// Deeper than `FormatsLimits.depth` or with more than `FormatsLimits.values` values, or an integer outside 64 bits and a sign.
    case limit
    /// NaN or an infinity.
    case notFinite
}
