import WaggleBase

/// Reads the TXT records of an answer of the domain name system (RFC 1035, section 4), whose header c-ares has checked. c-ares' own reader leaves
/// out how long they may be kept.
enum TextReply {
    private static let text: UInt16 = 16
    private static let alias: UInt16 = 5

    /// The texts; nil where the message breaks off.
    static func texts(_ message: UnsafeRawBufferPointer) -> [NameRecord<String>]? {
        guard message.count >= 12 else { return nil }
        var reader = Reader(bytes: message, at: 4)
        guard let questions = reader.word(), let answers = reader.word() else { return nil }
        reader.at = 12
        for _ in 0..<questions { guard reader.skipName(), reader.skip(4) else { return nil } }
        var found: [(text: String, seconds: UInt32)] = []
        var shortest = UInt32.max
        for _ in 0..<answers {
            guard reader.skipName(), let type = reader.word(), reader.skip(2), let high = reader.word(), let low = reader.word(),
                let length = reader.word(), let data = reader.take(Int(length))
            else { return nil }
            let seconds = min(UInt32(high) << 16 | UInt32(low), UInt32(Int32.max))
            switch type {
            case alias: shortest = min(shortest, seconds)
            case text:
                guard let string = joined(data) else { return nil }
                found.append((string, seconds))
            default: continue
            }
        }
        return found.map { NameRecord($0.text, timeToLive: .seconds(Int64(min(shortest, $0.seconds)))) }
    }

    /// The strings of one record, one after the other.
    private static func joined(_ data: UnsafeRawBufferPointer) -> String? {
        var bytes: [UInt8] = []
        var index = 0
        while index < data.count {
            let length = Int(data[index])
            guard index + 1 + length <= data.count else { return nil }
            bytes += data[index + 1..<index + 1 + length]
            index += 1 + length
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private struct Reader {
        let bytes: UnsafeRawBufferPointer
        var at: Int

        mutating func skip(_ count: Int) -> Bool {
            guard at + count <= bytes.count else { return false }
            at += count
            return true
        }

        mutating func word() -> UInt16? {
            guard at + 2 <= bytes.count else { return nil }
            defer { at += 2 }
            return UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1])
        }

        mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
            guard at + count <= bytes.count else { return nil }
            defer { at += count }
            return UnsafeRawBufferPointer(rebasing: bytes[at..<at + count])
        }

        /// Labels up to the root or to a pointer, which ends a name.
        mutating func skipName() -> Bool {
            while at < bytes.count {
                let length = bytes[at]
                if length == 0 { return skip(1) }
                if length >= 0xc0 { return skip(2) }
                guard length < 0x40, skip(1 + Int(length)) else { return false }
            }
            return false
        }
    }
}
