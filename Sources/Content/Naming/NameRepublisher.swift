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
        while true {
            try await home.sleep(until: next)
            let isWhole = await republish()
            next = home.now + (isWhole ? options.interval : min(NamingLimits.republishRetry, options.interval))
        }
    }

    /// One round; says whether all went well.
    @discardableResult
    public func republish() async -> Bool {
        var isWhole = true
        do {
            for key in try keys() {
                do { try await republish(key) } catch is CancellationError { return false } catch {
                    isWhole = false
                    log(.info, "a name was not published again", [LogField("name", IPNSName(PeerID(key.publicKey))), LogField("error", "\(error)")])
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
