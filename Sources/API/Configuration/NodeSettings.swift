import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleStack

/// The environment variables that override the configuration of a daemon.
package struct DaemonOverrides: Sendable {
    private let environment: [String: String]

    package init(_ environment: [String: String]) { self.environment = environment }

    /// `API_ADDR` and `GATEWAY_ADDR` are `host:port` or addresses, `P2P_ADDR` an address, `BOOTSTRAP` a list with commas or spaces (empty for none) of
    /// what `bootstrap add` takes. Without it, `ANIMICA_P2P_SEEDS` is such a list, too.
    package func apply(to configuration: Configuration) throws(CommandError) -> Configuration {
        var configuration = configuration
        for (name, key) in [("API_ADDR", "Addresses.API"), ("GATEWAY_ADDR", "Addresses.Gateway")] {
            guard let text = environment[name], !text.isEmpty else { continue }
            guard let address = APIAddress(text)?.socket else { throw CommandError("\(name)=\(text) is not host:port") }
            try configuration.set(key, to: .string(Multiaddr(address, over: .tcp).description))
        }
        if let text = environment["P2P_ADDR"], !text.isEmpty { try configuration.set("Addresses.Swarm", to: .strings(list(text))) }
        if let text = environment["BOOTSTRAP"] ?? environment["ANIMICA_P2P_SEEDS"] { try configuration.set("Bootstrap", to: .strings(list(text))) }
        return configuration
    }

    private func list(_ text: String) -> [String] { text.split { $0 == "," || $0.isWhitespace }.map(String.init) }
}

/// The library's settings for what the configuration says.
package enum NodeSettings {
    /// `Swarm.ConnMgr.HighWater` beyond which the limits do not follow.
    private static let largestHighWater = 100_000

    package static func make(_ configuration: Configuration) throws(CommandError) -> NodeConfiguration {
        var settings = NodeConfiguration()
        let listen = try addresses(configuration.swarmAddresses, "Addresses.Swarm")
        if let named = listen.first(where: \.hasName) {
            throw CommandError("Addresses.Swarm: \(named) has a host name; a node listens on IP addresses, such as /ip4/0.0.0.0/tcp/\(NodeConfiguration.defaultPort)")
        }
        settings.listen = listen.filter { Catalog.transports.contains(where: canListen($0)) }
        let hidden = try addresses(configuration.noAnnounceAddresses.filter { !$0.contains("/ipcidr/") }, "Addresses.NoAnnounce")
        settings.announce = try addresses(configuration.announceAddresses, "Addresses.Announce").filter { !hidden.contains($0) }
        settings.appendAnnounce = try addresses(configuration.appendAnnounceAddresses, "Addresses.AppendAnnounce").filter { !hidden.contains($0) }
        for source in try seeds(configuration.bootstrap) {
            if case .address(let address) = source { settings.bootstrap.append(address) } else { settings.seeds.append(source) }
        }
        guard let policy = SecurityPolicy(rawValue: configuration.securityPolicy) else {
            let known = SecurityPolicy.allCases.map(\.rawValue).joined(separator: ", ")
            throw CommandError("Waggle.Security: \(configuration.securityPolicy) is not one of \(known)")
        }
        settings.policy = policy
        settings.multicastDNS = configuration.findsPeersLocally
        settings.rendezvous.isServer = configuration.servesRendezvous
        settings.rendezvous.namespaces = configuration.rendezvousNamespaces
        settings.rendezvous.points = try addresses(configuration.rendezvousPoints, "Waggle.Rendezvous.Points")
        if let unnamed = settings.rendezvous.points.first(where: { $0.peer == nil }) {
            throw CommandError("Waggle.Rendezvous.Points: \(unnamed) does not end in /p2p/<peer id>")
        }
        guard let implementation = PostQuantum.Implementation(rawValue: configuration.postQuantum) else {
            let known = PostQuantum.Implementation.allCases.map(\.rawValue).joined(separator: ", ")
            throw CommandError("Waggle.PostQuantum: \(configuration.postQuantum) is not one of \(known)")
        }
        if implementation == .openssl, !PostQuantum.libcryptoHas(.mlKEM768) {
            throw CommandError("Waggle.PostQuantum: openssl needs OpenSSL 3.5 or newer; this system has \(PostQuantum.libcryptoVersion)")
        }
        settings.postQuantum = implementation
        guard let routing = RoutingType(rawValue: configuration.routingType) else {
            let known = RoutingType.allCases.map(\.rawValue).joined(separator: ", ")
            throw CommandError("Routing.Type: \(configuration.routingType) is not one of \(known)")
        }
        settings.routing = routing
        settings.chain = try chain(configuration)
        settings.trimming.lowWater = configuration.lowWater
        let highWater = max(configuration.highWater, configuration.lowWater)
        settings.trimming.highWater = highWater
        // Who wants to keep more peers than usual gets the places for them.
        settings.limits.inboundConnections = max(settings.limits.inboundConnections, min(highWater, largestHighWater) + 128)
        settings.limits.connections = max(settings.limits.connections, min(highWater, largestHighWater) + 256)
        for text in configuration.addressFilters { settings.gate.deniedRanges.insert(try range(text, "Swarm.AddrFilters")) }
        for text in configuration.noAnnounceAddresses where text.contains("/ipcidr/") {
            settings.noAnnounce.append(try range(text, "Addresses.NoAnnounce"))
        }
        return settings
    }

    /// The chain network that the node belongs to, if the configuration names one.
    private static func chain(_ configuration: Configuration) throws(CommandError) -> ChainConfiguration? {
        guard let value = configuration.chain else { return nil }
        var number: UInt64?
        if case .integer(let integer) = value { number = UInt64(exactly: integer) } else { number = value.string.flatMap { UInt64($0) } }
        guard let number, number > 0 else { throw CommandError("Waggle.Chain: \(value.text()) is not the number of a chain, 1 or more") }
        guard let place = ChannelCatalog.ChainPlace(rawValue: configuration.chainChannel) else {
            let known = ChannelCatalog.ChainPlace.allCases.map(\.rawValue).joined(separator: ", ")
            throw CommandError("Waggle.ChainChannel: \(configuration.chainChannel) is not one of \(known)")
        }
        if place == .only, configuration.securityPolicy == SecurityPolicy.classical.rawValue {
            throw CommandError("Waggle.ChainChannel: only leaves no channel where Waggle.Security is classical")
        }
        do {
            let policy = try configuration.algorithmPolicy.map { names throws(AlgorithmPolicy.Invalid) in try AlgorithmPolicy(names: names) }
            return ChainConfiguration(.init(chain: number, policy: policy ?? .standard), place: place)
        } catch {
            throw CommandError("Waggle.AlgorithmPolicy: \(error)")
        }
    }

    /// Program and version as identify tells them. `Version.AgentSuffix` of the configuration wins over `suffix`.
    package static func agentVersion(_ configuration: Configuration, suffix: String?) -> String {
        let own = NodeConfiguration().agentVersion
        let configured = configuration["Version.AgentSuffix"]?.string ?? ""
        // What a user adds is shown to others: plain text of bounded length.
        let text = (configured.isEmpty ? suffix ?? "" : configured).unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }.prefix(128)
        return text.isEmpty ? own : "\(own)/\(String(String.UnicodeScalarView(text)))"
    }

    /// Addresses of transports that this version does not have are left out, so that a configuration shared with Kubo works.
    private static func canListen(_ address: Multiaddr) -> (any Transport) -> Bool { { $0.canListen(address) } }

    /// The entries of a bootstrap list; "auto" stands for the public one.
    package static func seeds(_ texts: [String]) throws(CommandError) -> [SeedSource] {
        var seeds: [SeedSource] = []
        for text in ConfigurationDefaults.expanded(texts) {
            do { seeds.append(try SeedSource(text)) } catch { throw CommandError("Bootstrap: \(error)") }
        }
        return seeds
    }

    private static func addresses(_ texts: [String], _ key: String) throws(CommandError) -> [Multiaddr] {
        var all: [Multiaddr] = []
        for text in texts {
            do { all.append(try Multiaddr(parsing: text)) } catch { throw CommandError("\(key): \"\(text)\" is not an address: \(error.sentence)") }
        }
        return all
    }

    /// `/ip4/10.0.0.0/ipcidr/8`.
    static func range(_ text: String, _ key: String) throws(CommandError) -> IPRange {
        guard let address = Multiaddr(text), let ip = address.ip, let last = address.lastComponent, last.kind == .ipcidr, let length = Int(last.text) else {
            throw CommandError("\(key): \"\(text)\" is not a range such as /ip4/10.0.0.0/ipcidr/8")
        }
        let (bits, mapped) = if case .v4 = ip { (32, 0) } else if case .v4 = ip.unmapped { (128, 96) } else { (128, 0) }
        guard (mapped...bits).contains(length) else { throw CommandError("\(key): \"\(text)\" has more bits than its address, or covers addresses of both families") }
        return IPRange(ip, prefixLength: length - mapped)
    }
}
