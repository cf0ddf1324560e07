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

struct DagCBOREncoder: ~Copyable {
    private var writer = ByteWriter()

    consuming func finish() -> Bytes { writer.finish() }

    mutating func encode(_ value: Value, depth: Int) throws(DagCBORError) {
        guard depth <= FormatsLimits.depth else { throw .limit }
        switch value {
        case .null: writer.write(0xf6 as UInt8)
        case .bool(let value): writer.write((value ? 0xf5 : 0xf4) as UInt8)
        case .integer(let value):
            guard Value.integers.contains(value) else { throw .limit }
            if value >= 0 { head(0, UInt64(value)) } else { head(1, UInt64(-1 - value)) }
        case .float(let value):
            guard value.isFinite else { throw .notFinite }
            writer.write(0xfb as UInt8)
            writer.write(integer: value.bitPattern)
        case .string(let text): string(text)
        case .bytes(let bytes):
            head(2, UInt64(bytes.count))
            writer.write(bytes)
        case .list(let values):
            head(4, UInt64(values.count))
            for value in values { try encode(value, depth: depth + 1) }
        case .map(let entries):
            head(5, UInt64(entries.count))
            let sorted = entries.entries.sorted { DagCBOREncoder.precedes($0.key, $1.key) }
            for (key, value) in sorted {
                string(key)
                try encode(value, depth: depth + 1)
            }
        case .link(let cid):
            head(6, 42)
            head(2, UInt64(cid.count + 1))
            writer.write(0 as UInt8)
            cid.withUnsafeBytes { writer.write($0) }
        }
    }

    private mutating func string(_ text: String) {
        head(3, UInt64(text.utf8.count))
        writer.write(utf8: text)
    }

    private mutating func head(_ major: UInt8, _ argument: UInt64) {
        switch argument {
        case 0..<24: writer.write(major << 5 | UInt8(argument))
        case 24...0xff:
            writer.write(major << 5 | 24)
            writer.write(UInt8(argument))
        case 0x100...0xffff:
            writer.write(major << 5 | 25)
            writer.write(integer: UInt16(argument))
        case 0x1_0000...0xffff_ffff:
            writer.write(major << 5 | 26)
            writer.write(integer: UInt32(argument))
        default:
            writer.write(major << 5 | 27)
            writer.write(integer: argument)
        }
    }

    /// The order of map keys: by length, then bytewise.
    static func precedes(_ left: String, _ right: String) -> Bool {
        let (left, right) = (left.utf8, right.utf8)
        return left.count != right.count ? left.count < right.count : left.lexicographicallyPrecedes(right)
    }
}

struct DagCBORDecoder {
    let block: Bytes
    let isCanonical: Bool
    private(set) var offset = 0
    private var values = 0

    init(block: Bytes, isCanonical: Bool) {
        self.block = block
        self.isCanonical = isCanonical
    }

    private var remaining: Int { block.count - offset }

    mutating func decode(depth: Int) throws(DagCBORError) -> Value {
        values += 1
        guard depth <= FormatsLimits.depth, values <= FormatsLimits.values else { throw .limit }
        let start = offset
        let first = try byte()
        let minor = first & 0x1f
        guard first >> 5 != 7 else { return try simple(first, at: start) }
        let argument = try argument(minor, first, at: start)
        switch first >> 5 {
        case 0: return .integer(Int128(argument))
        case 1: return .integer(-1 - Int128(argument))
        case 2: return .bytes(try take(argument).compacted())
        case 3: return .string(try text(argument))
        case 4:
            guard argument <= UInt64(remaining) else { throw .truncated }
            var list: [Value] = []
            // The count is only a claim until the elements are there, and lists nest.
            list.reserveCapacity(Int(min(argument, 64)))
            for _ in 0..<argument { list.append(try decode(depth: depth + 1)) }
            return .list(list)
        case 5: return try map(argument, depth: depth)
        default: return try link(argument, first, at: start)
        }
    }

    private mutating func map(_ count: UInt64, depth: Int) throws(DagCBORError) -> Value {
        guard count <= UInt64(remaining / 2) else { throw .truncated }
        var entries = OrderedMap<Value>()
        var previous: String?
        for _ in 0..<count {
            let start = offset
            let first = try byte()
            guard first >> 5 == 3 else { throw .malformed(at: start) }
            let key = try text(try argument(first & 0x1f, first, at: start))
            if isCanonical, let previous, DagCBOREncoder.precedes(key, previous) { throw .notCanonical(at: start) }
            previous = key
            let value = try decode(depth: depth + 1)
            guard entries.append(key, value) else { throw .malformed(at: start) }
        }
        return .map(entries)
    }

    /// Passes one item with everything inside and gives its links. Items are counted instead of followed, so there is no depth.
    mutating func scanLinks() throws(DagCBORError) -> [CID] {
        var links: [CID] = []
        var pending: UInt64 = 1
        while pending > 0 {
            pending -= 1
            let start = offset
            let first = try byte()
            guard first >> 5 != 7 else {
                _ = try simple(first, at: start)
                continue
            }
            let argument = try argument(first & 0x1f, first, at: start)
            switch first >> 5 {
            case 0, 1: break
            case 2, 3: _ = try take(argument)
            case 4:
                guard argument <= UInt64(remaining) else { throw .truncated }
                pending += argument
            case 5:
                guard argument <= UInt64(remaining / 2) else { throw .truncated }
                pending += argument * 2
            default: if case .link(let cid) = try link(argument, first, at: start) { links.append(cid) }
            }
            guard pending <= UInt64(remaining) else { throw .truncated }
        }
        return links
    }

    private mutating func link(_ tag: UInt64, _ first: UInt8, at start: Int) throws(DagCBORError) -> Value {
        guard tag == 42 else { throw .unsupported(first, at: start) }
        let inner = offset
        let head = try byte()
        guard head >> 5 == 2 else { throw .malformed(at: inner) }
        let bytes = try take(try argument(head & 0x1f, head, at: inner))
        guard bytes.first == 0 else { throw .malformed(at: inner) }
        do { return .link(try CID(bytes: bytes.dropFirst())) } catch { throw .link(error) }
    }

    /// Major type 7.
    private mutating func simple(_ first: UInt8, at start: Int) throws(DagCBORError) -> Value {
        let value: Double
        switch first & 0x1f {
        case 20: return .bool(false)
        case 21: return .bool(true)
        case 22: return .null
        case 25: value = DagCBORDecoder.half(UInt16(truncatingIfNeeded: try unsigned(2)))
        case 26: value = Double(Float(bitPattern: UInt32(truncatingIfNeeded: try unsigned(4))))
        case 27: value = Double(bitPattern: try unsigned(8))
        default: throw .unsupported(first, at: start)
        }
        guard value.isFinite else { throw .notFinite }
        guard first == 0xfb || !isCanonical else { throw .notCanonical(at: start) }
        return .float(value)
    }

    /// IEEE 754 binary16 (RFC 8949, appendix D); `Float16` is missing on some processors.
    private static func half(_ bits: UInt16) -> Double {
        let sign: FloatingPointSign = bits >> 15 == 0 ? .plus : .minus
        let exponent = Int(bits >> 10 & 0x1f)
        let fraction = Double(bits & 0x3ff)
        switch exponent {
        case 0: return Double(sign: sign, exponent: -24, significand: fraction)
        case 31: return fraction == 0 ? Double.infinity : .nan
        default: return Double(sign: sign, exponent: exponent - 25, significand: fraction + 1024)
        }
    }

    private mutating func argument(_ minor: UInt8, _ first: UInt8, at start: Int) throws(DagCBORError) -> UInt64 {
        let value: UInt64
        let least: UInt64
        switch minor {
        case 0..<24: return UInt64(minor)
        case 24: (value, least) = (try unsigned(1), 24)
        case 25: (value, least) = (try unsigned(2), 0x100)
        case 26: (value, least) = (try unsigned(4), 0x1_0000)
        case 27: (value, least) = (try unsigned(8), 0x1_0000_0000)
        default: throw .unsupported(first, at: start)
        }
        guard value >= least || !isCanonical else { throw .notCanonical(at: start) }
        return value
    }

    private mutating func byte() throws(DagCBORError) -> UInt8 {
        guard remaining > 0 else { throw .truncated }
        offset += 1
        return block[offset - 1]
    }

    private mutating func unsigned(_ size: Int) throws(DagCBORError) -> UInt64 {
        guard remaining >= size else { throw .truncated }
        var value: UInt64 = 0
        for index in offset..<offset + size { value = value << 8 | UInt64(block[index]) }
        offset += size
        return value
    }

    private mutating func take(_ count: UInt64) throws(DagCBORError) -> Bytes {
        guard count <= UInt64(remaining) else { throw .truncated }
        offset += Int(count)
        return block[offset - Int(count)..<offset]
    }

    private mutating func text(_ count: UInt64) throws(DagCBORError) -> String {
        let start = offset
        guard let text = try take(count).utf8 else { throw .malformed(at: start) }
        return text
    }
}
