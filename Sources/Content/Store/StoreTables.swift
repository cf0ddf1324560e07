import WaggleBase

/// The tables that blocks and pins share, so that one commit can change both.
enum StoreTables {
    /// Multihash → block. Keyed by the hash alone, so that every CID of one content finds it.
    static let blocks = Table("blocks")
    /// Binary CID → pin; see `Pin`.
    static let pins = Table("pins")
    /// Name → counter; see `StoreCounter`.
    static let meta = Table("meta")

    static let all = [blocks, pins, meta]
}

/// A counter kept in the same commit as what it counts.
///
/// Stored as eight bytes, big-endian, under its name in the table `meta`.
struct StoreCounter {
    let key: Bytes

    /// The sum of the sizes of all blocks, in bytes.
    static let blockBytes = StoreCounter(key: "block-bytes")

    func value(_ reader: any StoreReader) throws -> Int {
        try key.withUnsafeBytes { key in
            try reader.withValue(of: key, in: StoreTables.meta) { value in
                value.count == 8 ? Int(Int64(bigEndian: value.loadUnaligned(as: Int64.self))) : 0
            }
        } ?? 0
    }

    func add(_ change: Int, _ writer: any StoreWriter) throws {
        guard change != 0 else { return }
        let sum = Int64(max(0, try value(writer) + change)).bigEndian
        try withUnsafeBytes(of: sum) { sum in
            try key.withUnsafeBytes { key in try writer.put(key, sum, in: StoreTables.meta) }
        }
    }
}
