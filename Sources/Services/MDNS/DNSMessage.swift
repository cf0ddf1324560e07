import WaggleBase

/// Bounds of messages of the domain name system.
enum DNSLimits {
    /// Bytes of a name on the wire (RFC 1035, section 2.3.4).
    static let name = 255
    /// Questions of a message; a browser of services asks a handful.
    static let questions = 64
    /// Records of a message; 9,000 bytes, the most that multicast DNS allows, hold a few hundred of the smallest.
    static let records = 256
    /// Labels of all names of a message: pointers make long names of two bytes.
    static let labels = 4096
    /// Bytes of a message (RFC 6762, section 17).
    static let message = 9000
}

/// A message of the domain name system (RFC 1035, section 4), with the two bits that multicast DNS adds (RFC 6762).
///
/// Wire shape: id, flags, four counts (u16 each, network order); questions (name, type, class); records (name, type, class, seconds u32, length u16,
/// data).
struct DNSMessage: Equatable, Sendable {
    struct Question: Hashable, Sendable {
        var name: DNSName
        var type: UInt16
        /// The asker would rather have the answer to itself (the top bit of the class).
        var wantsUnicast = false
    }

    struct Record: Hashable, Sendable {
        var name: DNSName
        /// How long the record may be kept, in seconds; 0 says goodbye.
        var seconds: UInt32
        /// The record belongs to one host alone and takes the place of what was known (the top bit of the class).
        var isUnique = false
        var data: Data
    }

    enum Data: Hashable, Sendable {
        case address(IPAddress)
        case pointer(DNSName)
        case texts([[UInt8]])
        case service(port: UInt16, host: DNSName)
        case other(type: UInt16)
    }

    enum Kind {
        static let a: UInt16 = 1
        static let pointer: UInt16 = 12
        static let text: UInt16 = 16
        static let aaaa: UInt16 = 28
        static let service: UInt16 = 33
        static let any: UInt16 = 255
    }

    var id: UInt16 = 0
    var isResponse = false
    /// Anything but a standard query or its answer, which multicast DNS ignores.
    var isStandard = true
    var questions: [Question] = []
    var answers: [Record] = []
    var additional: [Record] = []

    private static let internet: UInt16 = 1
    private static let topBit: UInt16 = 0x8000
}

extension DNSMessage.Data {
    var type: UInt16 {
        switch self {
        case .address(.v4): DNSMessage.Kind.a
        case .address(.v6): DNSMessage.Kind.aaaa
        case .pointer: DNSMessage.Kind.pointer
        case .texts: DNSMessage.Kind.text
        case .service: DNSMessage.Kind.service
        case .other(let type): type
        }
    }
}

// MARK: Reading

extension DNSMessage {
    init(decoding bytes: RawSpan) throws(DNSError) {
        guard bytes.byteCount >= 12, bytes.byteCount <= DNSLimits.message else { throw .truncated }
        var offset = 0
        var labels = DNSLimits.labels
        id = try Self.word(bytes, &offset)
        let flags = try Self.word(bytes, &offset)
        isResponse = flags & 0x8000 != 0
        isStandard = flags & 0x7800 == 0 && flags & 0x000f == 0
        let counts = try (Self.word(bytes, &offset), Self.word(bytes, &offset), Self.word(bytes, &offset), Self.word(bytes, &offset))
        guard counts.0 <= DNSLimits.questions, Int(counts.1) + Int(counts.2) + Int(counts.3) <= DNSLimits.records else { throw .tooManyRecords }
        for _ in 0..<counts.0 {
            let name = try DNSName(bytes, &offset, &labels)
            let type = try Self.word(bytes, &offset)
            let classAndBit = try Self.word(bytes, &offset)
            guard [Self.internet, 255].contains(classAndBit & ~Self.topBit) else { continue }
            questions.append(Question(name: name, type: type, wantsUnicast: classAndBit & Self.topBit != 0))
        }
        for _ in 0..<counts.1 { if let record = try Self.record(bytes, &offset, &labels) { answers.append(record) } }
        for _ in 0..<counts.2 { _ = try Self.record(bytes, &offset, &labels) }
        for _ in 0..<counts.3 { if let record = try Self.record(bytes, &offset, &labels) { additional.append(record) } }
    }

    private static func word(_ bytes: RawSpan, _ offset: inout Int) throws(DNSError) -> UInt16 {
        guard offset + 2 <= bytes.byteCount else { throw .truncated }
        defer { offset += 2 }
        return UInt16(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    /// Nil for a record of another class than the Internet's.
    private static func record(_ bytes: RawSpan, _ offset: inout Int, _ labels: inout Int) throws(DNSError) -> Record? {
        let name = try DNSName(bytes, &offset, &labels)
        let type = try word(bytes, &offset)
        let classAndBit = try word(bytes, &offset)
        let seconds = UInt32(try word(bytes, &offset)) << 16 | UInt32(try word(bytes, &offset))
        let length = Int(try word(bytes, &offset))
        let end = offset + length
        guard end <= bytes.byteCount else { throw .truncated }
        let data = try data(bytes, type, offset, end, &labels)
        offset = end
        guard classAndBit & ~topBit == internet else { return nil }
        // Large times are taken for none (RFC 2181, section 8).
        return Record(name: name, seconds: seconds > UInt32(Int32.max) ? 0 : seconds, isUnique: classAndBit & topBit != 0, data: data)
    }

    private static func data(_ bytes: RawSpan, _ type: UInt16, _ start: Int, _ end: Int, _ labels: inout Int) throws(DNSError) -> Data {
        var offset = start
        switch type {
        case Kind.a:
            guard end - start == 4 else { throw .badRecord }
            return .address(.v4(UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: start, as: UInt32.self))))
        case Kind.aaaa:
            guard end - start == 16 else { throw .badRecord }
            return .address(
                .v6(
                    high: UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: start, as: UInt64.self)),
                    low: UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: start + 8, as: UInt64.self)), zone: 0))
        case Kind.pointer:
            let name = try DNSName(bytes, &offset, &labels)
            guard offset == end else { throw .badRecord }
            return .pointer(name)
        case Kind.service:
            guard end - start > 6 else { throw .badRecord }
            offset = start + 4
            let port = try word(bytes, &offset)
            let host = try DNSName(bytes, &offset, &labels)
            guard offset == end else { throw .badRecord }
            return .service(port: port, host: host)
        case Kind.text:
            var texts: [[UInt8]] = []
            while offset < end {
                let length = Int(bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
                guard offset + 1 + length <= end else { throw .badRecord }
                texts.append((offset + 1..<offset + 1 + length).map { bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) })
                offset += 1 + length
            }
            return .texts(texts)
        default: return .other(type: type)
        }
    }
}

// MARK: Writing

extension DNSMessage {
    /// The bytes of the message; records of unknown kinds are left out.
    func encoded() -> Bytes {
        var writer = Writer()
        let answers = answers.filter(\.isKnown), additional = additional.filter(\.isKnown)
        for word in [id, isResponse ? 0x8400 : 0, UInt16(questions.count), UInt16(answers.count), 0, UInt16(additional.count)] { writer.word(word) }
        for question in questions {
            writer.name(question.name)
            writer.word(question.type)
            writer.word(Self.internet | (question.wantsUnicast ? Self.topBit : 0))
        }
        for record in answers + additional { writer.record(record, Self.internet | (record.isUnique ? Self.topBit : 0)) }
        return Bytes(writer.bytes)
    }

    private struct Writer {
        var bytes: [UInt8] = []
        // Where a name, or the rest of one, was written before.
        private var places: [[[UInt8]]: Int] = [:]

        mutating func word(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 255)] }

        mutating func name(_ name: DNSName) {
            for index in name.labels.indices {
                let rest = Array(name.labels[index...])
                if let place = places[rest] { return word(0xc000 | UInt16(place)) }
                if bytes.count < 0x4000 { places[rest] = bytes.count }
                bytes.append(UInt8(rest[0].count & 63))
                bytes += rest[0].prefix(63)
            }
            bytes.append(0)
        }

        mutating func record(_ record: Record, _ classAndBit: UInt16) {
            name(record.name)
            word(record.data.type)
            word(classAndBit)
            word(UInt16(record.seconds >> 16))
            word(UInt16(truncatingIfNeeded: record.seconds))
            let start = bytes.count
            word(0)
            switch record.data {
            case .address(.v4(let value)): bytes += (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) }
            case .address(.v6(let high, let low, _)):
                for half in [high, low] { bytes += (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * UInt64($0))) } }
            case .pointer(let target): name(target)
            case .texts(let texts):
                for text in texts.isEmpty ? [[]] : texts {
                    bytes.append(UInt8(min(text.count, 255)))
                    bytes += text.prefix(255)
                }
            case .service(let port, let host):
                for value in [0, 0, port] { word(value) }
                name(host)
            case .other: break
            }
            let length = bytes.count - start - 2
            bytes[start] = UInt8(length >> 8 & 255)
            bytes[start + 1] = UInt8(length & 255)
        }
    }
}

extension DNSMessage.Record {
    fileprivate var isKnown: Bool { if case .other = data { false } else { true } }
}
