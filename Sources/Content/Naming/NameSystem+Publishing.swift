import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

extension NameSystem {
    public struct Publishing: Sendable {
        /// How long the record will be valid.
        public var lifetime = NamingLimits.lifetime
        /// The record's end, where it is not to follow from `lifetime`.
        public var validity: WallTime?
        public var timeToLive = NamingLimits.timeToLive
        /// Must be higher than that of the record before; nil for the next one.
        public var sequence: UInt64?
        /// Whether software that knows only the first version of records can read it.
        public var isCompatible = true
        /// Whether others are told, or it is only stored here.
        public var isShared = true
        /// Whether others are asked for the record before, where this node has none.
        public var asksOthers = true

        public init() {}
    }

    /// Makes `path` what the name of `key` stands for: signs a record with the next sequence number, stores it durably, and has others keep
    /// it. When the others cannot be reached it throws, but the record stays, and `NameRepublisher` tries again soon.
    @discardableResult
    public func publish(_ path: ContentPath, with key: IdentityKeyPair, _ options: Publishing = Publishing()) async throws -> IPNSRecord {
        let name = IPNSName(PeerID(key.publicKey))
        let record = try await sign(path.description, key, name, options)
        cache.withLock { $0.forget(name.description) }
        if options.isShared { try await tell(record, of: name) }
        return record
    }

    /// Two that publish at once get different numbers: the second one sees that the stored record has changed, and signs again.
    private func sign(_ value: String, _ key: IdentityKeyPair, _ name: IPNSName, _ options: Publishing) async throws -> IPNSRecord {
        while true {
            let row = try store.row(of: name)
            let stored = try store.record(of: name)
            // A key that was used on another machine: its records are out there.
            let previous = try await stored == nil ? lastPublished(name, options) : stored
            let content = IPNSRecord.Content(
                value: value, sequence: try NameSystem.sequence(options.sequence, value, after: previous),
                validity: options.validity ?? system.wallTime + options.lifetime, timeToLive: options.timeToLive)
            let compatible = options.isCompatible
            // Some kinds of keys sign for milliseconds.
            let record = try await system.offload { try IPNSRecord(content, with: key, compatible: compatible) }
            if try await store.replace(row, by: record, of: name) { return record }
            try Task.checkCancellation()
        }
    }

    private func lastPublished(_ name: IPNSName, _ options: Publishing) async throws -> IPNSRecord? {
        guard options.asksOthers, routing != nil else { return nil }
        do {
            return try await record(of: name, Search(limit: NamingLimits.previousRecordTime))
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // Nobody can be asked, so nobody knows of one.
            return nil
        }
    }

    /// The number grows when the value changes; the same value keeps its number and only lives longer.
    private static func sequence(_ wanted: UInt64?, _ value: String, after previous: IPNSRecord?) throws(NameError) -> UInt64 {
        guard let previous, let last = previous.sequence else {
            guard wanted != 0 else { throw .sequenceTooLow }
            return wanted ?? 0
        }
        if let wanted {
            guard wanted > last else { throw .sequenceTooLow }
            return wanted
        }
        if previous.value == Bytes(utf8: value) { return last }
        guard last < .max else { throw .sequenceTooLow }
        return last + 1
    }
}
