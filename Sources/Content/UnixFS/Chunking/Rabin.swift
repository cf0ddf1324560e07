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
        let tables = RabinTables.shared
        var digest = digest
        while index < input.count {
            let byte = input[index]
            let leaving = index - start < Rabin.window ? history[index - start] : input[index - Rabin.window]
            digest ^= tables.leaving[Int(leaving)]
            let high = Int(truncatingIfNeeded: digest >> (Rabin.degree - 8))
            digest = (digest << 8 | UInt64(byte)) ^ tables.reduction[high & 0xff]
            index += 1
            count += 1
            if count >= minimum, digest & mask == 0 || count >= maximum {
                reset()
                return (index, true)
            }
        }
        self.digest = digest
        remember(input, from: start)
        return (input.count, false)
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
    var leaving: [UInt64] = []
    /// What eight bits above the degree become, and the bits themselves, which it cancels.
    var reduction: [UInt64] = []

    init() {
        for byte in 0..<UInt64(256) {
            var remainder = RabinTables.remainder(byte)
            for _ in 1..<Rabin.window { remainder = RabinTables.remainder(remainder << 8) }
            leaving.append(remainder)
            let shifted = byte << Rabin.degree
            reduction.append(RabinTables.remainder(shifted) | shifted)
        }
    }

    static func remainder(_ value: UInt64) -> UInt64 {
        var value = value
        var bit: UInt64 = 63
        while bit >= Rabin.degree {
            if value >> bit & 1 == 1 { value ^= Rabin.polynomial << (bit - Rabin.degree) }
            bit -= 1
        }
        return value
    }
}
