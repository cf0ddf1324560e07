import WaggleBase

/// A deterministic source of random numbers (SplitMix64): the same seed gives the same sequence on every machine.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    /// A source of its own for `name`, so that one more host does not change what the others draw.
    init(seed: UInt64, name: String, generation: Int) {
        var digest = Digest()
        digest.mix(seed)
        for byte in name.utf8 { digest.mix(UInt64(byte)) }
        digest.mix(UInt64(generation))
        state = digest.value
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return Digest.scramble(state)
    }

    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var index = 0
        while index < buffer.count {
            var word = next()
            for offset in index..<min(index + 8, buffer.count) {
                buffer[offset] = UInt8(truncatingIfNeeded: word)
                word >>= 8
            }
            index += 8
        }
    }

    /// A duration from zero up to `limit`.
    mutating func duration(upTo limit: Duration) -> Duration {
        let limit = limit.wholeNanoseconds
        return limit <= 0 ? .zero : .nanoseconds(Int64.random(in: 0...limit, using: &self))
    }
}

/// A running 64-bit digest. It tells traces apart; it is no cryptography.
struct Digest {
    private(set) var value: UInt64 = 0x243f_6a88_85a3_08d3

    mutating func mix(_ word: UInt64) {
        value = Self.scramble(value ^ word) &+ 0x9e37_79b9_7f4a_7c15
    }

    mutating func mix(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while index + 8 <= bytes.count {
            mix(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
            index += 8
        }
        var tail: UInt64 = 0
        while index < bytes.count {
            tail = tail << 8 | UInt64(bytes[index])
            index += 1
        }
        mix(tail ^ UInt64(bytes.count) << 56)
    }

    static func scramble(_ word: UInt64) -> UInt64 {
        var word = word
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}
