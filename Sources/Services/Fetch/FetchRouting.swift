import Synchronization
import WaggleBase
import WaggleNetwork

/// Asks connected peers that speak fetch for values: the quick way to records that neighbours hold. It can only read.
public final class FetchRouting: ValueRouting {
    private let fetch: Fetch
    private weak let swarm: Swarm?
    private let validator: any RecordValidator

    /// Values are checked with `validator` before anybody hears of them.
    public init(_ fetch: Fetch, in swarm: Swarm, validator: any RecordValidator) {
        self.fetch = fetch
        self.swarm = swarm
        self.validator = validator
    }

    /// Nobody takes values by this protocol: always throws.
    public func putValue(_ value: Bytes, for key: Bytes) async throws { throw RequestError.notSupported }

    public func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        guard RecordKey.namespace(of: key) == validator.namespace, let swarm else { return }
        let peers = swarm.peers.filter { swarm.addressBook.protocols(of: $0).contains(Fetch.protocolID) }.shuffled(using: swarm.system)
            .prefix(FetchLimits.askedPeers)
        var best: Bytes?
        await withTaskGroup(of: Bytes?.self) { group in
            for peer in peers {
                group.addTask { [fetch, validator, system = swarm.system] in
                    do {
                        guard let value = try await fetch.fetch(key, from: peer, deadline: FetchLimits.searchTimeout) else { return nil }
                        try validator.validate(value, for: key, at: system.wallTime)
                        return value
                    } catch { return nil }  // A peer without a valid value is no help, that is all.
                }
            }
            for await value in group {
                guard let value, best != value else { continue }
                if let best, validator.best(of: [best, value], for: key) == 0 { continue }
                best = value
                if await !found(value) { break }
            }
            group.cancelAll()
        }
        try Task.checkCancellation()
    }
}

extension Array {
    /// In an order that nobody can foresee.
    fileprivate func shuffled(using system: any System) -> [Element] {
        var random = SystemRandom(system: system)
        return shuffled(using: &random)
    }
}

private struct SystemRandom: RandomNumberGenerator {
    let system: any System
    mutating func next() -> UInt64 { system.random() }
}
