import WaggleBase

/// MurmurHash3, x64 form with 128 bits and seed 0: not cryptographic; UnixFS places directory entries with it.
public enum Murmur3 {
    /// The first 64 of the 128 bits (multicodec `murmur3-x64-64`, 0x22).
    ///
    /// Its eight bytes in big-endian order are the digest that other implementations show.
    public static func x64_64(_ data: UnsafeRawBufferPointer) -> UInt64 {
        let c1: UInt64 = 0x87c3_7b91_1142_53d5
        let c2: UInt64 = 0x4cf5_ad43_2745_937f
        var h1: UInt64 = 0
        var h2: UInt64 = 0

        var offset = 0
        while offset + 16 <= data.count {
            let k1 = UInt64(littleEndian: data.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            let k2 = UInt64(littleEndian: data.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
            h1 ^= rotate(k1 &* c1, 31) &* c2
            h1 = (rotate(h1, 27) &+ h2) &* 5 &+ 0x52dc_e729
            h2 ^= rotate(k2 &* c2, 33) &* c1
            h2 = (rotate(h2, 31) &+ h1) &* 5 &+ 0x3849_5ab5
            offset += 16
        }

        var k1: UInt64 = 0
        var k2: UInt64 = 0
        for index in offset..<data.count {
            let position = index - offset
            let byte = UInt64(data[index])
            if position < 8 { k1 |= byte << UInt64(8 * position) } else { k2 |= byte << UInt64(8 * (position - 8)) }
        }
        h2 ^= rotate(k2 &* c2, 33) &* c1
        h1 ^= rotate(k1 &* c1, 31) &* c2

        h1 ^= UInt64(data.count)
        h2 ^= UInt64(data.count)
        h1 &+= h2
        h2 &+= h1
        return mix(h1) &+ mix(h2)
    }

    public static func x64_64(_ data: RawSpan) -> UInt64 { data.withUnsafeBytes { x64_64($0) } }
    public static func x64_64(_ data: Bytes) -> UInt64 { data.withUnsafeBytes { x64_64($0) } }
    public static func x64_64(_ data: [UInt8]) -> UInt64 { data.withUnsafeBytes { x64_64($0) } }

    @inline(__always)
    private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        var value = value
        value ^= value >> 33
        value = value &* 0xff51_afd7_ed55_8ccd
        value ^= value >> 33
        value = value &* 0xc4ce_b9fe_1a85_ec53
        value ^= value >> 33
        return value
    }
}
