import WaggleBase

/// How misbehaviour adds up, fades, and what follows from it.
public struct ReputationLimits: Sendable {
    /// Points from which a peer is left alone for `coolDown`.
    public var cooling = 50.0
    /// Points from which a peer is banned; the points start again from none then.
    public var ban = 100.0
    /// The time after which an offence counts half.
    public var halfLife = Duration.seconds(600)
    /// How long a peer that cools down is refused.
    public var coolDown = Duration.seconds(60)
    /// The first ban. Each further one lasts twice as long as the one before, up to `longestBan`.
    public var firstBan = Duration.seconds(900)
    public var longestBan = Duration.seconds(86_400)
    /// Earlier bans are forgotten after this long without another one.
    public var forgiveness = Duration.seconds(7 * 86_400)
    /// Peers that are remembered, at about 200 bytes each; the least burdened goes first.
    public var peers = 4096
    /// Banned peers that came from one address (IPv4) or one /64 (IPv6) before the address itself is refused. Many households share one behind a
    /// carrier's NAT, so it takes many, and ends as soon as fewer are left.
    public var peersPerGroup = 16
    /// How long changes may wait to be written.
    public var writeDelay = Duration.seconds(5)

    public init() {}
}
