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

/// Cuts a response into records as it comes: one JSON text with a list, or a stream with one on each line.
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
    private var buffer: [UInt8] = []
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
        buffer += bytes.array
        guard isStream else { return [] }
        var found: [DelegatedRecord] = []
        var start = 0
        while let end = buffer[start...].firstIndex(of: UInt8(ascii: "\n")) {
            try take(buffer[start..<end], &found)
            start = end + 1
        }
        buffer.removeFirst(start)
        guard buffer.count <= DelegatedLimits.line else { throw .tooLarge }
        return found
    }

    /// The rest, at the end of the response.
    package mutating func finish() throws(Failure) -> [DelegatedRecord] {
        var found: [DelegatedRecord] = []
        if isStream {
            try take(buffer[...], &found)
        } else {
            let json = try parse(buffer[...])
            for entry in json[member]?.array ?? [] where !isFull { if let record = DelegatedRecord(entry) { keep(record, &found) } }
        }
        buffer = []
        return found
    }

    private mutating func take(_ line: ArraySlice<UInt8>, _ found: inout [DelegatedRecord]) throws(Failure) {
        guard line.count <= DelegatedLimits.line else { throw .tooLarge }
        guard line.contains(where: { $0 != 0x20 && $0 != 0x0d && $0 != 0x09 }), !isFull else { return }
        if let record = DelegatedRecord(try parse(line)) { keep(record, &found) }
    }

    private mutating func keep(_ record: DelegatedRecord, _ found: inout [DelegatedRecord]) {
        records += 1
        found.append(record)
    }

    private func parse(_ text: ArraySlice<UInt8>) throws(Failure) -> JSON {
        do { return try JSON(parsing: Bytes(Array(text))) } catch { throw .malformed("\(error)") }
    }
}
