import WaggleBase
import WaggleFormats

/// A range of IP addresses: an address and the number of leading bits that count (CIDR).
///
/// An IPv4 address inside IPv6 (`::ffff:a.b.c.d`) is treated as the IPv4 address it is, so that it cannot slip past a rule.
public struct IPRange: Hashable, Sendable {
    /// The lowest address of the range.
    public let base: IPAddress
    /// Leading bits that count: 0–32 for IPv4, 0–128 for IPv6.
    public let prefixLength: Int

    /// The range of the given length around `address`; lengths beyond the address's are cut.
    public init(_ address: IPAddress, prefixLength: Int) {
        switch address.unmapped {
        case .v4(let value):
            let length = min(max(prefixLength, 0), 32)
            base = .v4(length == 0 ? 0 : value & (UInt32.max << UInt32(32 - length)))
            self.prefixLength = length
        case .v6(let high, let low, _):
            let length = min(max(prefixLength, 0), 128)
            let highMask = length == 0 ? 0 : length >= 64 ? UInt64.max : UInt64.max << UInt64(64 - length)
            let lowMask = length <= 64 ? 0 : length == 128 ? UInt64.max : UInt64.max << UInt64(128 - length)
            base = .v6(high: high & highMask, low: low & lowMask, zone: 0)
            self.prefixLength = length
        }
    }

    /// Whether `address` lies in the range.
    public func contains(_ address: IPAddress) -> Bool {
        switch (base, address.unmapped) {
        case (.v4, .v4), (.v6, .v6): IPRange(address, prefixLength: prefixLength).base == base
        default: false
        }
    }

    /// 127.0.0.0/8 and ::1.
    public static let loopback = [
        IPRange(.v4(0x7f00_0000), prefixLength: 8),
        IPRange(.v6(high: 0, low: 1, zone: 0), prefixLength: 128),
    ]
}

extension IPAddress {
    /// The IPv4 address inside an IPv4-mapped IPv6 address, else the address itself without its zone.
    public var unmapped: IPAddress {
        switch self {
        case .v4: self
        case .v6(let high, let low, _):
            high == 0 && low >> 32 == 0xffff ? .v4(UInt32(truncatingIfNeeded: low)) : .v6(high: high, low: low, zone: 0)
        }
    }

    /// Whether the address is link-local (169.254.0.0/16, fe80::/10).
    public var isLinkLocal: Bool {
        switch unmapped {
        case .v4(let value): value >> 16 == 0xa9fe
        case .v6(let high, _, _): high >> 54 == 0x3fa
        }
    }

    /// Whether the address is for private use and not routed in the Internet (RFC 1918, RFC 6598, fc00::/7, link-local, loopback).
    public var isPrivate: Bool {
        if isLoopback || isLinkLocal { return true }
        switch unmapped {
        case .v4(let value):
            return value >> 24 == 10 || value >> 20 == 0xac1 || value >> 16 == 0xc0a8 || value >> 22 == 0x191 || value >> 24 == 127
        case .v6(let high, _, _):
            return high >> 57 == 0x7e
        }
    }
}
