import WaggleBase

extension IPAddress {
    /// The address written as dotted decimal or as IPv6 text without a zone; nil when it is neither.
    public init?(text: String) {
        guard let address = text.utf8.contains(UInt8(ascii: ":")) ? IPAddress(v6Text: text) : IPAddress(v4Text: text) else { return nil }
        self = address
    }

    /// The canonical text: dotted decimal, or RFC 5952 without the zone (addresses mapped from IPv4 as `::ffff:1.2.3.4`).
    public var text: String {
        switch self {
        case .v4(let value): IPAddress.dotted(value)
        case .v6(0, let low, _) where low >> 32 == 0xffff: "::ffff:" + IPAddress.dotted(UInt32(truncatingIfNeeded: low))
        case .v6(let high, let low, _): IPAddress.colons((0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - $0 % 4 * 16)) })
        }
    }

    /// Four or sixteen bytes in network order.
    public var bytes: Bytes {
        var writer = ByteWriter(capacity: 16)
        switch self {
        case .v4(let value): writer.write(integer: value)
        case .v6(let high, let low, _):
            writer.write(integer: high)
            writer.write(integer: low)
        }
        return writer.finish()
    }

    /// The address in four or sixteen bytes in network order; nil for another number of bytes.
    public init?(bytes: Bytes) {
        guard let address = IPAddress(v4: bytes) ?? IPAddress(v6: bytes) else { return nil }
        self = address
    }

    init?(v4 bytes: Bytes) {
        guard bytes.count == 4 else { return nil }
        self = .v4(bytes.reduce(0) { $0 << 8 | UInt32($1) })
    }

    init?(v6 bytes: Bytes) {
        guard bytes.count == 16 else { return nil }
        self = .v6(high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) }, zone: 0)
    }

    // MARK: IPv4

    private static func dotted(_ value: UInt32) -> String { "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)" }

    /// Four decimal numbers without leading zeros.
    init?(v4Text text: String) {
        guard text.utf8.count <= 15, let value = IPAddress.dotted(Array(text.utf8)[...]) else { return nil }
        self = .v4(value)
    }

    private static func dotted(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.first != UInt8(ascii: "0") || part.count == 1 else { return nil }
            var number: UInt32 = 0
            for digit in part {
                guard (0x30...0x39).contains(digit) else { return nil }
                number = number * 10 + UInt32(digit - 0x30)
            }
            guard number <= 255 else { return nil }
            value = value << 8 | number
        }
        return value
    }

    // MARK: IPv6

    /// RFC 4291, section 2.2: eight groups, one `::` for a run of zeros, the last two groups possibly as IPv4.
    init?(v6Text text: String) {
        guard text.utf8.count <= 45 else { return nil }
        let text = Array(text.utf8)
        var groups: [UInt16] = []
        var gap: Int?
        var index = 0
        let colon = UInt8(ascii: ":")
        if text.starts(with: [colon, colon]) {
            gap = 0
            index = 2
        }
        while index < text.count {
            let end = text[index...].firstIndex(of: colon) ?? text.count
            let part = text[index..<end]
            if end == text.count, part.contains(UInt8(ascii: ".")) {
                guard let value = IPAddress.dotted(part) else { return nil }
                groups += [UInt16(value >> 16), UInt16(value & 0xffff)]
                index = end
                break
            }
            guard let group = IPAddress.group(part) else { return nil }
            groups.append(group)
            index = end
            guard index < text.count else { break }
            index += 1
            // A colon must be followed by another group or make a gap.
            guard index < text.count else { return nil }
            if text[index] == colon {
                guard gap == nil else { return nil }
                gap = groups.count
                index += 1
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        self = .v6(
            high: groups.prefix(4).reduce(0) { $0 << 16 | UInt64($1) }, low: groups.suffix(4).reduce(0) { $0 << 16 | UInt64($1) }, zone: 0)
    }

    private static func group(_ text: ArraySlice<UInt8>) -> UInt16? {
        guard (1...4).contains(text.count) else { return nil }
        var value: UInt16 = 0
        for byte in text {
            guard let digit = hexValue(byte) else { return nil }
            value = value << 4 | UInt16(digit)
        }
        return value
    }

    static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// RFC 5952, section 4: lower case, no leading zeros, the first longest run of two or more zero groups as `::`.
    private static func colons(_ groups: [UInt16]) -> String {
        var longest = 0..<0
        var start = 0
        while start < 8 {
            guard groups[start] == 0 else {
                start += 1
                continue
            }
            let end = groups[start...].firstIndex { $0 != 0 } ?? 8
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = end
        }
        let text = groups.map { String($0, radix: 16) }
        guard !longest.isEmpty else { return text.joined(separator: ":") }
        return text[..<longest.lowerBound].joined(separator: ":") + "::" + text[longest.upperBound...].joined(separator: ":")
    }
}
