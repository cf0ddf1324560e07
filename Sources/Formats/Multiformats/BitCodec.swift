import WaggleBase

/// A base whose digits hold a whole number of bits (2, 8, 16, 32, 64), most significant first, as in RFC 4648.
struct BitCodec: Sendable {
    let alphabet: Alphabet
    /// Bits in a digit: 1, 3, 4, 5 or 6.
    let bits: Int
    /// Digits in a padded group; 0 means no padding.
    let group: Int

    init(_ alphabet: StaticString, bits: Int, group: Int = 0, ignoringCase: Bool = false) {
        self.alphabet = Alphabet(alphabet, ignoringCase: ignoringCase)
        self.bits = bits
        self.group = group
    }

    static let base2 = BitCodec("01", bits: 1)
    static let base8 = BitCodec("01234567", bits: 3)
    static let base16 = BitCodec("0123456789abcdef", bits: 4, ignoringCase: true)
    static let base16upper = BitCodec("0123456789ABCDEF", bits: 4, ignoringCase: true)
    static let base32 = BitCodec("abcdefghijklmnopqrstuvwxyz234567", bits: 5, ignoringCase: true)
    static let base32upper = BitCodec("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bits: 5, ignoringCase: true)
    static let base32pad = BitCodec("abcdefghijklmnopqrstuvwxyz234567", bits: 5, group: 8, ignoringCase: true)
    static let base32padupper = BitCodec("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bits: 5, group: 8, ignoringCase: true)
    static let base32hex = BitCodec("0123456789abcdefghijklmnopqrstuv", bits: 5, ignoringCase: true)
    static let base32hexupper = BitCodec("0123456789ABCDEFGHIJKLMNOPQRSTUV", bits: 5, ignoringCase: true)
    static let base32hexpad = BitCodec("0123456789abcdefghijklmnopqrstuv", bits: 5, group: 8, ignoringCase: true)
    static let base32hexpadupper = BitCodec("0123456789ABCDEFGHIJKLMNOPQRSTUV", bits: 5, group: 8, ignoringCase: true)
    static let base32z = BitCodec("ybndrfg8ejkmcpqxot1uwisza345h769", bits: 5)
    static let base64 = BitCodec("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", bits: 6)
    static let base64pad = BitCodec("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", bits: 6, group: 4)
    static let base64url = BitCodec("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", bits: 6)
    static let base64urlpad = BitCodec("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", bits: 6, group: 4)

    func encode(_ bytes: UnsafeRawBufferPointer, prefix: UInt8?) -> String {
        let digits = (bytes.count * 8 + bits - 1) / bits
        let padded = group == 0 ? digits : (digits + group - 1) / group * group
        let total = padded + (prefix == nil ? 0 : 1)
        let mask = UInt32(1) << UInt32(bits) - 1
        return String(unsafeUninitializedCapacity: total) { output in
            var index = 0
            if let prefix {
                output.initializeElement(at: 0, to: prefix)
                index = 1
            }
            alphabet.symbols.withUnsafeBufferPointer { symbols in
                var window: UInt32 = 0
                var held = 0
                for byte in bytes {
                    window = window << 8 | UInt32(byte)
                    held += 8
                    while held >= bits {
                        held -= bits
                        output.initializeElement(at: index, to: symbols[Int(window >> UInt32(held) & mask)])
                        index += 1
                    }
                }
                if held > 0 {
                    output.initializeElement(at: index, to: symbols[Int(window << UInt32(bits - held) & mask)])
                    index += 1
                }
            }
            while index < total {
                output.initializeElement(at: index, to: UInt8(ascii: "="))
                index += 1
            }
            return total
        }
    }

    func decode(_ text: UnsafeRawBufferPointer) throws(MultibaseError) -> Bytes {
        var digits = text.count
        while group != 0, digits > 0, text[digits - 1] == UInt8(ascii: "=") { digits -= 1 }
        let used = digits * bits
        // No encoder writes a digit that adds no bit of a byte, nor padding other than up to the end of the group.
        guard used % 8 < bits else { throw .notCanonical }
        if group != 0 { guard text.count == (digits + group - 1) / group * group else { throw .notCanonical } }
        let storage = ByteStorage(capacity: used / 8)
        let output = storage.buffer
        var window: UInt32 = 0
        var held = 0
        var count = 0
        for index in 0..<digits {
            let value = alphabet.values[Int(text[index])]
            guard value != Alphabet.invalid else { throw .invalidCharacter(at: index) }
            window = window << UInt32(bits) | UInt32(value)
            held += bits
            if held >= 8 {
                held -= 8
                output[count] = UInt8(truncatingIfNeeded: window >> UInt32(held))
                count += 1
            }
        }
        guard window & (1 << UInt32(held) - 1) == 0 else { throw .notCanonical }
        return Bytes(storage: storage, range: 0..<count)
    }
}
