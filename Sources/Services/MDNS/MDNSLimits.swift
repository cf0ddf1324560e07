import WaggleBase

/// Bounds and times of discovery in the local network. Times follow RFC 6762; what others on the network can cause is bounded.
public enum MDNSLimits {
    /// Before the first question on an interface, so that machines that start together do not speak together (RFC 6762, section 5.2).
    static let firstQuestion = Duration.milliseconds(20)...Duration.milliseconds(120)
    /// Between the first two questions; doubles each time.
    static let shortestInterval = Duration.seconds(1)
    static let longestInterval = Duration.seconds(300)
    /// Before an answer that others may give too (RFC 6762, section 6).
    static let answerDelay = Duration.milliseconds(20)...Duration.milliseconds(120)
    /// A record is not multicast on an interface more often (RFC 6762, section 6).
    static let answerInterval = Duration.seconds(1)
    /// How long others may keep our records.
    static let recordSeconds: UInt32 = 120
    /// The same for askers that are no multicast resolvers (RFC 6762, section 6.7).
    static let legacySeconds: UInt32 = 10
    /// Answers to single askers: at once, and a second.
    static let replies = 10
    /// Packets that are looked at: at once, and a second.
    static let packets = 200
    /// Peers that are told: at once, and a second; a forged flood gets no further.
    static let discoveries = 32
    /// Peers that are remembered, so that they are not told again and again.
    static let peers = 1024
    /// A peer whose addresses did not change is told again after this.
    static let repeatAfter = Duration.seconds(60)
    /// Addresses taken of one peer.
    static let addressesPerPeer = 16
    /// Peers taken from one packet.
    static let peersPerPacket = 32
    /// Bytes of our answer, so that it fits a packet on any link: 1,280 bytes is the least that IPv6 asks for, headers take 48.
    static let announcedBytes = 1232
    /// Between two looks at the interfaces.
    static let interfaceInterval = Duration.seconds(5)
    /// Between two times that the group is joined anew: what a system forgot without a word comes back.
    static let joinInterval = Duration.seconds(300)
    /// Interfaces that are served; machines with many containers have more.
    static let interfaces = 64
    /// Dials to found peers at once, and those that wait.
    static let dials = 8
    static let waitingDials = 64
    /// How long connecting to a found peer may take.
    static let dialTimeout = Duration.seconds(30)
    /// Datagrams read before others have their turn.
    static let batch = 32
    /// Before a port that is taken is tried again.
    static let retryInterval = Duration.seconds(60)
}
