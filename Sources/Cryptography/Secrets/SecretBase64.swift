import WaggleBase

/// Base64 with padding (RFC 4648, section 4) of secrets: in memory that is wiped, and in time that depends on the lengths only, which table
/// look-ups and tests of single characters do not grant.
public enum SecretBase64 {
    /// The text of some bytes.
    public static func encode(_ secret: SecureBytes) -> SecureBytes {
        SecureBytes(count: (secret.count + 2) / 3 * 4) { output in
            secret.withUnsafeBytes { bytes in
                for group in 0..<(bytes.count + 2) / 3 {
                    let start = 3 * group, length = min(3, bytes.count - start)
                    var bits: UInt32 = 0
                    for index in 0..<3 { bits = bits << 8 | (index < length ? UInt32(bytes[start + index]) : 0) }
                    for index in 0..<4 {
                        output[4 * group + index] = index <= length ? character(bits >> UInt32(18 - 6 * index) & 63) : UInt8(ascii: "=")
                    }
                }
            }
        }
    }

    /// The bytes of a text; nil unless it is the one encoding of them.
    public static func decode(_ text: UnsafeRawBufferPointer) -> SecureBytes? {
        guard text.count.isMultiple(of: 4) else { return nil }
        let padding = text.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
        var wrong: UInt32 = 0
        let secret = SecureBytes(count: text.count / 4 * 3 - padding) { output in
            for group in 0..<text.count / 4 {
                var bits: UInt32 = 0
                for index in 4 * group..<4 * group + 4 {
                    let value = index < text.count - padding ? digit(text[index]) : 0
                    // A character that is no digit gives more than six bits.
                    wrong |= value >> 6
                    bits = bits << 6 | value & 63
                }
                let start = 3 * group, length = min(3, output.count - start)
                for index in 0..<length { output[start + index] = UInt8(truncatingIfNeeded: bits >> UInt32(16 - 8 * index)) }
                // What the last byte has no room for must be zero.
                wrong |= bits & (1 << UInt32(24 - 8 * length) - 1)
            }
        }
        return wrong == 0 ? secret : nil
    }

    /// All ones where `value` lies in `range`, else zero; both below 2^31.
    @inline(__always)
    private static func mask(_ value: UInt32, in range: ClosedRange<UInt32>) -> UInt32 {
        let outside = (value &- range.lowerBound) | (range.upperBound &- value)
        return (outside >> 31) &- 1
    }

    private static func character(_ value: UInt32) -> UInt8 {
        // Each range of values lies as far from its characters as the sum says.
        let distance =
            UInt32(UInt8(ascii: "A")) & mask(value, in: 0...25) | UInt32(UInt8(ascii: "a") - 26) & mask(value, in: 26...51)
            | (UInt32(UInt8(ascii: "0")) &- 52) & mask(value, in: 52...61) | (UInt32(UInt8(ascii: "+")) &- 62) & mask(value, in: 62...62)
            | (UInt32(UInt8(ascii: "/")) &- 63) & mask(value, in: 63...63)
        return UInt8(truncatingIfNeeded: value &+ distance)
    }

    /// The value of a character; 64 for one that is no digit.
    private static func digit(_ character: UInt8) -> UInt32 {
        let character = UInt32(character)
        func part(_ first: Unicode.Scalar, _ last: Unicode.Scalar, _ value: UInt32) -> (mask: UInt32, value: UInt32) {
            let mask = mask(character, in: first.value...last.value)
            return (mask, (character &- first.value &+ value) & mask)
        }
        let (upper, lower, decimal) = (part("A", "Z", 0), part("a", "z", 26), part("0", "9", 52))
        let (plus, slash) = (part("+", "+", 62), part("/", "/", 63))
        let known = upper.mask | lower.mask | decimal.mask | plus.mask | slash.mask
        return upper.value | lower.value | decimal.value | plus.value | slash.value | ~known & 64
    }
}
