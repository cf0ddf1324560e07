import WaggleBase
import WaggleFormats

/// Where others see us: how a node behind a NAT learns its public addresses. A value: the swarm brings the lock.
///
/// An address counts when enough observers in different networks see it while they are connected; one observer's word, or that of many in one network,
/// is worth nothing. Only connections that leave from or come to a port that we listen on count, because only there the address leads back to us.
struct ObservedAddresses {
    /// Observers in different networks that an address needs.
    static let observers = 4
    /// Addresses told for each port that we listen on.
    static let perPort = 3
    /// What counts as one network: the first bits of an IPv4 and of an IPv6 address.
    static let prefix4 = 24
    static let prefix6 = 48

    private struct Observation {
        var address: Multiaddr
        var port: Multiaddr
        var network: IPRange
    }

    private var observations: [ObjectIdentifier: Observation] = [:]
    /// What to tell others, sorted.
    private(set) var active: [Multiaddr] = []

    /// Takes what the peer of a connection says; tells whether `active` changed.
    mutating func note(
        _ observed: Multiaddr, by connection: ObjectIdentifier, local: Multiaddr, remote: Multiaddr, listening: [Multiaddr]
    ) -> Bool {
        guard let seen = observed.ip, let observer = remote.ip, !seen.isPrivate, !observer.isPrivate, !seen.isUnspecified, !seen.isMulticast,
            !remote.isRelayed, !observed.isRelayed, let port = ObservedAddresses.behindIP(local), let mapped = ObservedAddresses.behindIP(observed),
            port.components.map(\.kind) == mapped.components.map(\.kind),
            listening.contains(where: { ObservedAddresses.behindIP($0) == port }), !listening.contains(observed)
        else { return forget(connection) }
        let length = if case .v4 = observer.unmapped { ObservedAddresses.prefix4 } else { ObservedAddresses.prefix6 }
        observations[connection] = Observation(address: observed, port: port, network: IPRange(observer, prefixLength: length))
        return update()
    }

    /// A connection is gone, and its word with it; tells whether `active` changed.
    mutating func forget(_ connection: ObjectIdentifier) -> Bool {
        guard observations.removeValue(forKey: connection) != nil else { return false }
        return update()
    }

    private mutating func update() -> Bool {
        var networks: [Multiaddr: [Multiaddr: Set<IPRange>]] = [:]
        for observation in observations.values { networks[observation.port, default: [:]][observation.address, default: []].insert(observation.network) }
        var found: [Multiaddr] = []
        for addresses in networks.values {
            let trusted = addresses.filter { $0.value.count >= ObservedAddresses.observers }
                .sorted { ($1.value.count, $0.key.description) < ($0.value.count, $1.key.description) }
            found += trusted.prefix(ObservedAddresses.perPort).map(\.key)
        }
        found.sort { $0.description < $1.description }
        defer { active = found }
        return found != active
    }

    /// The transport without the IP address: `/tcp/4701`.
    private static func behindIP(_ address: Multiaddr) -> Multiaddr? {
        guard address.ip != nil else { return nil }
        let rest = address.components.drop { $0.kind == .ip6zone }.dropFirst()
        do { return try Multiaddr(rest) } catch { return nil }
    }
}
