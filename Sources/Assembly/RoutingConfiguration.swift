import WaggleBase
import WaggleContent
import WaggleNetwork

/// How a node finds content and names beside its hash tables, and what it tells of its own.
public struct RoutingConfiguration: Sendable {
    /// Which questions the hash tables are asked.
    public var usesHashTables = Uses()
    /// Routers elsewhere, asked at the same time.
    public var delegates = CompositeRouting.Routers()
    /// Whether records of names also travel as messages; the node must have publish-subscribe.
    public var namesOverPubSub = false
    /// Providers that are passed over.
    public var ignoredProviders: Set<PeerID> = []
    /// What is announced, and how often; nil for nothing.
    public var announcing: Announcer.Options? = Announcer.Options()
    public var naming = NameSystem.Options()
    public var republishing = NameRepublisher.Options()

    /// Kinds of questions.
    public struct Uses: Hashable, Sendable {
        public var findProviders = true
        public var provide = true
        public var findPeers = true
        public var getValues = true
        public var putValues = true

        public init() {}
    }

    public init() {}
}
