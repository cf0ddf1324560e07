import WaggleBase

/// Reads one JSON text (RFC 8259) from memory.
struct JSONParser {
    private let text: UnsafeRawBufferPointer
    private var offset = 0
    private var values = 0

    init(_ text: UnsafeRawBufferPointer) { self.text = text }

    /// The one value of the text.
    mutating func document() throws(JSONError) -> JSON {
        skipSpace()
        let value = try value(depth: 0)
        skipSpace()
        guard offset == text.count else { throw .unexpected(text[offset], at: offset) }
        return value
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSON {
        values += 1
        guard depth <= FormatsLimits.depth, values <= FormatsLimits.values else { throw .limit }
        let byte = try peek()
        switch byte {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: throw .unexpected(byte, at: offset)
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSON {
        offset += 1
        var members = OrderedMap<JSON>()
        skipSpace()
        if try peek() == UInt8(ascii: "}") {
            offset += 1
            return .object(members)
        }
        while true {
            skipSpace()
            guard try peek() == UInt8(ascii: "\"") else { throw .unexpected(text[offset], at: offset) }
            let key = try string()
            skipSpace()
            try expect(UInt8(ascii: ":"))
            skipSpace()
            let value = try value(depth: depth + 1)
            guard members.append(key, value) else { throw .duplicate(key) }
            skipSpace()
            if try peek() == UInt8(ascii: ",") {
                offset += 1
            } else {
                try expect(UInt8(ascii: "}"))
                return .object(members)
            }
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSON {
        offset += 1
        var elements: [JSON] = []
        skipSpace()
        if try peek() == UInt8(ascii: "]") {
            offset += 1
            return .array(elements)
        }
        while true {
            skipSpace()
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if try peek() == UInt8(ascii: ",") {
                offset += 1
            } else {
                try expect(UInt8(ascii: "]"))
                return .array(elements)
            }
        }
    }

    // MARK: Numbers

    private mutating func number() throws(JSONError) -> JSON {
        let start = offset
        if text[offset] == UInt8(ascii: "-") { offset += 1 }
        // A zero stands alone in front of the point.
        if try peek() == UInt8(ascii: "0") { offset += 1 } else { try digits() }
        var isInteger = true
        if offset < text.count, text[offset] == UInt8(ascii: ".") {
            isInteger = false
            offset += 1
            try digits()
        }
        if offset < text.count, text[offset] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            offset += 1
            if [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(try peek()) { offset += 1 }
            try digits()
        }
        guard offset - start <= FormatsLimits.numberCharacters else { throw .number(at: start) }
        let number = String(decoding: text[start..<offset], as: UTF8.self)
        if isInteger {
            guard let value = Int128(number) else { throw .number(at: start) }
            return .integer(value)
        }
        guard let value = Double(number), value.isFinite else { throw .number(at: start) }
        return .number(value)
    }

    /// One digit or more.
    private mutating func digits() throws(JSONError) {
        let digit = try peek()
        guard (0x30...0x39).contains(digit) else { throw .unexpected(digit, at: offset) }
        while offset < text.count, (0x30...0x39).contains(text[offset]) { offset += 1 }
    }

    // MARK: Strings

    private mutating func string() throws(JSONError) -> String {
        let start = offset
        offset += 1
        var end = offset
        while end < text.count, text[end] != UInt8(ascii: "\""), text[end] != UInt8(ascii: "\\"), text[end] >= 0x20 { end += 1 }
        if end < text.count, text[end] == UInt8(ascii: "\"") {
            defer { offset = end + 1 }
            return try validated(text[offset..<end], at: start)
        }
        var bytes = Array(text[offset..<end])
        offset = end
        while true {
            let byte = try peek()
            offset += 1
            switch byte {
            case UInt8(ascii: "\""): return try validated(bytes, at: start)
            case UInt8(ascii: "\\"): try escape(&bytes, at: start)
            case ..<0x20: throw .string(at: start)
            default: bytes.append(byte)
            }
        }
    }

    private func validated(_ bytes: some Sequence<UInt8>, at start: Int) throws(JSONError) -> String {
        guard let string = String(validating: bytes, as: UTF8.self) else { throw .string(at: start) }
        return string
    }

    private mutating func escape(_ bytes: inout [UInt8], at start: Int) throws(JSONError) {
        let byte = try peek()
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "b"): bytes.append(8)
        case UInt8(ascii: "f"): bytes.append(12)
        case UInt8(ascii: "n"): bytes.append(10)
        case UInt8(ascii: "r"): bytes.append(13)
        case UInt8(ascii: "t"): bytes.append(9)
        case UInt8(ascii: "u"):
            var value = try hex4(at: start)
            if (0xd800..<0xdc00).contains(value) {
                guard offset + 1 < text.count, text[offset] == UInt8(ascii: "\\"), text[offset + 1] == UInt8(ascii: "u") else {
                    throw .string(at: start)
                }
                offset += 2
                let low = try hex4(at: start)
                guard (0xdc00..<0xe000).contains(low) else { throw .string(at: start) }
                value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw .string(at: start) }
            bytes.append(contentsOf: String(scalar).utf8)
        default: throw .string(at: start)
        }
    }

    private mutating func hex4(at start: Int) throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = IPAddress.hexValue(try peek()) else { throw .string(at: start) }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }

    // MARK: Bytes

    private func peek() throws(JSONError) -> UInt8 {
        guard offset < text.count else { throw .truncated }
        return text[offset]
    }

    private mutating func expect(_ byte: UInt8) throws(JSONError) {
        guard try peek() == byte else { throw .unexpected(text[offset], at: offset) }
        offset += 1
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let bytes = word.withUTF8Buffer { Array($0) }
        for byte in bytes { try expect(byte) }
        return value
    }

    private mutating func skipSpace() {
        while offset < text.count, [0x20, 0x0a, 0x0d, 0x09].contains(text[offset]) { offset += 1 }
    }
}
