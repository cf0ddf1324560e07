import WaggleBase

/// A name of the domain name system: labels of 1 to 63 bytes, 255 bytes in all. Letters are kept in lower case, because names know no case.
struct DNSName: Hashable, Sendable {
    /// From the host's own label to the top; without the root.
    let labels: [[UInt8]]

    /// From text such as `_p2p._udp.local`; for our own names.
    init(_ text: String) { self.init(labels: text.split(separator: ".").map { Array($0.utf8) }) }

    init(labels: [[UInt8]]) { self.labels = labels.map { $0.map { $0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0 } } }

    /// This name with `label` in front.
    func with(_ label: String) -> DNSName { DNSName(labels: [Array(label.utf8)] + labels) }

    /// Whether this is `other` with exactly one label in front.
    func isChild(of other: DNSName) -> Bool { labels.count == other.labels.count + 1 && Array(labels.dropFirst()) == other.labels }
}

extension DNSName {
    /// Reads the name at `offset` of a message and moves the offset behind it; `budget` is how many labels the rest of the message may have.
    ///
    /// RFC 1035, section 4.1.4: a pointer stands for a name that came before. Each must point in front of the one that led to it, so there is no way
    /// round in a circle.
    init(_ message: RawSpan, _ offset: inout Int, _ budget: inout Int) throws(DNSError) {
        var labels: [[UInt8]] = []
        var length = 1
        var at = offset
        var floor = offset
        var end: Int?
        while true {
            guard at < message.byteCount else { throw .truncated }
            let first = Int(message.unsafeLoad(fromByteOffset: at, as: UInt8.self))
            if first == 0 {
                offset = end ?? at + 1
                self.init(labels: labels)
                return
            }
            if first >= 0xc0 {
                guard at + 1 < message.byteCount else { throw .truncated }
                if end == nil { end = at + 2 }
                let target = (first & 0x3f) << 8 | Int(message.unsafeLoad(fromByteOffset: at + 1, as: UInt8.self))
                guard target < floor else { throw .badName }
                floor = target
                at = target
                continue
            }
            guard first < 0x40 else { throw .badName }
            guard at + 1 + first <= message.byteCount else { throw .truncated }
            length += first + 1
            budget -= 1
            guard length <= DNSLimits.name, budget >= 0 else { throw .badName }
            labels.append((at + 1..<at + 1 + first).map { message.unsafeLoad(fromByteOffset: $0, as: UInt8.self) })
            at += 1 + first
        }
    }
}

/// Why bytes are no message of the domain name system.
enum DNSError: Error, Equatable {
    case truncated
    case badName
    case tooManyRecords
    case badRecord
}
