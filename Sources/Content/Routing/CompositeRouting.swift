import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Why routing has no answer.
public enum RoutingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody is there to ask.
    case noRouter
    /// This router does not do that.
    case unsupported
    case notFound

    public var description: String {
        switch self {
        case .noRouter: "no router is configured for this"
        case .unsupported: "the routing system does not support this"
        case .notFound: "routing: not found"
        }
    }
}

/// Several routers as one: all are asked at the same time, and what one has not, another may have.
///
/// A router that fails is ignored while another answers; the call fails when all have.
public final class CompositeRouting: ContentRouting, PeerRouting, ValueRouting {
    /// Who is asked for what, each list in order of trust.
    public struct Routers: Sendable {
        public var findProviders: [any ContentRouting] = []
        public var provide: [any ContentRouting] = []
        public var findPeers: [any PeerRouting] = []
        public var getValues: [any ValueRouting] = []
        public var putValues: [any ValueRouting] = []
        /// Providers that are never told of.
        public var ignored: Set<PeerID> = []

        public init() {}

        /// Adds a router that does all.
        public mutating func add(_ router: some ContentRouting & PeerRouting & ValueRouting) {
            findProviders.append(router)
            provide.append(router)
            findPeers.append(router)
            getValues.append(router)
            putValues.append(router)
        }
    }

    public let routers: Routers
    private let validators: [any RecordValidator]

    public init(_ routers: Routers, validators: [any RecordValidator] = [IPNSValidator()]) {
        self.routers = routers
        self.validators = validators
    }

    /// Runs `work` for each router at once; fails when all fail, with the last failure: who has nobody to ask says so at once. `isDone` ends the
    /// others early.
    private func all<Router: Sendable>(_ list: [Router], _ work: @escaping @Sendable (Router) async throws -> Bool) async throws {
        guard !list.isEmpty else { throw RoutingError.noRouter }
        if list.count == 1 {
            _ = try await work(list[0])
            return
        }
        let failure = try await withThrowingTaskGroup(of: Result<Bool, any Error>.self) { group -> (any Error)? in
            for router in list {
                group.addTask { do { return .success(try await work(router)) } catch { return .failure(error) } }
            }
            var last: (any Error)?
            var succeeded = false
            while let outcome = try await group.next() {
                switch outcome {
                case .success(let isDone):
                    succeeded = true
                    if isDone { group.cancelAll() }
                case .failure(let error): last = error
                }
            }
            return succeeded ? nil : last
        }
        try Task.checkCancellation()
        if let failure { throw failure }
    }

    // MARK: Content

    public func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        let told = Mutex<(peers: Set<PeerID>, isDone: Bool)>(([], false))
        let ignored = routers.ignored
        // The closure does not outlive this call: the group inside waits for all.
        try await withoutActuallyEscaping(found) { found in
            try await all(routers.findProviders) { router in
                try await router.findProviders(of: cid) { provider in
                    let (isNew, isDone) = told.withLock { told in
                        (!told.isDone && !ignored.contains(provider.peer) && told.peers.insert(provider.peer).inserted, told.isDone)
                    }
                    guard isNew else { return !isDone }
                    let goesOn = await found(provider)
                    if !goesOn { told.withLock { $0.isDone = true } }
                    return goesOn
                }
                return told.withLock { $0.isDone }
            }
        }
    }

    public func provide(_ cid: CID) async throws {
        try await all(routers.provide) { router in
            try await router.provide(cid)
            return false
        }
    }

    /// A block failed when every router failed with it.
    public func provide(many cids: [CID]) async throws -> ProvideOutcome {
        let outcomes = Mutex<[ProvideOutcome]>([])
        try await all(routers.provide) { router in
            let outcome = try await router.provide(many: cids)
            outcomes.withLock { $0.append(outcome) }
            return false
        }
        let parts = outcomes.withLock { $0 }
        var sum = parts.first ?? ProvideOutcome()
        for part in parts.dropFirst() {
            let failed = Set(part.failed)
            sum.failed = sum.failed.filter(failed.contains)
            sum.records += part.records
            sum.peers += part.peers
            sum.lookups += part.lookups
        }
        return sum
    }

    // MARK: Peers

    public func findPeer(_ peer: PeerID) async throws -> [Multiaddr] {
        let found = Mutex<[Multiaddr]>([])
        try await all(routers.findPeers) { router in
            let addresses = try await router.findPeer(peer)
            found.withLock { found in for address in addresses where !found.contains(address) { found.append(address) } }
            return !addresses.isEmpty
        }
        return found.withLock { $0 }
    }

    // MARK: Values

    public func putValue(_ value: Bytes, for key: Bytes) async throws {
        try await all(routers.putValues) { router in
            try await router.putValue(value, for: key)
            return false
        }
    }

    public func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        let best = Mutex<(value: Bytes?, isDone: Bool)>((nil, false))
        let validator = RecordKey.namespace(of: key).flatMap { name in validators.first { $0.namespace == name } }
        try await withoutActuallyEscaping(found) { found in
            try await all(routers.getValues) { router in
                try await router.values(for: key) { value in
                    let (isBetter, isDone) = best.withLock { best -> (Bool, Bool) in
                        if best.isDone { return (false, true) }
                        if let known = best.value, known == value || (validator?.best(of: [known, value], for: key) ?? 0) == 0 { return (false, false) }
                        best.value = value
                        return (true, false)
                    }
                    guard isBetter else { return !isDone }
                    let goesOn = await found(value)
                    if !goesOn { best.withLock { $0.isDone = true } }
                    return goesOn
                }
                return best.withLock { $0.isDone }
            }
        }
    }
}
