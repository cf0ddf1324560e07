import WaggleBase
import WaggleNetwork

/// How peers are judged: the weights and thresholds of the score. Spec: libp2p gossipsub 1.1, section "Peer Scoring".
///
/// Names follow the specification: P1 … P7, with weights w1 … w7.
public struct ScoreParameters: Sendable {
    /// What holds for one topic.
    public struct Topic: Sendable {
        /// How much the topic counts.
        public var weight = 1.0

        /// P1, time in the mesh: units of `timeInMeshQuantum`, at most `timeInMeshCap`.
        public var timeInMeshWeight = 0.01
        public var timeInMeshQuantum = Duration.seconds(1)
        public var timeInMeshCap = 300.0

        /// P2, messages that the peer was the first to bring.
        public var firstDeliveriesWeight = 1.0
        public var firstDeliveriesDecay = 0.98
        public var firstDeliveriesCap = 100.0

        /// P3, messages brought while in the mesh, first or nearly first, below what is expected. Off while the weight is 0, because the
        /// right threshold depends on how much a topic has to say.
        public var meshDeliveriesWeight = 0.0
        public var meshDeliveriesDecay = 0.97
        public var meshDeliveriesThreshold = 1.0
        public var meshDeliveriesCap = 100.0
        /// How long the peer must be in the mesh before it counts.
        public var meshDeliveriesActivation = Duration.seconds(30)
        /// How long after its acceptance a message still counts as nearly first.
        public var meshDeliveriesWindow = Duration.milliseconds(10)

        /// P3b, what was missing when the peer left the mesh, squared.
        public var meshFailureWeight = 0.0
        public var meshFailureDecay = 0.97

        /// P4, invalid messages, squared.
        public var invalidWeight = -10.0
        public var invalidDecay = 0.9

        public init() {}
    }

    /// For topics that bring none of their own.
    public var topic: Topic? = Topic()
    /// The sum over all topics counts no more than this; 0 for no bound.
    public var topicCap = 200.0

    /// P5, what the application says of a peer.
    public var applicationWeight = 1.0

    /// P6, peers beyond `colocationThreshold` on one IP address (one /64 of IPv6), squared.
    public var colocationWeight = -20.0
    public var colocationThreshold = 10
    /// Addresses on which many peers are no surprise.
    public var colocationExempt: [IPRange] = IPRange.loopback

    /// P7, misbehaviour beyond `behaviourThreshold`, squared.
    public var behaviourWeight = -10.0
    public var behaviourThreshold = 3.0
    public var behaviourDecay = 0.99

    /// Between two decays, and what counts as nothing.
    public var decayInterval = Duration.seconds(1)
    public var decayToZero = 0.01
    /// How long the score of a peer that is gone is kept, when it is not positive.
    public var retention = Duration.seconds(3600)

    /// Below: no gossip to or from the peer.
    public var gossipThreshold = -50.0
    /// Below: our own messages are not sent to the peer.
    public var publishThreshold = -100.0
    /// Below: everything from the peer is ignored.
    public var graylistThreshold = -200.0
    /// Below: peers that the peer tells of are not dialed.
    public var exchangeThreshold = 1.0
    /// When the median of a mesh is below, better peers are grafted.
    public var opportunisticThreshold = 1.0

    public init() {}
}
