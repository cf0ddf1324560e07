import WaggleBase

/// The domain name system of a world. A test fills it; names that it does not know do not exist.
public final class NameZone: @unchecked Sendable {
    private struct Entry {
        var addresses: [IPAddress] = []
        var texts: [String] = []
        var timeToLive = Duration.seconds(300)
        var failure: ResolveError?
        var delay: Duration?
        var questions = 0
    }

    /// How long an answer takes, for names that have no time of their own.
    public var delay = Duration.milliseconds(20)
    private var entries: [String: Entry] = [:]

    public func setAddresses(_ name: String, _ addresses: [IPAddress], timeToLive: Duration = .seconds(300)) {
        entries[name, default: Entry()].addresses = addresses
        entries[name]?.timeToLive = timeToLive
    }

    public func setTexts(_ name: String, _ texts: [String], timeToLive: Duration = .seconds(300)) {
        entries[name, default: Entry()].texts = texts
        entries[name]?.timeToLive = timeToLive
    }

    /// Answers questions for `name` with an error from now on; nil ends that.
    public func fail(_ name: String, _ error: ResolveError?) { entries[name, default: Entry()].failure = error }

    /// Answers questions for `name` after this time.
    public func delay(_ name: String, _ delay: Duration) { entries[name, default: Entry()].delay = delay }

    /// How often `name` was asked for.
    public func questions(_ name: String) -> Int { entries[name]?.questions ?? 0 }

    func delay(of name: String) -> Duration { entries[name]?.delay ?? delay }

    func count(_ name: String) { entries[name, default: Entry()].questions += 1 }

    func addresses(_ name: String, _ family: AddressFamily) -> Result<[NameRecord<IPAddress>], ResolveError> {
        answer(name) { entry in
            entry.addresses.filter { family == .any || $0.isVersion4 == (family == .v4) }.map { NameRecord($0, timeToLive: entry.timeToLive) }
        }
    }

    func texts(_ name: String) -> Result<[NameRecord<String>], ResolveError> {
        answer(name) { entry in entry.texts.map { NameRecord($0, timeToLive: entry.timeToLive) } }
    }

    private func answer<Value>(_ name: String, _ records: (Entry) -> [NameRecord<Value>]) -> Result<[NameRecord<Value>], ResolveError> {
        guard let entry = entries[name] else { return .failure(.notFound) }
        if let failure = entry.failure { return .failure(failure) }
        let found = records(entry)
        return found.isEmpty ? .failure(.notFound) : .success(found)
    }
}

/// The domain name system as a host sees it.
final class HostResolver: NameResolver {
    private let host: Host
    private let loop: HostLoop

    init(host: Host, loop: HostLoop) {
        self.host = host
        self.loop = loop
    }

    func addresses(of name: String, _ family: AddressFamily) async throws(ResolveError) -> [NameRecord<IPAddress>] {
        try await wait(for: name)
        return try host.world.names.addresses(name, family).get()
    }

    func texts(of name: String) async throws(ResolveError) -> [NameRecord<String>] {
        try await wait(for: name)
        return try host.world.names.texts(name).get()
    }

    private func wait(for name: String) async throws(ResolveError) {
        let names = host.world.names
        names.count(name)
        do { try await loop.sleep(until: loop.now + names.delay(of: name)) } catch { throw .cancelled }
    }
}
