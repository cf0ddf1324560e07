import WaggleBase

/// Keys in text (RFC 7468): base64 in lines of 64 characters between `-----BEGIN label-----` and `-----END label-----`.
public enum PEM {
    /// The label of PKCS#8.
    public static let privateKey = "PRIVATE KEY"

    /// The first block of a text, which may have remarks before it and anything behind it.
    public struct Block: Sendable {
        public let label: String
        public let contents: SecureBytes
    }

    private static let lineLength = 64

    /// A file with one block.
    public static func encode(_ label: String, _ contents: SecureBytes) -> SecureBytes {
        let head = Array("-----BEGIN \(label)-----\n".utf8), foot = Array("-----END \(label)-----\n".utf8)
        let text = SecretBase64.encode(contents)
        let length = text.count
        let lines = (length + lineLength - 1) / lineLength
        return SecureBytes(count: head.count + length + lines + foot.count) { output in
            output.copyBytes(from: head)
            var next = head.count
            text.withUnsafeBytes { text in
                for start in stride(from: 0, to: length, by: lineLength) {
                    let line = UnsafeRawBufferPointer(rebasing: text[start..<min(start + lineLength, length)])
                    UnsafeMutableRawBufferPointer(rebasing: output[next...]).copyMemory(from: line)
                    output[next + line.count] = UInt8(ascii: "\n")
                    next += line.count + 1
                }
            }
            UnsafeMutableRawBufferPointer(rebasing: output[next...]).copyBytes(from: foot)
        }
    }

    /// Finds the first block; nil when there is none that is whole and valid, or the text is over `KeyLimits.pemLength`.
    public static func decode(_ text: RawSpan) -> Block? {
        guard text.byteCount <= KeyLimits.pemLength else { return nil }
        return text.withUnsafeBytes { text in
            var label: String?
            var body: [Range<Int>] = []
            for line in lines(text) {
                let bytes = UnsafeRawBufferPointer(rebasing: text[line])
                if let label {
                    if let end = boundary(bytes, "-----END ") { return end == label ? block(label, body, text) : nil }
                    body.append(line)
                } else {
                    label = boundary(bytes, "-----BEGIN ")
                }
            }
            return nil
        }
    }

    /// The lines without their ends and the blanks around them.
    private static func lines(_ text: UnsafeRawBufferPointer) -> [Range<Int>] {
        var lines: [Range<Int>] = []
        var start = 0
        for index in 0...text.count where index == text.count || text[index] == UInt8(ascii: "\n") {
            var (lower, upper) = (start, index)
            while lower < upper, text[lower] <= 0x20 { lower += 1 }
            while lower < upper, text[upper - 1] <= 0x20 { upper -= 1 }
            lines.append(lower..<upper)
            start = index + 1
        }
        return lines
    }

    /// The label in a line that opens or closes a block.
    private static func boundary(_ line: UnsafeRawBufferPointer, _ prefix: String) -> String? {
        let head = Array(prefix.utf8), tail = Array("-----".utf8)
        guard line.count > head.count + tail.count, line.starts(with: head), line.suffix(tail.count).elementsEqual(tail) else { return nil }
        return String(validating: line[head.count..<line.count - tail.count], as: UTF8.self)
    }

    private static func block(_ label: String, _ body: [Range<Int>], _ text: UnsafeRawBufferPointer) -> Block? {
        let length = body.reduce(0) { $0 + $1.count }
        guard length > 0, length.isMultiple(of: 4) else { return nil }
        let joined = SecureBytes(count: length) { output in
            var next = 0
            for line in body {
                UnsafeMutableRawBufferPointer(rebasing: output[next...]).copyMemory(from: UnsafeRawBufferPointer(rebasing: text[line]))
                next += line.count
            }
        }
        return joined.withUnsafeBytes(SecretBase64.decode).map { Block(label: label, contents: $0) }
    }
}
