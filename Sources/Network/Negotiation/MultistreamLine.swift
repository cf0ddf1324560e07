import WaggleBase

/// The lines of multistream-select 1.0.
///
/// Wire: unsigned varint length in bytes, UTF-8 text, newline; the length counts the newline. Spec: multiformats/multistream-select,
/// section "Protocol".
enum MultistreamLine {
    static let header = "/multistream/1.0.0"
    static let notAvailable = "na"

    /// Appends one line.
    static func write(_ text: String, to writer: inout ByteWriter) {
        var text = text
        text.withUTF8 {
            writer.write(varint: UInt64($0.count + 1))
            writer.write(UnsafeRawBufferPointer($0))
        }
        writer.write(UInt8(ascii: "\n"))
    }

    /// What lies at the start of some bytes.
    enum Outcome {
        /// The text takes this range, the whole line `length` bytes.
        case line(text: Range<Int>, length: Int)
        /// The line takes at least `need` bytes.
        case incomplete(need: Int)
    }

    /// Finds the first line in `input`.
    static func read(_ input: RawSpan) throws(NegotiationError) -> Outcome {
        switch Varint.decode(input) {
        case .malformed: throw .malformed
        case .incomplete:
            // Two bytes say any legal length.
            guard input.byteCount < 2 else { throw .malformed }
            return .incomplete(need: input.byteCount + 1)
        case .value(let count, let prefix):
            guard count <= UInt64(NegotiationLimits.lineBytes) else { throw .tooLong(bytes: count) }
            guard count > 0 else { throw .malformed }
            let length = prefix + Int(count)
            guard input.byteCount >= length else { return .incomplete(need: length) }
            guard input.unsafeLoad(fromByteOffset: length - 1, as: UInt8.self) == UInt8(ascii: "\n") else { throw .malformed }
            return .line(text: prefix..<length - 1, length: length)
        }
    }
}
