import WaggleBase
import WaggleFormats

/// How often something may happen: so many times a second on average, and at most `burst` times at once.
public struct Rate: Sendable, Hashable {
    public var perSecond: Double
    public var burst: Int

    public init(perSecond: Double, burst: Int) {
        self.perSecond = perSecond
        self.burst = burst
    }

    /// No bound.
    public static let unlimited = Rate(perSecond: .infinity, burst: .max)

    /// The time that one takes of it.
    fileprivate var interval: Duration { perSecond > 0 ? .nanoseconds(Int64(min(1e9 / perSecond, 9e18))) : .seconds(86_400) }
    /// How far one may be ahead of it.
    fileprivate var tolerance: Duration {
        let ahead = Double(max(burst, 1) - 1) * (perSecond > 0 ? 1e9 / perSecond : 86_400e9)
        return .nanoseconds(Int64(min(ahead, 9e17)))
    }

    /// The same with `cost` times as much for each; a burst of 16, as many as one address may have in flight, stays.
    func scaled(by cost: Double) -> Rate {
        Rate(perSecond: perSecond / cost, burst: burst == .max ? .max : max(min(burst, 16), Int(Double(burst) / cost)))
    }
}

/// Counts inbound handshakes against their rates, for all and for each address, before any cryptography. A value: whoever holds it brings the lock.
///
/// Each rate is kept as one instant, the time at which everything that was let through would have come at the rate exactly (the generic cell
/// rate algorithm). The handshakes of one address do not count for the others when they are refused, so a flood from one address costs a table
/// look-up for each attempt and takes nothing from the rest.
struct HandshakeMeter {
    private let limits: SwarmLimits
    private var all: Instant?
    private var young: [IPRange: Instant] = [:]
    private var old: [IPRange: Instant] = [:]

    init(_ limits: SwarmLimits) { self.limits = limits }

    /// Rows kept; bounded by `SwarmLimits.meteredPrefixes`.
    var rows: Int { young.count + old.count }

    /// Whether one more from `ip` is too many now; nil when it is not. Counts nothing.
    func refusal(from ip: IPAddress?, at now: Instant) -> Refusal? {
        guard let ip, !limits.isUnlimited(ip) else { return nil }
        for (prefix, rate) in metered(ip) where HandshakeMeter.isAhead(young[prefix] ?? old[prefix], rate, now) { return .handshakeRatePerIP }
        return HandshakeMeter.isAhead(all, limits.handshakes, now) ? .handshakeRate : nil
    }

    /// Counts one from `ip`; throws, and counts nothing, when it is too many.
    mutating func count(from ip: IPAddress?, at now: Instant) throws(Refusal) {
        if let refusal = refusal(from: ip, at: now) { throw refusal }
        guard let ip, !limits.isUnlimited(ip) else { return }
        for (prefix, rate) in metered(ip) where rate != .unlimited {
            let next = max(young[prefix] ?? old[prefix] ?? now, now) + rate.interval
            // Of two generations the older one goes when the younger is full: whoever was in it starts afresh.
            if young[prefix] == nil, young.count >= limits.meteredPrefixes / 2 {
                old = young
                young = [:]
            }
            young[prefix] = next
        }
        if limits.handshakes != .unlimited { all = max(all ?? now, now) + limits.handshakes.interval }
    }

    private static func isAhead(_ next: Instant?, _ rate: Rate, _ now: Instant) -> Bool {
        guard let next, next > now, rate != .unlimited else { return false }
        return next - now > rate.tolerance
    }

    private func metered(_ ip: IPAddress) -> [(prefix: IPRange, rate: Rate)] {
        let host: (IPRange, Rate)
        let subnet: (IPRange, Rate)
        switch ip.unmapped {
        case .v4:
            host = (IPRange(ip, prefixLength: 32), limits.handshakesPerIP)
            subnet = (IPRange(ip, prefixLength: 24), limits.handshakesPerSubnet)
        case .v6:
            host = (IPRange(ip, prefixLength: 64), limits.handshakesPerIP)
            subnet = (IPRange(ip, prefixLength: 48), limits.handshakesPerSubnet)
        }
        return ip.isPrivate ? [host] : [host, subnet]
    }
}

extension SwarmLimits {
    /// Whether connections from `ip` are not counted.
    func isUnlimited(_ ip: IPAddress) -> Bool { unlimitedRanges.contains { $0.contains(ip) } }

    /// Rates for a node that signs slowly: `cost` times lower.
    public mutating func slowHandshakes(by cost: Double) {
        handshakes = handshakes.scaled(by: cost)
        handshakesPerSubnet = handshakesPerSubnet.scaled(by: cost)
        handshakesPerIP = handshakesPerIP.scaled(by: cost)
    }
}
