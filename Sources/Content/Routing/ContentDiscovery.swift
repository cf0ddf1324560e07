import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Finds who has content, and whom to ask first: routing and what was learned about peers in one place.
/// ```swift
/// let best = try await discovery.optimalProviders(of: cid, size: 10 << 20)
/// ```
public struct ContentDiscovery: Sendable {
    private let routing: any ContentRouting
    public let statistics: ProviderStatistics
    private let home: any EventLoop

    public init(routing: any ContentRouting, statistics: ProviderStatistics, on home: any EventLoop) {
        self.routing = routing
        self.statistics = statistics
        self.home = home
    }

    /// The first `count` providers that are found; `found` hears of each at once. Ends after `limit` with those it has.
    public func findProviders(
        of cid: CID, count: Int = 5, limit: Duration? = .seconds(60), _ found: @escaping @Sendable (ContentProvider) async -> Void = { _ in }
    ) async throws -> [ContentProvider] {
        guard count > 0 else { return [] }
        let all = Mutex<[ContentProvider]>([])
        try await TimeLimit.run(limit, on: home) { [routing] in
            try await routing.findProviders(of: cid) { provider in
                let (isNew, goesOn) = all.withLock { all -> (Bool, Bool) in
                    guard all.count < count, !all.contains(where: { $0.peer == provider.peer }) else { return (false, all.count < count) }
                    all.append(provider)
                    return (true, all.count < count)
                }
                if isNew { await found(provider) }
                return goesOn
            }
        }
        return all.withLock { $0 }
    }

    /// Up to `count` providers, best first: preferred ones, then those that will probably have sent `size` bytes first. Looks at four times as
    /// many as are wanted, so that there is a choice.
    public func optimalProviders(
        of cid: CID, size: Int? = nil, preferring preferred: Set<PeerID> = [], count: Int = 3, limit: Duration? = .seconds(60)
    ) async throws -> [ContentProvider] {
        let found = try await findProviders(of: cid, count: max(1, count) * 4, limit: limit)
        return Array(statistics.ordered(found, bytes: size ?? ProviderLimits.typicalContent, preferring: preferred).prefix(count))
    }

    /// Notes how a provider served; see `ProviderStatistics.update`.
    public func update(_ peer: PeerID, success: Bool, latency: Duration? = nil, bytes: Int = 0) {
        statistics.update(peer, success: success, latency: latency, bytes: bytes)
    }

    /// Tells the network that this node has the block.
    public func announce(_ cid: CID) async throws { try await routing.provide(cid) }
}
