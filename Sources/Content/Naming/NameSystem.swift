import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// Names that stand for content: publishes those of our keys, and finds out what any name stands for.
///
/// Map of the folder: `IPNSRecord` is what is signed, `IPNSValidator` its rules for the hash table, `NameStore` keeps ours, `NameSystem` and
/// its extensions resolve and publish, `NameRepublisher` keeps what was published alive, `DNSLink` reads domains.
public final class NameSystem: Sendable {
    public struct Options: Sendable {
        /// Resolved names that are remembered; 0 for none.
        public var cachedNames = NamingLimits.cachedNames
        /// Nothing is remembered for longer, whatever its record says.
        public var longestTimeToLive: Duration?

        public init() {}
    }

    let system: any System
    let store: NameStore
    /// Where records are kept by others; nil for a node without a network.
    let routing: (any ValueRouting)?
    let options: Options
    /// Texts of a domain; empty when there are none, nil where the domain name system is not asked.
    let lookUpTexts: TextLookUp?
    let cache: Mutex<NameCache>
    /// Names whose stored record nobody took yet; `NameRepublisher` tries them again soon.
    let untold = Mutex<Set<IPNSName>>([])
    let log: Log

    public typealias TextLookUp = @Sendable (_ domain: String) async throws -> [(text: String, timeToLive: Duration)]

    public init(
        system: any System, store: any KeyValueStore, routing: (any ValueRouting)?, options: Options = Options(), lookUpTexts: TextLookUp? = nil
    ) {
        self.lookUpTexts = lookUpTexts
        self.system = system
        self.store = NameStore(store)
        self.routing = routing
        self.options = options
        cache = Mutex(NameCache(capacity: options.cachedNames))
        log = Log("names", to: system.log)
    }

    /// Whether others can be asked.
    public var isOnline: Bool { routing != nil }

    /// The record of a name that is kept here; it may have expired.
    public func storedRecord(of name: IPNSName) throws -> IPNSRecord? { try store.record(of: name) }

    // MARK: Records

    /// How long others are asked.
    public struct Search: Sendable {
        /// nil for as long as it takes.
        public var limit: Duration?
        /// Whether others are asked at all.
        public var asksOthers = true

        public init(limit: Duration? = NamingLimits.searchTime, asksOthers: Bool = true) {
            self.limit = limit
            self.asksOthers = asksOthers
        }
    }

    /// Looks for records of `name`, here first. `found` hears of the first valid one and of each that is better, and says whether to go on.
    public func records(of name: IPNSName, _ search: Search = Search(), _ found: @escaping @Sendable (IPNSRecord) async -> Bool) async throws {
        let best = Mutex<IPNSRecord?>(nil)
        if let own = try store.record(of: name), isValid(own, name) {
            best.withLock { $0 = own }
            guard await found(own) else { return }
        }
        guard let routing, search.asksOthers else { return }
        let look: @Sendable () async throws -> Void = { [self] in
            try await routing.values(for: name.routingKey) { bytes in
                let record: IPNSRecord
                do { record = try IPNSRecord(decoding: bytes) } catch { return true }
                guard isValid(record, name) else { return true }
                let isBetter = best.withLock { best in
                    if let known = best, !record.isBetter(than: known) { return false }
                    best = record
                    return true
                }
                return isBetter ? await found(record) : true
            }
        }
        do {
            try await TimeLimit.run(search.limit, on: system.home, look)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // What others say is more than nothing; without anything, the failure is the answer.
            guard best.withLock({ $0 }) == nil else { return log(.debug, "a search ended early", [LogField("name", name), LogField("error", "\(error)")]) }
            throw error
        }
    }

    /// The best record of `name`; nil when there is none.
    public func record(of name: IPNSName, _ search: Search = Search()) async throws -> IPNSRecord? {
        let best = Mutex<IPNSRecord?>(nil)
        try await records(of: name, search) { record in
            // Two routers that answer at the same time may be heard in either order.
            best.withLock { best in if best.map(record.isBetter) ?? true { best = record } }
            return true
        }
        return best.withLock { $0 }
    }

    private func isValid(_ record: IPNSRecord, _ name: IPNSName) -> Bool {
        do {
            try record.verify(name, at: system.wallTime)
            return true
        } catch {
            log(.debug, "a record is refused", [LogField("name", name), LogField("error", error)])
            return false
        }
    }

    /// Has others keep a record that is stored here: `routers`, or all that this node asks. Until that succeeds it is tried again with
    /// `NameRepublisher`.
    public func tell(_ record: IPNSRecord, of name: IPNSName, to routers: (any ValueRouting)? = nil) async throws {
        guard let routers = routers ?? routing else { return }
        do { try await routers.putValue(record.encoded, for: name.routingKey) } catch {
            untold.withLock { if $0.count < NamingLimits.untold { $0.insert(name) } }
            throw error
        }
        untold.withLock { _ = $0.remove(name) }
    }

    /// Whether there are names that nobody took yet.
    var hasUntold: Bool { untold.withLock { !$0.isEmpty } }

    /// Stores a record that was made elsewhere and, with `sharing`, has others keep it. Throws when it is not the name's.
    public func put(_ record: IPNSRecord, of name: IPNSName, sharing: Bool = true) async throws {
        try record.verify(name, at: system.wallTime)
        try await store.put(record, of: name)
        cache.withLock { $0.forget(name.description) }
        if sharing, let routing { try await routing.putValue(record.encoded, for: name.routingKey) }
    }

    /// Has others keep a record without storing it here, where only what this node's owner gives it belongs. Throws when it is not the name's.
    public func share(_ record: IPNSRecord, of name: IPNSName) async throws {
        try record.verify(name, at: system.wallTime)
        guard let routing else { throw RoutingError.noRouter }
        try await routing.putValue(record.encoded, for: name.routingKey)
        cache.withLock { $0.forget(name.description) }
    }
}

/// Runs work that must not take for ever.
package enum TimeLimit {
    /// Runs `work` and returns, or returns without it when `limit` has passed. Cancelling cancels the work.
    package static func run(_ limit: Duration?, on home: any EventLoop, _ work: @escaping @Sendable () async throws -> Void) async throws {
        guard let limit else { return try await work() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask(executorPreference: home.taskExecutor) { try await work() }
            group.addTask(executorPreference: home.taskExecutor) { try await home.run { try await home.sleep(until: home.now + limit) } }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
