import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The state of a hash table at one moment, for people to look at.
public struct KademliaSnapshot: Sendable {
    /// The peers whose place shares `prefix` leading bits with ours.
    public struct Bucket: Sendable {
        public let prefix: Int
        public let peers: [Peer]
        /// Time since the bucket was searched through; nil before the first time.
        public let refreshed: Duration?
    }

    public struct Peer: Sendable {
        public let contact: KademliaContact
        public let isConnected: Bool
        /// Time since it came into the table.
        public let age: Duration
        /// Time since it last answered, or identified itself.
        public let lastAnswer: Duration
    }

    public var buckets: [Bucket] = []
    public var isServer = false
    /// How many servers the network seems to have; nil while there is no telling.
    public var networkSize: Double?
    public var providerRecords = 0
    public var values = 0
    public var peers: Int { buckets.reduce(0) { $0 + $1.peers.count } }

    init() {}

    init(_ core: KademliaCore) {
        let now = core.home.now
        isServer = core.isServer
        networkSize = core.networkSize.estimate
        (buckets, providerRecords, values) = core.responder.state.withLock { state in
            let buckets = state.table.buckets.enumerated().map { prefix, bucket in
                let peers = bucket.rows.map {
                    Peer(contact: $0.contact, isConnected: $0.isConnected, age: now - $0.added, lastAnswer: now - $0.lastAnswer)
                }
                return Bucket(prefix: prefix, peers: peers, refreshed: bucket.refreshed.map { now - $0 })
            }
            return (buckets, state.providers.count, state.values.count)
        }
    }
}
