import WaggleBase
import WaggleFormats

/// How a swarm behaves. The defaults suit a server on the Internet.
public struct SwarmConfiguration: Sendable {
    /// Channels to offer and accept, best first.
    public var channels: [any SecureChannel]
    /// Muxers to offer and accept, best first.
    package var muxers: [any Muxer]
    /// Which of the channels may be used.
    public var policy = SecurityPolicy.prefer
    public var limits = SwarmLimits()
    /// Who may connect at the start; `Swarm.gate` changes it later.
    public var gate = ConnectionGate.Rules()
    public var dialing = Dialing()
    public var trimming = Trimming()
    /// A connection without streams is closed after this long, unless its peer is protected; nil for never.
    public var idleTimeout: Duration? = nil
    /// How long inbound streams in flight get on the surplus one of two connections that both sides dialed at once.
    public var duplicateGrace = Duration.seconds(5)
    /// How long closing waits for the connections to end.
    public var closeTimeout = Duration.seconds(5)
    /// Events that wait for one slow reader.
    public var eventBuffer = 1024
    /// What others are told instead of the addresses we listen on; empty for those.
    public var announce: [Multiaddr] = []
    /// What others are told besides.
    public var appendAnnounce: [Multiaddr] = []
    /// IP ranges whose addresses others are not told.
    public var noAnnounce: [IPRange] = []

    package init(channels: [any SecureChannel], muxers: [any Muxer]) {
        self.channels = channels
        self.muxers = muxers
    }

    /// How peers are dialed.
    public struct Dialing: Sendable {
        /// How long one address may take, upgrade included.
        public var addressTimeout = Duration.seconds(15)
        /// How long all addresses of a peer may take together.
        public var attemptTimeout = Duration.seconds(60)
        /// The pause after the first failure of an address or a peer; each further one doubles it.
        public var backOff = Duration.seconds(5)
        public var longestBackOff = Duration.seconds(300)
        /// Addresses and peers remembered as failed.
        public var backOffRows = 1024
        /// Dials that wait for a free place, all peers together.
        public var queue = 1024
        /// Whether dials leave from the listening port, so that peers behind the same NAT see one port.
        public var reusesPort = true

        public init() {}
    }

    /// When connections are closed for being too many.
    public struct Trimming: Sendable {
        /// Trimming begins when there are more; nil for never.
        public var highWater: Int? = 160
        /// Trimming ends when so many are left.
        public var lowWater = 96
        /// Connections younger than this are spared.
        public var grace = Duration.seconds(20)
        /// The least time between two trims.
        public var interval = Duration.seconds(10)

        public init() {}
    }
}
