import WaggleBase

/// Writes canonical DAG-CBOR.
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
