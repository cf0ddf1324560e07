import WaggleBase

/// A base that writes the bytes as one large number (10, 36, 58), with a zero digit for every leading zero byte.
///
/// Works on 32-bit limbs and as many digits at once as fit into one, so that a CID takes well under a microsecond.
struct PositionalCodec: Sendable {
    let alphabet: Alphabet
    /// Digits handled at once.
    let chunk: Int
    /// radix ^ chunk, below 2^32.
    let chunkRadix: UInt64

    init(_ text: StaticString, ignoringCase: Bool = false) {
        alphabet = Alphabet(text, ignoringCase: ignoringCase)
        let radix = UInt64(alphabet.symbols.count)
        var power = radix
        var digits = 1
        while power * radix <= UInt64(UInt32.max) {
            power *= radix
            digits += 1
        }
        chunk = digits
        chunkRadix = power
    }

    static let base10 = PositionalCodec("0123456789")
    static let base36 = PositionalCodec("0123456789abcdefghijklmnopqrstuvwxyz", ignoringCase: true)
    static let base36upper = PositionalCodec("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", ignoringCase: true)
    static let base58btc = PositionalCodec("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
    static let base58flickr = PositionalCodec("123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ")

    func encode(_ bytes: UnsafeRawBufferPointer, prefix: UInt8?) -> String {
        var zeros = 0
        while zeros < bytes.count, bytes[zeros] == 0 { zeros += 1 }
        var limbs = PositionalCodec.limbs(of: UnsafeRawBufferPointer(rebasing: bytes[zeros...]))
        let radix = UInt64(alphabet.symbols.count)
        // Digits come out least significant first.
        var digits: [UInt8] = []
        digits.reserveCapacity((limbs.count * 32 + 3) / 3 + zeros + 1)
        var start = 0
        while start < limbs.count {
            var remainder: UInt64 = 0
            for index in start..<limbs.count {
                let value = remainder << 32 | UInt64(limbs[index])
                limbs[index] = UInt32(truncatingIfNeeded: value / chunkRadix)
                remainder = value % chunkRadix
            }
            while start < limbs.count, limbs[start] == 0 { start += 1 }
            for _ in 0..<chunk {
                digits.append(alphabet.symbols[Int(remainder % radix)])
                remainder /= radix
            }
        }
        // The last chunk may have written zeros in front of the number.
        while digits.last == alphabet.symbols[0] { digits.removeLast() }
        digits.append(contentsOf: repeatElement(alphabet.symbols[0], count: zeros))
        if let prefix { digits.append(prefix) }
        digits.reverse()
        return String(decoding: digits, as: UTF8.self)
    }

    func decode(_ text: UnsafeRawBufferPointer) throws(MultibaseError) -> Bytes {
        guard text.count <= FormatsLimits.positionalTextCharacters else { throw .tooLong(characters: text.count) }
        let radix = UInt64(alphabet.symbols.count)
        var zeros = 0
        while zeros < text.count, alphabet.values[Int(text[zeros])] == 0 { zeros += 1 }
        var limbs: [UInt32] = []  // least significant first
        limbs.reserveCapacity((text.count - zeros) * 6 / 32 + 1)
        var index = zeros
        while index < text.count {
            let end = min(index + chunk, text.count)
            var addend: UInt64 = 0
            var factor: UInt64 = 1
            while index < end {
                let value = alphabet.values[Int(text[index])]
                guard value != Alphabet.invalid else { throw .invalidCharacter(at: index) }
                addend = addend * radix + UInt64(value)
                factor *= radix
                index += 1
            }
            for limb in limbs.indices {
                let value = UInt64(limbs[limb]) * factor + addend
                limbs[limb] = UInt32(truncatingIfNeeded: value)
                addend = value >> 32
            }
            if addend != 0 { limbs.append(UInt32(truncatingIfNeeded: addend)) }
        }
        return PositionalCodec.bytes(of: limbs, leadingZeros: zeros)
    }

    /// The number in `bytes` as limbs, most significant first.
    private static func limbs(of bytes: UnsafeRawBufferPointer) -> [UInt32] {
        var limbs = [UInt32](repeating: 0, count: (bytes.count + 3) / 4)
        for (offset, byte) in bytes.reversed().enumerated() {
            limbs[limbs.count - 1 - offset / 4] |= UInt32(byte) << UInt32(offset % 4 * 8)
        }
        return limbs
    }

    /// `zeros` zero bytes and the number in `limbs` (least significant first) without leading zeros of its own.
    private static func bytes(of limbs: [UInt32], leadingZeros zeros: Int) -> Bytes {
        let width = limbs.last.map { limbs.count * 4 - $0.leadingZeroBitCount / 8 } ?? 0
        let storage = ByteStorage(capacity: zeros + width)
        let output = storage.buffer
        for index in 0..<zeros { output[index] = 0 }
        for offset in 0..<width {
            output[zeros + width - 1 - offset] = UInt8(truncatingIfNeeded: limbs[offset / 4] >> UInt32(offset % 4 * 8))
        }
        return Bytes(storage: storage, range: 0..<zeros + width)
    }
}
