import WaggleBase

/// BLAKE2b and BLAKE2s without a key, for every digest length (RFC 7693): libcrypto has only the longest of each.
public enum BLAKE2 {
    /// BLAKE2b of `data` with a digest of 1 to 64 bytes; nil for any other length.
    public static func hash2b(_ data: UnsafeRawBufferPointer, length: Int) -> Bytes? {
        guard (1...64).contains(length) else { return nil }
        var state = BLAKE2State<BLAKE2b>(length: length)
        state.absorb(data)
        return state.digest(length)
    }

    /// BLAKE2s of `data` with a digest of 1 to 32 bytes; nil for any other length.
    public static func hash2s(_ data: UnsafeRawBufferPointer, length: Int) -> Bytes? {
        guard (1...32).contains(length) else { return nil }
        var state = BLAKE2State<BLAKE2s>(length: length)
        state.absorb(data)
        return state.digest(length)
    }
}

/// What differs between the two functions (RFC 7693, section 2.1): the word, the rounds, the rotations, the first state.
private protocol BLAKE2Parameters {
    associatedtype Word: FixedWidthInteger & UnsignedInteger & SIMDScalar & BitwiseCopyable & Sendable
    static var rounds: Int { get }
    static var rotations: (Word, Word, Word, Word) { get }
    /// The same words as in SHA-512 and SHA-256: fractions of the square roots of the first eight primes.
    static var initial: SIMD8<Word> { get }
}

private enum BLAKE2b: BLAKE2Parameters {
    static var rounds: Int { 12 }
    static var rotations: (UInt64, UInt64, UInt64, UInt64) { (32, 24, 16, 63) }
    static var initial: SIMD8<UInt64> {
        SIMD8(
            0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1,
            0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f, 0x1f83_d9ab_fb41_bd6b, 0x5be0_cd19_137e_2179)
    }
}

private enum BLAKE2s: BLAKE2Parameters {
    static var rounds: Int { 10 }
    static var rotations: (UInt32, UInt32, UInt32, UInt32) { (16, 12, 8, 7) }
    static var initial: SIMD8<UInt32> {
        SIMD8(
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19)
    }
}

/// The order in which a round takes the message words (RFC 7693, section 2.7); rounds 10 and 11 repeat 0 and 1.
private let blake2Order: InlineArray<160, UInt8> = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3,
    11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4,
    7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8,
    9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13,
    2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9,
    12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11,
    13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10,
    6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5,
    10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0,
]

private struct BLAKE2State<P: BLAKE2Parameters> {
    typealias Word = P.Word
    private static var blockLength: Int { 16 * MemoryLayout<Word>.size }

    private var chain = P.initial

    init(length: Int) {
        // Parameter block: digest length, no key, fan-out 1, depth 1.
        chain[0] ^= 0x0101_0000 ^ Word(truncatingIfNeeded: length)
    }

    /// Absorbs the whole message.
    mutating func absorb(_ data: UnsafeRawBufferPointer) {
        let length = Self.blockLength
        var offset = 0
        while data.count - offset > length {
            compress(UnsafeRawBufferPointer(rebasing: data[offset..<offset + length]), counted: offset + length, isLast: false)
            offset += length
        }
        withUnsafeTemporaryAllocation(byteCount: length, alignment: 16) { block in
            block.initializeMemory(as: UInt8.self, repeating: 0)
            block.copyMemory(from: UnsafeRawBufferPointer(rebasing: data[offset...]))
            compress(UnsafeRawBufferPointer(block), counted: data.count, isLast: true)
        }
    }

    func digest(_ length: Int) -> Bytes {
        withUnsafeBytes(of: chain) { Bytes(copying: UnsafeRawBufferPointer(rebasing: $0[0..<length])) }
    }

    private mutating func compress(_ block: UnsafeRawBufferPointer, counted: Int, isLast: Bool) {
        typealias Row = SIMD4<Word>
        let rotations = P.rotations
        func word(_ round: Int, _ index: Int) -> Word {
            let position = Int(blake2Order[(round % 10) * 16 + index])
            return block.loadUnaligned(fromByteOffset: position * MemoryLayout<Word>.size, as: Word.self)
        }
        func row(_ round: Int, _ first: Int) -> Row {
            Row(word(round, first), word(round, first + 2), word(round, first + 4), word(round, first + 6))
        }
        func rotate(_ row: Row, _ count: Word) -> Row {
            let width = Word(truncatingIfNeeded: Word.bitWidth)
            return row &>> Row(repeating: count) | row &<< Row(repeating: width - count)
        }

        var a = chain.lowHalf
        var b = chain.highHalf
        var c = P.initial.lowHalf
        var d = P.initial.highHalf
        d[0] ^= Word(truncatingIfNeeded: counted)
        if Word.bitWidth == 32 { d[1] ^= Word(truncatingIfNeeded: counted >> 32) }
        if isLast { d[2] = ~d[2] }

        func mix(_ x: Row, _ y: Row) {
            a = a &+ b &+ x
            d = rotate(d ^ a, rotations.0)
            c = c &+ d
            b = rotate(b ^ c, rotations.1)
            a = a &+ b &+ y
            d = rotate(d ^ a, rotations.2)
            c = c &+ d
            b = rotate(b ^ c, rotations.3)
        }
        for round in 0..<P.rounds {
            // Columns, then diagonals: the rows turned against each other.
            mix(row(round, 0), row(round, 1))
            b = Row(b[1], b[2], b[3], b[0])
            c = Row(c[2], c[3], c[0], c[1])
            d = Row(d[3], d[0], d[1], d[2])
            mix(row(round, 8), row(round, 9))
            b = Row(b[3], b[0], b[1], b[2])
            c = Row(c[2], c[3], c[0], c[1])
            d = Row(d[1], d[2], d[3], d[0])
        }
        chain.lowHalf ^= a ^ c
        chain.highHalf ^= b ^ d
    }
}
