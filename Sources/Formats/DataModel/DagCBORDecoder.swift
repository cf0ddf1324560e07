import WaggleBase

/// Reads DAG-CBOR from one block.
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
