import WaggleBase

extension JSON {
    /// How `encode` lays a value out.
    public struct Style: Sendable {
        /// Line breaks and two blanks an indentation level, a blank behind each colon; otherwise no white space at all.
        public var isIndented: Bool
        /// Members ordered by the bytes of their names instead of as they are.
        public var sortsKeys: Bool

        public init(isIndented: Bool = false, sortsKeys: Bool = false) {
            self.isIndented = isIndented
            self.sortsKeys = sortsKeys
        }

        /// One line, members in their order.
        public static let compact = Style()
        /// For people and configuration files.
        public static let indented = Style(isIndented: true)
    }

    /// The text in UTF-8. Only what RFC 8259 demands is escaped; a number without fraction gets `.0`, so that reading gives it back.
    /// Numbers that are not finite become null.
    public func encode(_ style: Style = .compact) -> Bytes {
        var writer = ByteWriter()
        write(to: &writer, style, level: 0)
        return writer.finish()
    }

    /// The text as a string.
    public func text(_ style: Style = .compact) -> String { String(decoding: encode(style), as: UTF8.self) }

    private func write(to writer: inout ByteWriter, _ style: Style, level: Int) {
        switch self {
        case .null: writer.write(utf8: "null")
        case .bool(let value): writer.write(utf8: value ? "true" : "false")
        case .integer(let value): writer.write(utf8: String(value))
        case .number(let value): writer.write(utf8: value.isFinite ? NumberText.of(value) : "null")
        case .string(let text): JSON.write(text, to: &writer)
        case .array(let values):
            JSON.bracket(UInt8(ascii: "["), UInt8(ascii: "]"), values, &writer, style, level) { value, writer in
                value.write(to: &writer, style, level: level + 1)
            }
        case .object(let members):
            JSON.bracket(UInt8(ascii: "{"), UInt8(ascii: "}"), style.sortsKeys ? members.sorted() : members.entries, &writer, style, level) {
                member, writer in
                JSON.write(member.key, to: &writer)
                writer.write(utf8: style.isIndented ? ": " : ":")
                member.value.write(to: &writer, style, level: level + 1)
            }
        }
    }

    private static func bracket<Item>(
        _ open: UInt8, _ close: UInt8, _ items: [Item], _ writer: inout ByteWriter, _ style: Style, _ level: Int,
        _ body: (Item, inout ByteWriter) -> Void
    ) {
        writer.write(open)
        for (index, item) in items.enumerated() {
            if index > 0 { writer.write(UInt8(ascii: ",")) }
            breakLine(&writer, style, level + 1)
            body(item, &writer)
        }
        if !items.isEmpty { breakLine(&writer, style, level) }
        writer.write(close)
    }

    private static func breakLine(_ writer: inout ByteWriter, _ style: Style, _ level: Int) {
        guard style.isIndented else { return }
        writer.write(UInt8(ascii: "\n"))
        for _ in 0..<level { writer.write(utf8: "  ") }
    }

    private static func write(_ text: String, to writer: inout ByteWriter) {
        writer.write(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { text in
            let bytes = UnsafeRawBufferPointer(text)
            var start = 0
            for (index, byte) in bytes.enumerated() where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                writer.write(UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
                start = index + 1
                escape(byte, to: &writer)
            }
            writer.write(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        }
        writer.write(UInt8(ascii: "\""))
    }

    private static func escape(_ byte: UInt8, to writer: inout ByteWriter) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            writer.write(UInt8(ascii: "\\"))
            writer.write(byte)
        case 8: writer.write(utf8: "\\b")
        case 9: writer.write(utf8: "\\t")
        case 10: writer.write(utf8: "\\n")
        case 12: writer.write(utf8: "\\f")
        case 13: writer.write(utf8: "\\r")
        default: writer.write(utf8: "\\u00" + (byte < 16 ? "0" : "") + String(byte, radix: 16))
        }
    }
}
