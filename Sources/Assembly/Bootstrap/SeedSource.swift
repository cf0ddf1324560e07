import WaggleBase
import WaggleFormats
import WaggleNetwork

/// An entry of a bootstrap list: a peer, or where to read of peers.
///
/// ```
/// /ip4/203.0.113.10/tcp/4701/p2p/12D3Koo…      a peer
/// /dnsaddr/bootstrap.libp2p.io/p2p/QmNnoo…     a peer whose addresses the domain name system knows
/// 203.0.113.10:6701, seed.example.org:6701     whoever answers there
/// dns://seeds.example.org                      a list in TXT records
/// https://example.org/seeds.json               a list in a document, JSON or lines
/// ```
public enum SeedSource: Hashable, Sendable {
    case address(Multiaddr)
    case texts(name: String)
    case document(url: String)

    /// Why text is no entry: a sentence for people.
    public struct Invalid: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    public init(_ text: String) throws(Invalid) {
        guard text.utf8.count <= BootstrapLimits.entryBytes else { throw Invalid(description: "the entry is longer than \(BootstrapLimits.entryBytes) bytes") }
        if text.hasPrefix("/") {
            let address: Multiaddr
            do { address = try Multiaddr(parsing: text) } catch { throw Invalid(description: "\"\(text)\" is not an address: \(error.sentence)") }
            guard let rest = address.withoutPeerID, rest.components.first(where: { _ in true }) != nil else {
                throw Invalid(description: "\"\(text)\" has no transport in front of the PeerID")
            }
            self = .address(address)
        } else if let name = text.after("dns://") {
            let bare = name.last == "/" ? String(name.dropLast()) : String(name)
            guard SeedSource.isName(bare) else { throw Invalid(description: "\"\(text)\" names no host") }
            self = .texts(name: bare.lowercased())
        } else if let rest = text.after("https://") {
            guard SeedSource.isHost(rest) else { throw Invalid(description: "\"\(text)\" names no host") }
            self = .document(url: text)
        } else if let rest = text.after("http://") {
            // Whoever carries an open document could put in peers of their own.
            guard ["127.0.0.1", "localhost", "[::1]"].contains(where: { rest.hasPrefix($0 + ":") || rest.hasPrefix($0 + "/") }) else {
                throw Invalid(description: "\"\(text)\" is not protected; use https")
            }
            self = .document(url: text)
        } else {
            guard let address = SeedSource.hostAndPort(text) else {
                throw Invalid(description: "\"\(text)\" is no address, host:port, dns:// or https:// source")
            }
            self = .address(address)
        }
    }

    /// `203.0.113.10:6701`, `[2001:db8::1]:6701` or `host.example:6701` as TCP addresses; nil for anything else.
    static func hostAndPort(_ text: String) -> Multiaddr? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
        let host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            return IPAddress(text: String(host.dropFirst().dropLast())).map { Multiaddr(SocketAddress(ip: $0, port: port), over: .tcp) }
        }
        if let ip = IPAddress(text: host) {
            guard case .v4 = ip else { return nil }
            return Multiaddr(SocketAddress(ip: ip, port: port), over: .tcp)
        }
        return isName(host) ? Multiaddr("/dns/\(host)/tcp/\(port)") : nil
    }

    /// Labels of letters, digits, hyphens and underscores with dots between.
    private static func isName(_ text: String) -> Bool {
        text.utf8.count <= 253
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
                (1...63).contains(label.utf8.count)
                    && label.utf8.allSatisfy { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a || $0 >= 0x30 && $0 <= 0x39 || $0 == 0x2d || $0 == 0x5f }
            }
    }

    private static func isHost(_ rest: Substring) -> Bool {
        let host = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        return !host.isEmpty && !host.contains("@") && rest.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
    }
}

extension MultiaddrError {
    /// What is wrong, for people.
    package var sentence: String {
        switch self {
        case .empty: "it does not begin with a slash"
        case .tooLong: "it is too long"
        case .truncated: "it breaks off"
        case .unknownProtocol(let code): "there is no protocol \(code)"
        case .unknownName(let name): "there is no protocol \"\(name)\""
        case .invalidValue(let kind): "the value of /\(kind.name) is missing or wrong"
        case .afterPath: "nothing can stand behind a path"
        }
    }
}

extension String {
    fileprivate func after(_ scheme: String) -> Substring? { lowercased().hasPrefix(scheme) ? dropFirst(scheme.count) : nil }
}
