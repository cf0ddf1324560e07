import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// Keeps the names of our keys alive: signs their records anew before they expire, with the same sequence number, and has others keep them.
public final class NameRepublisher: Service {
    public struct Options: Sendable {
        /// Between two rounds.
        public var interval = NamingLimits.republishInterval
        /// How long records are valid that are signed again.
        public var lifetime = NamingLimits.lifetime

        public init() {}
    }

    private let names: NameSystem
    private let options: Options
    /// The keys whose names are ours.
    private let keys: @Sendable () throws -> [IdentityKeyPair]
    private let log: Log

    public init(_ names: NameSystem, options: Options = Options(), keys: @escaping @Sendable () throws -> [IdentityKeyPair]) {
        self.names = names
        self.options = options
        self.keys = keys
        log = names.log
    }

    public var protocols: [ProtocolID] { [] }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {}

    public func run(on swarm: Swarm) async throws {
        let home = swarm.system.home
        var next = home.now + min(NamingLimits.firstRepublish, options.interval)
        var tries = 0
        while true {
            // Less and less often for what nobody takes.
            try await home.sleep(until: min(next, home.now + NamingLimits.republishRetry * (1 << min(tries, NamingLimits.retryDoublings))))
            if home.now >= next {
                let isWhole = await republish()
                next = home.now + (isWhole || names.hasUntold ? options.interval : NamingLimits.republishRetry)
                tries = 0
            } else if names.hasUntold {
                await retry()
                tries += 1
            } else {
                tries = 0
            }
        }
    }

    /// Tries what nobody took: records of our keys are signed anew, those that were made elsewhere stay as they are.
    func retry() async {
        let due = names.untold.withLock { $0 }
        await republish(due.contains)
        for name in due.intersection(names.untold.withLock { $0 }).sorted(by: { $0.peer < $1.peer }) {
            do {
                guard let record = try names.storedRecord(of: name) else { throw IPNSError.invalidName }
                try record.verify(name, at: names.system.wallTime)
                try await names.tell(record, of: name)
            } catch is CancellationError {
                return
            } catch is IPNSError {
                // It has expired, and nobody here can sign it again.
                names.untold.withLock { _ = $0.remove(name) }
            } catch {
                log(.debug, "a name was not told", [LogField("name", name), LogField("error", "\(error)")])
            }
        }
    }

    /// One round over our names, or those that `isDue` chooses; says whether all went well. What did not is tried again soon.
    @discardableResult
    public func republish(_ isDue: (@Sendable (IPNSName) -> Bool)? = nil) async -> Bool {
        var isWhole = true
        // Who is alone hears of it once a round.
        let level = isDue == nil ? LogLevel.info : .debug
        do {
            for key in try keys() where isDue?(IPNSName(PeerID(key.publicKey))) ?? true {
                do { try await republish(key) } catch is CancellationError { return false } catch {
                    isWhole = false
                    log(level, "a name was not published again", [LogField("name", IPNSName(PeerID(key.publicKey))), LogField("error", "\(error)")])
                }
            }
        } catch {
            isWhole = false
            log(.warning, "the keys cannot be read", [LogField("error", "\(error)")])
        }
        return isWhole
    }

    private func republish(_ key: IdentityKeyPair) async throws {
        guard let record = try names.storedRecord(of: IPNSName(PeerID(key.publicKey))) else { return }
        var publishing = NameSystem.Publishing()
        let end = names.system.wallTime + options.lifetime
        publishing.validity = record.validity.map { max($0, end) } ?? end
        publishing.timeToLive = record.timeToLive ?? NamingLimits.timeToLive
        publishing.isCompatible = record.signatureType != "V2"
        try await names.publish(try record.path, with: key, publishing)
    }
}
