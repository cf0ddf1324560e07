/// Content-defined chunking with a Rabin fingerprint over a window of 16 bytes.
///
/// The fingerprint is the window, read as a polynomial over GF(2), modulo an irreducible polynomial of degree 53. Every chunk starts with
/// a window that holds a single one. The first `minimum - 16` bytes of a chunk are passed over unread.
struct Rabin: Sendable {
    static let window = 16
    /// The polynomial of IPFS, of degree 53.
    static let polynomial: UInt64 = 17_437_180_132_763_653
    static let degree: UInt64 = 53

    private let minimum: Int
    private let maximum: Int
    private let mask: UInt64
    /// Bytes of the chunk so far.
    private var count = 0
    private var digest: UInt64 = 1
    /// The last 16 bytes that entered the window, oldest first.
    private var history = Rabin.emptyWindow

    private static let emptyWindow: InlineArray<16, UInt8> = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]

    /// 16 ≤ `minimum` < `average` < `maximum`, in bytes.
    init(minimum: Int, average: Int, maximum: Int) {
        self.minimum = minimum
        self.maximum = maximum
        mask = (1 << UInt64(Int.bitWidth - 1 - average.leadingZeroBitCount)) - 1
    }

    mutating func scan(_ input: UnsafeRawBufferPointer) -> (count: Int, ends: Bool) {
        var index = 0
        let skipped = minimum - Rabin.window
        if count < skipped {
            index = min(skipped - count, input.count)
            count += index
        }
        guard index < input.count else { return (input.count, false) }
        let start = index
        return RabinTables.shared.withPointers { tables in
            while index < input.count {
                if index - start >= Rabin.window, count >= minimum, canSearch(input.count - index) {
                    if let hit = search(input, index, tables) {
                        reset()
                        return (hit + 1, true)
                    }
                    index += Rabin.lanes * Rabin.stride
                    count += Rabin.lanes * Rabin.stride
                    continue
                }
                let leaving = index - start < Rabin.window ? history[index - start] : input[index - Rabin.window]
                digest = tables.roll(digest, leaving: leaving, entering: input[index])
                index += 1
                count += 1
                if count >= minimum, digest & mask == 0 || count >= maximum {
                    reset()
                    return (index, true)
                }
            }
            remember(input, from: start)
            return (input.count, false)
        }
    }

    // The fingerprint depends on the last 16 bytes only, and computing it on waiting for memory: so four stretches are searched at once,
    // each `stride` bytes long, the earliest first. It pays where cuts are rare.
    private static let lanes = 4
    private static let stride = 512

    private func canSearch(_ left: Int) -> Bool {
        let bytes = Rabin.lanes * Rabin.stride
        return left >= bytes && maximum - count > bytes && mask >= (1 << 13) - 1
    }

    /// The first of the next `lanes × stride` bytes from `index` after which the chunk ends; nil, with the fingerprint behind them, when it
    /// ends after none of them.
    private mutating func search(_ input: UnsafeRawBufferPointer, _ index: Int, _ tables: RabinTables.Pointers) -> Int? {
        let stride = Rabin.stride
        var digests = SIMD4<UInt64>(digest, 0, 0, 0)
        for lane in 1..<Rabin.lanes {
            let start = index + lane * stride
            for position in start - Rabin.window..<start {
                digests[lane] = tables.roll(digests[lane], leaving: 0, entering: input[position])
            }
        }
        var (first, second, third, fourth) = (digests[0], digests[1], digests[2], digests[3])
        var hit = Int.max
        for offset in index..<index + stride {
            let (two, three, four) = (offset + stride, offset + 2 * stride, offset + 3 * stride)
            first = tables.roll(first, leaving: input[offset - Rabin.window], entering: input[offset])
            second = tables.roll(second, leaving: input[two - Rabin.window], entering: input[two])
            third = tables.roll(third, leaving: input[three - Rabin.window], entering: input[three])
            fourth = tables.roll(fourth, leaving: input[four - Rabin.window], entering: input[four])
            guard first & mask == 0 || second & mask == 0 || third & mask == 0 || fourth & mask == 0 else { continue }
            if first & mask == 0 { return offset }
            if second & mask == 0 { hit = min(hit, two) }
            if third & mask == 0 { hit = min(hit, three) }
            if fourth & mask == 0 { hit = min(hit, four) }
        }
        digest = fourth
        return hit == .max ? nil : hit
    }

    private mutating func reset() {
        count = 0
        digest = 1
        history = Rabin.emptyWindow
    }

    private mutating func remember(_ input: UnsafeRawBufferPointer, from start: Int) {
        let fresh = min(input.count - start, Rabin.window)
        for index in 0..<Rabin.window - fresh { history[index] = history[index + fresh] }
        for index in 0..<fresh { history[Rabin.window - fresh + index] = input[input.count - fresh + index] }
    }
}

/// Remainders of the polynomial division, looked up by byte.
private struct RabinTables: Sendable {
    static let shared = RabinTables()

    /// What a byte that leaves the window contributed to the fingerprint.
    private var leaving: [UInt64] = []
    /// What eight bits above the degree become, and the bits themselves, which it cancels.
    private var reduction: [UInt64] = []

    init() {
        for byte in 0..<UInt64(256) {
            var remainder = RabinTables.remainder(byte)
            for _ in 1..<Rabin.window { remainder = RabinTables.remainder(remainder << 8) }
            leaving.append(remainder)
            let shifted = byte << Rabin.degree
            reduction.append(RabinTables.remainder(shifted) | shifted)
        }
    }

    private static func remainder(_ value: UInt64) -> UInt64 {
        var value = value
        var bit: UInt64 = 63
        while bit >= Rabin.degree {
            if value >> bit & 1 == 1 { value ^= Rabin.polynomial << (bit - Rabin.degree) }
            bit -= 1
        }
        return value
    }

    /// The tables without bounds checks: an index is a byte, or the eight bits of a fingerprint above 45.
    struct Pointers {
        let leaving: UnsafePointer<UInt64>
        let reduction: UnsafePointer<UInt64>

        @inline(__always)
        func roll(_ digest: UInt64, leaving byte: UInt8, entering: UInt8) -> UInt64 {
            let digest = digest ^ leaving[Int(byte)]
            return (digest << 8 | UInt64(entering)) ^ reduction[Int(digest >> (Rabin.degree - 8) & 0xff)]
        }
    }

    func withPointers<R>(_ body: (Pointers) -> R) -> R {
        leaving.withUnsafeBufferPointer { leaving in
            reduction.withUnsafeBufferPointer { reduction in
                guard let first = leaving.baseAddress, let second = reduction.baseAddress else { preconditionFailure("tables are not empty") }
                return body(Pointers(leaving: first, reduction: second))
            }
        }
    }
}
