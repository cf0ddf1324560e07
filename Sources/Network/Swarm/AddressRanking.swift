import WaggleBase
import WaggleFormats

/// An address with the time after the start of an attempt at which its turn comes.
struct RankedAddress: Equatable, Sendable {
    var address: Multiaddr
    var delay: Duration
}

/// The order in which the addresses of a peer are dialed, after the idea of happy eyeballs (RFC 8305).
///
/// Loopback comes first, then addresses of the local network, then the Internet, relays last; within a class IPv6 and IPv4 take
/// turns, IPv6 first. Each class starts when it is likely that the one before gives nothing; a failure moves the next one up.
enum AddressRanking {
    /// Between two addresses of this machine or the local network, where an answer takes a millisecond or two.
    static let localStagger = Duration.milliseconds(30)
    /// Between two addresses of the Internet; the delay that RFC 8305 recommends.
    static let publicStagger = Duration.milliseconds(250)
    /// What direct addresses get before a relay is asked.
    static let relayDelay = Duration.milliseconds(500)

    private enum Place: Int, Comparable {
        case loopback, local, global, relayed
        static func < (left: Place, right: Place) -> Bool { left.rawValue < right.rawValue }
    }

    static func rank(_ addresses: [Multiaddr]) -> [RankedAddress] {
        var seen: Set<Multiaddr> = []
        let unique = addresses.filter { seen.insert($0).inserted }
        let places = Dictionary(grouping: unique) { place(of: $0) }
        var ranked: [RankedAddress] = []
        var delay = Duration.zero
        for (place, members) in places.sorted(by: { $0.key < $1.key }) {
            if place == .relayed, !ranked.isEmpty { delay += relayDelay }
            let stagger = place <= .local ? localStagger : publicStagger
            for address in interleave(members) {
                ranked.append(RankedAddress(address: address, delay: delay))
                delay += stagger
            }
        }
        return ranked
    }

    private static func place(of address: Multiaddr) -> Place {
        if address.isRelayed { return .relayed }
        guard let ip = address.ip else { return .global }
        return ip.isLoopback ? .loopback : ip.isPrivate ? .local : .global
    }

    /// IPv6 and the rest in turns, each in its given order.
    private static func interleave(_ addresses: [Multiaddr]) -> [Multiaddr] {
        let newer = addresses.filter { if case .v6 = $0.ip { true } else { false } }
        let older = addresses.filter { if case .v6 = $0.ip { false } else { true } }
        var mixed: [Multiaddr] = []
        for index in 0..<max(newer.count, older.count) {
            if index < newer.count { mixed.append(newer[index]) }
            if index < older.count { mixed.append(older[index]) }
        }
        return mixed
    }
}
