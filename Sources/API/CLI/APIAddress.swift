import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Where a daemon's API is: `/ip4/127.0.0.1/tcp/5101`, `/dns4/node.lan/tcp/5101/https`, `http://127.0.0.1:5101` or `127.0.0.1:5101`.
struct APIAddress: Sendable {
    /// Scheme, host and port, without a slash behind.
    let url: String
    /// Nil where the host has a name.
    let socket: SocketAddress?

    init?(_ text: String) {
        if text.hasPrefix("/") {
            guard let address = Multiaddr(text) else { return nil }
            let scheme = address.contains(.https) || address.contains(.tls) ? "https" : "http"
            socket = address.socketAddress(over: .tcp)
            if let socket {
                url = "\(scheme)://\(HostText.of(socket))"
            } else if let host = address.components.first(where: { _ in true }), [.dns, .dns4, .dns6].contains(host.kind), let port = address.port(.tcp), Self.isName(host.text) {
                url = "\(scheme)://\(host.text):\(port)"
            } else {
                return nil
            }
            return
        }
        var rest = Substring(text)
        var scheme = "http"
        for (prefix, name) in [("http://", "http"), ("tcp://", "http"), ("https://", "https")] where rest.hasPrefix(prefix) {
            rest = rest.dropFirst(prefix.count)
            scheme = name
        }
        while rest.last == "/" { rest.removeLast() }
        socket = SocketAddress(hostAndPort: rest)
        if let socket {
            url = "\(scheme)://\(HostText.of(socket))"
        } else {
            // A name alone could be anything: it is an address of an API only behind a scheme.
            guard rest.count < text.count, text.contains("://") else { return nil }
            let parts = rest.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2, Self.isName(parts[0]), parts.count == 1 || UInt16(parts[1]) != nil else { return nil }
            url = "\(scheme)://\(rest)"
        }
    }

    private static func isName(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.unicodeScalars.allSatisfy { $0.isASCII && ($0.properties.isAlphabetic || $0.properties.numericType != nil || "-._".unicodeScalars.contains($0)) }
    }
}

extension SocketAddress {
    /// Reads `127.0.0.1:5101`, `[::1]:5101` and `localhost:5101`.
    init?(hostAndPort text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        let host = text[..<colon] == "localhost" ? "127.0.0.1" : String(text[..<colon].filter { $0 != "[" && $0 != "]" })
        guard let ip = IPAddress(text: host) else { return nil }
        self.init(ip: ip, port: port)
    }

    /// Where a program on this machine reaches who listens here.
    var dialable: SocketAddress {
        guard ip.isUnspecified else { return self }
        if case .v6 = ip { return SocketAddress(ip: .v6(high: 0, low: 1, zone: 0), port: port) }
        return SocketAddress(ip: .loopback, port: port)
    }
}

package enum HostText {
    /// `127.0.0.1:5101`, `[::1]:5101`.
    package static func of(_ address: SocketAddress) -> String {
        if case .v6 = address.ip { return "[\(address.ip.text)]:\(address.port)" }
        return "\(address.ip.text):\(address.port)"
    }
}
