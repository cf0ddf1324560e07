import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

extension NameSystem {
    /// What a name stands for.
    public struct Resolution: Hashable, Sendable {
        public var path: ContentPath
        /// For how long that may be remembered: the shortest on the way.
        public var timeToLive: Duration
    }

    public struct Resolving: Sendable {
        public var search = Search()
        /// Whether what was resolved before may be the answer.
        public var usesCache = true
        /// Names that may lead to names; 1 follows none.
        public var depth = NamingLimits.depth

        public init() {}
    }

    /// Follows a path below `/ipns` until it is one below `/ipfs` or `/ipld`; other paths come back as they are.
    public func resolve(_ path: ContentPath, _ options: Resolving = Resolving()) async throws -> Resolution {
        var path = path
        var timeToLive: Duration?
        var depth = options.depth
        while path.namespace == .ipns {
            guard depth > 0 else { throw NameError.tooDeep }
            depth -= 1
            let step = try await step(path, options)
            path = step.path
            timeToLive = min(timeToLive ?? step.timeToLive, step.timeToLive)
        }
        return Resolution(path: path, timeToLive: timeToLive ?? .zero)
    }

    /// One step: what the name at the root of `path` stands for, with the rest of the path behind it.
    public func step(_ path: ContentPath, _ options: Resolving = Resolving()) async throws -> Resolution {
        let name = IPNSName(path.root)
        let key = name?.description ?? path.root
        let now = system.wallTime
        if options.usesCache, let known = cache.withLock({ $0.path(of: key, at: now) }) {
            return Resolution(path: try known.path.appending(path), timeToLive: known.timeToLive)
        }
        let found: Resolution
        if let name {
            guard let record = try await record(of: name, options.search) else { throw NameError.notFound }
            found = try resolution(record)
        } else {
            found = try await link(of: path.root, asking: options.search.asksOthers)
        }
        cache.withLock { $0.remember(key, found.path, for: found.timeToLive, at: system.wallTime) }
        return Resolution(path: try found.path.appending(path), timeToLive: found.timeToLive)
    }

    /// The same as `resolve`, but `found` hears of the first answer and of each newer one until the search ends, and says whether to go on.
    public func resolveAll(_ path: ContentPath, _ options: Resolving, _ found: @escaping @Sendable (Resolution) async throws -> Bool) async throws {
        guard path.namespace == .ipns, let name = IPNSName(path.root), options.depth > 0 else {
            _ = try await found(try await resolve(path, options))
            return
        }
        let failure = Mutex<(any Error)?>(nil)
        let last = Mutex<Resolution?>(nil)
        try await records(of: name, options.search) { [self] record in
            do {
                let first = try resolution(record)
                var rest = options
                rest.depth -= 1
                let followed = try first.path.appending(path)
                let end = rest.depth == 0 ? Resolution(path: followed, timeToLive: first.timeToLive) : try await resolve(followed, rest)
                let result = Resolution(path: end.path, timeToLive: min(first.timeToLive, followed.namespace == .ipns ? end.timeToLive : first.timeToLive))
                guard last.withLock({ $0?.path != result.path }) else { return true }
                last.withLock { $0 = result }
                return try await found(result)
            } catch {
                failure.withLock { $0 = error }
                return false
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        if last.withLock({ $0 == nil }) { throw NameError.notFound }
    }

    private func resolution(_ record: IPNSRecord) throws -> Resolution {
        var timeToLive = max(.zero, record.timeToLive ?? NamingLimits.fallbackTimeToLive)
        if let longest = options.longestTimeToLive { timeToLive = min(timeToLive, longest) }
        if let end = record.validity { timeToLive = min(timeToLive, max(.zero, .nanoseconds(end.nanoseconds - system.wallTime.nanoseconds))) }
        return Resolution(path: try record.path, timeToLive: timeToLive)
    }
}

extension ContentPath {
    /// This path with the names that stand below the root of `other` behind it.
    func appending(_ other: ContentPath) throws(ContentPathError) -> ContentPath {
        var path = self
        path.segments += other.segments
        path.hasTrailingSlash = other.segments.isEmpty ? hasTrailingSlash || other.hasTrailingSlash : other.hasTrailingSlash
        guard path.segments.count + 2 <= UnixFSLimits.pathDepth, path.description.utf8.count <= UnixFSLimits.pathBytes else {
            throw .tooLong(bytes: path.description.utf8.count)
        }
        return path
    }
}
