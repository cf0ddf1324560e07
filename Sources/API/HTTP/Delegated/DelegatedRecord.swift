import WaggleBase
import WaggleFormats
import WaggleNetwork

/// A peer as delegated routing describes it.
///
/// JSON: `{"Schema": "peer", "ID": …, "Addrs": […], "Protocols": […]}`; other members are ignored, other schemas passed over, but for the older
/// `bitswap` with one `Protocol`. Spec: specs.ipfs.tech/routing/http-routing-v1, "Peer Schema".
package struct DelegatedRecord: Hashable, Sendable {
    package var peer: PeerID
    package var addresses: [Multiaddr]
    package var protocols: [String]

    package init(peer: PeerID, addresses: [Multiaddr], protocols: [String] = []) {
        self.peer = peer
        self.addresses = addresses
        self.protocols = protocols
    }

    /// nil for what is no peer. Addresses that cannot be read are left out.
    package init?(_ json: JSON) {
        guard let schema = json["Schema"]?.string, schema == "peer" || schema == "bitswap", let text = json["ID"]?.string else { return nil }
        do { peer = try PeerID(text) } catch { return nil }
        addresses = (json["Addrs"]?.array ?? []).prefix(DelegatedLimits.addresses).compactMap { $0.string.flatMap { Multiaddr($0) } }
        protocols = (json["Protocols"]?.array ?? []).prefix(DelegatedLimits.protocols).compactMap(\.string)
        if schema == "bitswap", let name = json["Protocol"]?.string { protocols = [name] }
    }

    package var json: JSON {
        var json: JSON = ["Addrs": .strings(addresses.map(\.description)), "ID": .string(peer.description)]
        if !protocols.isEmpty { json["Protocols"] = .strings(protocols) }
        json["Schema"] = "peer"
        return json
    }
}

/// What of a record is wanted: `filter-addrs` and `filter-protocols` (specs.ipfs.tech/ipips/ipip-0484).
package struct DelegatedFilter: Hashable, Sendable {
    /// Names of protocols in addresses; `!` in front excludes, `unknown` lets peers without addresses pass. Empty for all.
    package var addresses: [String] = []
    /// Transfer protocols; `unknown` lets peers pass that name none. Empty for all.
    package var protocols: [String] = []

    package init() {}

    package init(_ head: HTTPRequestHead) {
        addresses = DelegatedFilter.list(head.query.first { $0.name == "filter-addrs" }?.value)
        protocols = DelegatedFilter.list(head.query.first { $0.name == "filter-protocols" }?.value)
    }

    private static func list(_ text: String?) -> [String] { (text ?? "").lowercased().split(separator: ",").prefix(64).map(String.init) }

    /// The record with the addresses that are wanted; nil when nothing of it is.
    package func apply(_ record: DelegatedRecord) -> DelegatedRecord? {
        guard allows(record.protocols) else { return nil }
        guard !addresses.isEmpty else { return record }
        if record.addresses.isEmpty { return addresses.contains("unknown") ? record : nil }
        var filtered = record
        filtered.addresses = record.addresses.filter(allows)
        return filtered.addresses.isEmpty ? nil : filtered
    }

    private func allows(_ names: [String]) -> Bool {
        if protocols.isEmpty { return true }
        if names.isEmpty { return protocols.contains("unknown") }
        return names.contains { protocols.contains($0.lowercased()) }
    }

    private func allows(_ address: Multiaddr) -> Bool {
        let names = Set(address.components.map { $0.kind.name })
        let excluded = addresses.filter { $0.hasPrefix("!") }.map { String($0.dropFirst()) }
        if excluded.contains(where: names.contains) { return false }
        let wanted = addresses.filter { !$0.hasPrefix("!") && $0 != "unknown" }
        return wanted.isEmpty ? !excluded.isEmpty : wanted.contains(where: names.contains)
    }
}

/// Cuts a response into records as it comes: one JSON text with a list, or a stream of objects, one on each line as a rule.
package struct DelegatedReader: Sendable {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case tooLarge
        case malformed(String)

        package var description: String {
            switch self {
            case .tooLarge: "the router's answer is too large"
            case .malformed(let detail): "the router's answer cannot be read: \(detail)"
            }
        }
    }

    private let isStream: Bool
    /// The member that holds the list: `Providers`, `Peers`.
    private let member: String
    /// What came of the object under way, or of the whole text.
    private var buffer: [UInt8] = []
    private var nesting = JSONNesting()
    private var total = 0
    private var records = 0

    package init(isStream: Bool, member: String) {
        self.isStream = isStream
        self.member = member
    }

    /// Whether more would be taken.
    package var isFull: Bool { records >= DelegatedLimits.records }

    /// The records that became whole with these bytes. A stream that is too long ends; other answers of that length are refused.
    package mutating func feed(_ bytes: Bytes) throws(Failure) -> [DelegatedRecord] {
        total += bytes.count
        guard total <= DelegatedLimits.response.bytes else {
            guard isStream else { throw .tooLarge }
            records = DelegatedLimits.records
            return []
        }
        guard isStream else {
            buffer += bytes.array
            return []
        }
        var found: [DelegatedRecord] = []
        for byte in bytes.array where !isFull {
            // Objects may also follow each other without a line's end, as Go's readers allow.
            if buffer.isEmpty, byte == 0x20 || (0x09...0x0d).contains(byte) { continue }
            buffer.append(byte)
            guard buffer.count <= DelegatedLimits.line else { throw .tooLarge }
            guard nesting.isComplete(after: byte) else { continue }
            if let record = DelegatedRecord(try parse(buffer)) { keep(record, &found) }
            buffer.removeAll(keepingCapacity: true)
        }
        return found
    }

    /// The rest, at the end of the response.
    package mutating func finish() throws(Failure) -> [DelegatedRecord] {
        var found: [DelegatedRecord] = []
        if isStream {
            if !buffer.isEmpty, !isFull, let record = DelegatedRecord(try parse(buffer)) { keep(record, &found) }
        } else {
            let json = try parse(buffer)
            for entry in json[member]?.array ?? [] where !isFull { if let record = DelegatedRecord(entry) { keep(record, &found) } }
        }
        buffer = []
        return found
    }

    private mutating func keep(_ record: DelegatedRecord, _ found: inout [DelegatedRecord]) {
        records += 1
        found.append(record)
    }

    private func parse(_ text: [UInt8]) throws(Failure) -> JSON {
        do { return try JSON(parsing: Bytes(text)) } catch { throw .malformed("\(error)") }
    }
}

/// Finds where a JSON object ends, byte by byte; whether it is one is for the parser to say. What is no object ends with its line.
private struct JSONNesting: Sendable {
    private var depth = 0
    private var isString = false
    private var isEscaped = false

    mutating func isComplete(after byte: UInt8) -> Bool {
        if isString {
            if isEscaped { isEscaped = false } else if byte == UInt8(ascii: "\\") { isEscaped = true } else if byte == UInt8(ascii: "\"") { isString = false }
            return false
        }
        switch byte {
        case UInt8(ascii: "\""): isString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            depth = max(0, depth - 1)
            return depth == 0
        case UInt8(ascii: "\n"): return depth == 0
        default: break
        }
        return false
    }
}
