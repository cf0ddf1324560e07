/// Unsigned varints as the multiformats and libp2p use them: seven bits a byte, least significant first, at most nine bytes
/// (63 bits), and always the shortest form.
///
/// Spec: multiformats/unsigned-varint, sections "Practical maximum" and "Canonical".
public enum Varint {
    /// The longest encoding in bytes.
    public static let maximumLength = 9

    /// What a decoder sees at the start of some bytes.
    public enum Outcome: Equatable, Sendable {
        /// A value and the number of bytes it took.
        case value(UInt64, length: Int)
        /// The bytes end before the varint does.
        case incomplete
        /// Longer than nine bytes, or not the shortest form.
        case malformed
    }

    /// Reads one varint at the start of `span`.
    @inlinable public static func decode(_ span: RawSpan) -> Outcome {
        var value: UInt64 = 0
        var index = 0
        while index < span.byteCount {
            guard index < maximumLength else { return .malformed }
            let byte = span.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            value |= UInt64(byte & 0x7f) << UInt64(7 * index)
            index += 1
            if byte & 0x80 == 0 {
                return byte == 0 && index > 1 ? .malformed : .value(value, length: index)
            }
        }
        return index >= maximumLength ? .malformed : .incomplete
    }

    /// How many bytes `value` takes. Values of 2^63 and more take ten, which only protobuf fields may use.
    @inlinable public static func length(of value: UInt64) -> Int {
        value == 0 ? 1 : (64 - value.leadingZeroBitCount + 6) / 7
    }
}
