import WaggleBase
import WaggleCryptography

/// Where names go in a sharded directory of one fan-out.
///
/// Each level takes the next log2(fan-out) bits of the name's murmur3-x64-64, most significant first. A link's name is the slot in
/// upper-case hexadecimal, padded with zeros to the width of the last slot, followed by the entry's name; a sub-shard's has nothing after
/// the slot. Spec: specs.ipfs.tech/unixfs, "HAMTDirectory".
struct ShardSlots: Sendable, Equatable {
    let fanout: Int
    /// Bits of the hash that one level takes.
    let bits: Int
    /// Hexadecimal digits of a slot.
    let digits: Int

    /// nil unless `fanout` is a power of two that `UnixFSLimits` allows.
    init?(fanout: UInt64) {
        guard fanout.nonzeroBitCount == 1, let fanout = Int(exactly: fanout), UnixFSLimits.shardFanout.contains(fanout) else { return nil }
        self.fanout = fanout
        bits = fanout.trailingZeroBitCount
        digits = (bits + 3) / 4
    }

    /// How many levels the hash reaches for.
    var levels: Int { 64 / bits }

    static func hash(_ name: String) -> UInt64 {
        var name = name
        return name.withUTF8 { Murmur3.x64_64(UnsafeRawBufferPointer($0)) }
    }

    /// The slot of a hash at a level below the root, which is level 0.
    func slot(_ hash: UInt64, level: Int) -> Int { Int(hash >> UInt64(64 - bits * (level + 1)) & UInt64(fanout - 1)) }

    /// The bits that all levels above `level` took.
    func prefix(_ hash: UInt64, level: Int) -> UInt64 { level == 0 ? 0 : hash >> UInt64(64 - bits * level) }

    /// The slot as links are named.
    func label(_ slot: Int) -> String {
        let text = String(slot, radix: 16, uppercase: true)
        return String(repeating: "0", count: digits - text.utf8.count) + text
    }

    /// The bit field of the slots in use, as long as it needs to be: bit 0 is the lowest bit of the last byte.
    func bitField(_ slots: [Int]) -> Bytes? {
        guard let last = slots.max() else { return nil }
        var bytes = [UInt8](repeating: 0, count: last / 8 + 1)
        for slot in slots { bytes[bytes.count - 1 - slot / 8] |= 1 << UInt8(slot % 8) }
        return Bytes(bytes)
    }

    /// The slots in a bit field, ascending; nil when it has bits beyond the fan-out.
    func slots(_ bitField: Bytes) -> [Int]? {
        var slots: [Int] = []
        for (index, byte) in bitField.enumerated() where byte != 0 {
            let base = (bitField.count - 1 - index) * 8
            guard base < fanout else { return nil }
            for bit in 0..<8 where byte >> UInt8(bit) & 1 == 1 { slots.append(base + bit) }
        }
        guard slots.allSatisfy({ $0 < fanout }) else { return nil }
        return slots.sorted()
    }
}
