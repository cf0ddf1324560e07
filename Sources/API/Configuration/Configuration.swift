import WaggleBase
import WaggleFormats

/// The configuration of a repository: JSON in Kubo's schema, as far as the features go, plus a section `Waggle`.
///
/// Kept as the JSON that the user wrote, so that members that this version does not know survive. Accessors give the defaults.
package struct Configuration: Hashable, Sendable {
    package var json: JSON

    package init(_ json: JSON) { self.json = json }

    package init(parsing bytes: Bytes, path: String) throws(CommandError) {
        do {
            json = try JSON(parsing: bytes)
        } catch {
            throw CommandError("the configuration \(path) is not JSON (\(error)); correct it with an editor")
        }
        guard json.object != nil else { throw CommandError("the configuration \(path) is not a JSON object; correct it with an editor") }
    }

    /// The text for the file.
    package var text: String { json.text(.indented) + "\n" }

    /// The value at a path such as `Addresses.API`.
    package subscript(path: String) -> JSON? {
        var value: JSON? = json
        for name in path.split(separator: ".") { value = value?[String(name)] }
        return value
    }

    /// Sets the value at a path, making objects on the way.
    package mutating func set(_ path: String, to value: JSON) throws(CommandError) {
        let names = path.split(separator: ".").map(String.init)
        guard !names.isEmpty else { throw CommandError("the configuration key is empty") }
        json = try Self.setting(json, names[...], value, path)
    }

    private static func setting(_ json: JSON, _ names: ArraySlice<String>, _ value: JSON, _ path: String) throws(CommandError) -> JSON {
        guard let name = names.first else { return value }
        guard json.object != nil || json.isNull else {
            throw CommandError("failed to set config value: \(path) leads through a value that is not an object")
        }
        var changed = json
        changed[name] = try setting(json[name] ?? .null, names.dropFirst(), value, path)
        return changed
    }

    // MARK: What the node reads

    /// One string or a list of them.
    private func strings(_ path: String) -> [String] {
        switch self[path] {
        case .string(let value)?: [value]
        case .array(let values)?: values.compactMap(\.string)
        default: []
        }
    }

    package var peerID: String? { self["Identity.PeerID"]?.string }
    package var swarmAddresses: [String] { strings("Addresses.Swarm") }
    package var announceAddresses: [String] { strings("Addresses.Announce") }
    package var appendAnnounceAddresses: [String] { strings("Addresses.AppendAnnounce") }
    package var noAnnounceAddresses: [String] { strings("Addresses.NoAnnounce") }
    package var apiAddresses: [String] { strings("Addresses.API") }
    package var gatewayAddresses: [String] { strings("Addresses.Gateway") }
    package var bootstrap: [String] { strings("Bootstrap") }
    package var rendezvousPoints: [String] { strings("Waggle.Rendezvous.Points") }
    package var rendezvousNamespaces: [String] { strings("Waggle.Rendezvous.Namespaces") }
    package var servesRendezvous: Bool { if case .bool(true)? = self["Waggle.Rendezvous.Server"] { true } else { false } }
    /// `Discovery.MDNS.Enabled`; on where nothing is said.
    package var findsPeersLocally: Bool { if case .bool(false)? = self["Discovery.MDNS.Enabled"] { false } else { true } }
    package var addressFilters: [String] { strings("Swarm.AddrFilters") }
    /// Missing or empty: as Kubo, `auto`.
    package var routingType: String { self["Routing.Type"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? "auto" }
    /// `Waggle.Chain`: a number, or one in a string; nil when there is none.
    package var chain: JSON? { self["Waggle.Chain"].flatMap { $0.isNull || $0.string == "" ? nil : $0 } }
    package var chainChannel: String { self["Waggle.ChainChannel"]?.string ?? "first" }
    /// `Waggle.AlgorithmPolicy`: names of algorithms; nil for the standard list.
    package var algorithmPolicy: [String]? {
        self["Waggle.AlgorithmPolicy"].flatMap { $0.isNull ? nil : strings("Waggle.AlgorithmPolicy") }
    }
    package var securityPolicy: String { self["Waggle.Security"]?.string ?? "prefer" }
    package var postQuantum: String { self["Waggle.PostQuantum"]?.string ?? "waggle" }
    package var lowWater: Int { Int(self["Swarm.ConnMgr.LowWater"]?.integer ?? 160) }
    package var highWater: Int { Int(self["Swarm.ConnMgr.HighWater"]?.integer ?? 256) }

    /// `Waggle.APIHosts`: names by which the API may be asked, besides addresses and `localhost`.
    package var apiHosts: [String] { strings("Waggle.APIHosts") }

    /// `API.Authorizations`; nil where there are none, and the API is for everybody who reaches it.
    package var apiAuthorizations: [APIAuthorization]? {
        guard let entries = self["API.Authorizations"]?.object?.entries, !entries.isEmpty else { return nil }
        return entries.map { entry in
            APIAuthorization(secret: entry.value["AuthSecret"]?.string ?? "", paths: (entry.value["AllowedPaths"]?.array ?? []).compactMap(\.string))
        }
    }

    /// `API.HTTPHeaders`.
    package var apiHeaders: [String: [String]] { fields("API.HTTPHeaders") }

    /// `Gateway.HTTPHeaders`.
    package var gatewayHeaders: [(String, String)] {
        fields("Gateway.HTTPHeaders").sorted { $0.key < $1.key }.flatMap { field in field.value.map { (field.key, $0) } }
    }

    private func fields(_ path: String) -> [String: [String]] {
        var headers: [String: [String]] = [:]
        for member in self[path]?.object?.entries ?? [] {
            headers[member.key] = member.value.array?.compactMap(\.string) ?? member.value.string.map { [$0] } ?? []
        }
        return headers
    }

    /// `Datastore.StorageMax` in bytes.
    package var storageMaximum: UInt64 { self["Datastore.StorageMax"]?.string.flatMap { ByteSize.parse($0) } ?? 10_000_000_000 }

    /// The `Import` section's value for an option of `add`.
    package func importSetting(_ name: String) -> JSON? { self["Import.\(name)"].flatMap { $0 == .null ? nil : $0 } }
}

/// Sizes as people write them: `10GB`, `1.5 MiB`, `200K`.
package enum ByteSize {
    private static let units: [(String, Double)] = [
        ("kib", 1024), ("mib", 1_048_576), ("gib", 1_073_741_824), ("tib", 1_099_511_627_776),
        ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12), ("pb", 1e15), ("k", 1e3), ("m", 1e6), ("g", 1e9), ("t", 1e12), ("b", 1), ("", 1),
    ]

    package static func parse(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        let unit = text.dropFirst(digits.count).filter { $0 != " " }.lowercased()
        guard let value = Double(digits), let factor = units.first(where: { $0.0 == unit })?.1, value * factor < 1.8e19 else { return nil }
        return UInt64(value * factor)
    }

    /// The size with a decimal unit, as Kubo's `--human` shows it: `1.2 MB`.
    package static func human(_ bytes: UInt64) -> String {
        guard bytes >= 10 else { return "\(bytes) B" }
        let names = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        var value = Double(bytes)
        var index = 0
        while value >= 1000, index < names.count - 1 {
            value /= 1000
            index += 1
        }
        let rounded = (value * 10 + 0.5).rounded(.down) / 10
        let text = rounded < 10 && index > 0 ? Decimal.fixed(rounded, places: 1) : Decimal.fixed(rounded, places: 0)
        return "\(text) \(names[index])"
    }
}

/// Numbers as text with a fixed number of places.
package enum Decimal {
    package static func fixed(_ value: Double, places: Int) -> String {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = (abs(value) * scale).rounded(.toNearestOrEven)
        guard scaled.isFinite, scaled < 9e15 else { return "\(value)" }
        let digits = String(Int64(scaled))
        let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
        let sign = value < 0 && scaled > 0 ? "-" : ""
        return places == 0 ? sign + padded : "\(sign)\(padded.dropLast(places)).\(padded.suffix(places))"
    }
}
