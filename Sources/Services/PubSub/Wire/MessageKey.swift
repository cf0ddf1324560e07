import WaggleBase

/// A message id as the tables keep it: a keyed hash of 128 bits, which nobody outside can make collide.
struct MessageKey: Hashable, Sendable {
    var low: UInt64
    var high: UInt64

    func hash(into hasher: inout Hasher) { hasher.combine(low) }
}

/// SipHash-1-3 with 128 bits of output under a secret key. Spec: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
struct MessageHasher: Sendable {
    private let first: UInt64
    private let second: UInt64

    init(_ first: UInt64, _ second: UInt64) {
        self.first = first
        self.second = second
    }

    func key(_ id: Bytes) -> MessageKey { id.withUnsafeBytes { key($0) } }

    /// The key of two parts put together.
    func key(_ start: Bytes, _ end: Bytes) -> MessageKey {
        let count = start.count + end.count
        return withUnsafeTemporaryAllocation(byteCount: max(count, 1), alignment: 8) { block in
            start.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: block[0..<start.count]).copyMemory(from: $0) }
            end.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: block[start.count..<count]).copyMemory(from: $0) }
            return key(UnsafeRawBufferPointer(rebasing: block[0..<count]))
        }
    }

    func key(_ bytes: UnsafeRawBufferPointer) -> MessageKey {
        var v0 = first ^ 0x736f_6d65_7073_6575
        var v1 = second ^ 0x646f_7261_6e64_6f6d ^ 0xee
        var v2 = first ^ 0x6c79_6765_6e65_7261
        var v3 = second ^ 0x7465_6462_7974_6573

        func round() {
            v0 &+= v1
            v1 = (v1 << 13 | v1 >> 51) ^ v0
            v0 = v0 << 32 | v0 >> 32
            v2 &+= v3
            v3 = (v3 << 16 | v3 >> 48) ^ v2
            v0 &+= v3
            v3 = (v3 << 21 | v3 >> 43) ^ v0
            v2 &+= v1
            v1 = (v1 << 17 | v1 >> 47) ^ v2
            v2 = v2 << 32 | v2 >> 32
        }

        var index = 0
        while index + 8 <= bytes.count {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            v3 ^= word
            round()
            v0 ^= word
            index += 8
        }
        var last = UInt64(truncatingIfNeeded: bytes.count) << 56
        var shift: UInt64 = 0
        while index < bytes.count {
            last |= UInt64(bytes[index]) << shift
            shift += 8
            index += 1
        }
        v3 ^= last
        round()
        v0 ^= last
        v2 ^= 0xee
        round()
        round()
        round()
        let low = v0 ^ v1 ^ v2 ^ v3
        v1 ^= 0xdd
        round()
        round()
        round()
        return MessageKey(low: low, high: v0 ^ v1 ^ v2 ^ v3)
    }
}
