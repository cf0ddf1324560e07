import WaggleBase
import WaggleFormats
import WaggleNetwork

/// A part of the Internet that one party may well own as a whole: a /16 of IPv4 or a /32 of IPv6.
///
/// Sybils are cheap, addresses in many such groups are not, so tables and lookups take only a few peers of each.
package struct IPGroup: Hashable, Sendable {
    private let prefix: UInt64

    /// The group of an address; nil for private ones, which say nothing about who owns them.
    init?(_ address: IPAddress) {
        guard !address.isPrivate, !address.isUnspecified else { return nil }
        switch address.unmapped {
        case .v4(let value): prefix = UInt64(value >> 16)
        case .v6(let high, _, _): prefix = high >> 32 | 1 << 32
        }
    }

    /// The group of the first public address; nil when there is none.
    init?(_ addresses: [Multiaddr]) {
        for address in addresses where !address.contains(.p2pCircuit) {
            if let ip = address.ip, let group = IPGroup(ip) {
                self = group
                return
            }
        }
        return nil
    }
}
