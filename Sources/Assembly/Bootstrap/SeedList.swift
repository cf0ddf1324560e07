import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Reads lists of peers that others publish. A list names peers only, never other lists.
///
/// JSON: an array, or an object with the array under `seeds`, `peers`, `bootstrap` or `nodes`; each element an entry, or an object with `addr`,
/// `address` or `multiaddr`, or with `id` and `addrs`; names in any case. Text: entries between white space, commas or line ends, `#` begins a
/// comment, and `dnsaddr=`, `seed=`, `addr=` or `peer=` may stand in front. An entry is an address or host:port. What cannot be read is left out.
enum SeedList {
    static func addresses(inDocument bytes: Bytes) -> [Multiaddr] {
        guard bytes.count <= BootstrapLimits.listBytes, let text = bytes.utf8 else { return [] }
        let json: JSON?
        do { json = try JSON(parsing: bytes) } catch { json = nil }
        guard let json else { return unique(text.split(whereSeparator: \.isNewline).flatMap { words(String($0)) }.lazy.compactMap(address)) }
        return unique(elements(json).lazy.flatMap(addresses(in:)))
    }

    static func addresses(inTexts texts: [String]) -> [Multiaddr] {
        unique(texts.prefix(NameLimits.textsPerName).lazy.flatMap(words).compactMap(address))
    }

    private static func unique(_ addresses: some Sequence<Multiaddr>) -> [Multiaddr] {
        var found: [Multiaddr] = []
        var seen: Set<Multiaddr> = []
        for address in addresses where seen.insert(address).inserted {
            found.append(address)
            if found.count == BootstrapLimits.seeds { break }
        }
        return found
    }

    // MARK: JSON

    private static func elements(_ json: JSON) -> [JSON] {
        if let array = json.array { return array }
        return member(json, "seeds", "peers", "bootstrap", "nodes")?.array ?? []
    }

    private static func member(_ json: JSON, _ names: String...) -> JSON? {
        json.object?.entries.first { names.contains($0.key.lowercased()) }?.value
    }

    private static func addresses(in element: JSON) -> [Multiaddr] {
        if let text = element.string { return [address(text)].compactMap { $0 } }
        if let text = member(element, "addr", "address", "multiaddr")?.string { return [address(text)].compactMap { $0 } }
        guard let id = member(element, "id", "peer_id", "peerid", "peer")?.string, let peer = parse(peer: id) else { return [] }
        let texts = (member(element, "addrs", "addresses", "multiaddrs")?.array ?? []).compactMap(\.string)
        return texts.compactMap(address).compactMap { address in
            guard let named = address.peer else { return address.with(peer: peer) }
            return named == peer ? address : nil
        }
    }

    private static func parse(peer text: String) -> PeerID? {
        do { return try PeerID(text) } catch { return nil }
    }

    // MARK: Text

    private static func words(_ line: String) -> [String] {
        let words = line.prefix { $0 != "#" }.split { $0.isWhitespace || $0 == "," || $0 == ";" }
        return words.map { word in
            for prefix in ["dnsaddr=", "seed=", "addr=", "peer="] where word.hasPrefix(prefix) { return String(word.dropFirst(prefix.count)) }
            return String(word)
        }
    }

    private static func address(_ text: String) -> Multiaddr? {
        do {
            guard case .address(let address) = try SeedSource(text) else { return nil }
            return address
        } catch { return nil }
    }
}
