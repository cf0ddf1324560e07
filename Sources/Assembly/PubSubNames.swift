import Synchronization
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// Names over publish-subscribe: each name that was published or asked for is a topic, on which its newest record travels.
///
/// The topic is `/record/` and the routing key in base64url without padding. Who comes to a topic is asked for its record by fetch, so that
/// nobody has to wait for the next message. Spec: specs.ipfs.tech/ipns/ipns-pubsub-router.
public final class PubSubNames: Service, ValueRouting {
    /// Names followed at once (each is a topic with its records of at most 10 KiB); of those that were only asked for, the one followed longest
    /// goes first, and only then those that were published here.
    public static let names = 512
    /// Peers of a topic that one search asks, and how long all of them have together.
    static let askedPeers = 8
    static let askTime = Duration.seconds(5)
    /// From the arrival of a peer on a topic to the question.
    static let patience = Duration.seconds(1)
    /// Between two messages with a record that does not change.
    static let republishInterval = Duration.seconds(600)

    private struct Followed {
        let topic: PubSubTopic
        let number: UInt64
        var isPublished = false
        var best: IPNSRecord?
    }

    private let pubsub: PubSub
    private let fetch: Fetch
    private let system: any System
    private let state = Mutex<(followed: [IPNSName: Followed], next: UInt64)>(([:], 0))
    private let log: Log

    init(_ pubsub: PubSub, _ fetch: Fetch, on system: any System) {
        self.pubsub = pubsub
        self.fetch = fetch
        self.system = system
        log = Log("names", to: system.log)
    }

    public var protocols: [ProtocolID] { [] }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {}

    static func topic(of name: IPNSName) -> TopicID {
        TopicID("/record/" + Multibase.base64url.encode(name.routingKey, prefixed: false))
    }

    private static func name(of topic: TopicID) -> IPNSName? {
        let text = topic.description
        guard text.hasPrefix("/record/") else { return nil }
        do { return IPNSName(routingKey: try Multibase.base64url.decode(unprefixed: String(text.dropFirst("/record/".count)))) } catch { return nil }
    }

    // MARK: Following

    /// The names that are followed, sorted by their PeerIDs.
    public var subscriptions: [IPNSName] { state.withLock { $0.followed.keys.sorted { $0.peer < $1.peer } } }

    /// Stops to follow a name; says whether it was followed.
    @discardableResult
    public func cancel(_ name: IPNSName) -> Bool {
        guard let followed = state.withLock({ $0.followed.removeValue(forKey: name) }) else { return false }
        pubsub.setValidator(nil, for: followed.topic.name)
        followed.topic.leave()
        return true
    }

    /// The best record that came; also what fetch answers with.
    func best(of name: IPNSName) -> IPNSRecord? { state.withLock { $0.followed[name]?.best } }

    private func follow(_ name: IPNSName) async throws {
        guard state.withLock({ $0.followed[name] == nil }) else { return }
        let topic = PubSubNames.topic(of: name)
        // The messages themselves are taken where they are judged.
        let joined = try await pubsub.join(topic, buffer: 1, overflow: .dropOldest)
        pubsub.setValidator(.sync { [weak self] message in self?.judge(message.data, name) ?? .ignore }, for: topic)
        let (isNew, oldest) = state.withLock { state -> (Bool, IPNSName?) in
            guard state.followed[name] == nil else { return (false, nil) }
            state.followed[name] = Followed(topic: joined, number: state.next)
            state.next += 1
            guard state.followed.count > PubSubNames.names else { return (true, nil) }
            func order(_ row: (key: IPNSName, value: Followed)) -> (Int, UInt64) { (row.value.isPublished || row.key == name ? 1 : 0, row.value.number) }
            return (true, state.followed.min { order($0) < order($1) }?.key)
        }
        if !isNew { joined.leave() }
        if let oldest { cancel(oldest) }
    }

    /// A record that somebody sent: good ones that are no older than what is known are kept and passed on.
    private func judge(_ bytes: Bytes, _ name: IPNSName) -> Validation {
        let record: IPNSRecord
        do throws(IPNSError) {
            record = try IPNSRecord(decoding: bytes)
            try record.verify(name, at: system.wallTime)
        } catch {
            return error == .expired ? .ignore : .reject
        }
        return take(record, name) ? .accept : .ignore
    }

    /// Says whether the record is the best that is known now.
    private func take(_ record: IPNSRecord, _ name: IPNSName) -> Bool {
        state.withLock { state in
            guard let followed = state.followed[name] else { return false }
            if let known = followed.best {
                if known == record { return true }
                guard record.isBetter(than: known) else { return false }
            }
            state.followed[name]?.best = record
            return true
        }
    }

    // MARK: Routing

    public func putValue(_ value: Bytes, for key: Bytes) async throws {
        guard let name = IPNSName(routingKey: key) else { throw RoutingError.unsupported }
        let record = try IPNSRecord(decoding: value)
        try record.verify(name, at: system.wallTime)
        try await follow(name)
        state.withLock { $0.followed[name]?.isPublished = true }
        guard take(record, name) else { throw KademliaError.outdated }
        try await pubsub.publish(value, to: PubSubNames.topic(of: name))
    }

    public func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        guard let name = IPNSName(routingKey: key) else { throw RoutingError.unsupported }
        try await follow(name)
        if let known = best(of: name), isValid(known, name) { guard await found(known.encoded) else { return } }
        let before = best(of: name)
        await ask(Array(pubsub.peers(of: PubSubNames.topic(of: name)).prefix(PubSubNames.askedPeers)), name)
        if let better = best(of: name), better != before { _ = await found(better.encoded) }
    }

    private func isValid(_ record: IPNSRecord, _ name: IPNSName) -> Bool {
        do { try record.verify(name, at: system.wallTime) } catch { return false }
        return true
    }

    /// Asks peers for their record of a name; says whether one had a better one.
    @discardableResult
    private func ask(_ peers: [PeerID], _ name: IPNSName) async -> Bool {
        guard !peers.isEmpty else { return false }
        let before = best(of: name)
        do {
            try await TimeLimit.run(PubSubNames.askTime, on: system.home) { [self] in
                await withDiscardingTaskGroup { group in
                    for peer in peers {
                        group.addTask { [self] in
                            do {
                                guard let value = try await fetch.fetch(name.routingKey, from: peer) else { return }
                                _ = judge(value, name)
                            } catch { log(.debug, "a peer is not asked for a record", [LogField("peer", peer.short), LogField("error", "\(error)")]) }
                        }
                    }
                }
            }
        } catch { return false }
        return best(of: name) != before
    }

    // MARK: Life

    /// Asks those who come to our topics, and repeats our records from time to time.
    public func run(on swarm: Swarm) async throws {
        let home = system.home
        let scope = TaskScope()
        scope.spawn(on: home) { [self] in await repeatRecords(home) }
        for await event in pubsub.events() {
            guard case .joined(let topic, let peer) = event, let name = PubSubNames.name(of: topic) else { continue }
            guard state.withLock({ $0.followed[name] != nil }), scope.count < PubSubNames.names else { continue }
            scope.spawn(on: home) { [self] in
                do { try await home.sleep(until: home.now + PubSubNames.patience) } catch { return }
                guard await ask([peer], name), let record = best(of: name) else { return }
                await publish(record, name)
            }
        }
        await scope.close()
        for name in subscriptions { cancel(name) }
    }

    private func repeatRecords(_ home: any EventLoop) async {
        while true {
            do { try await home.sleep(until: home.now + PubSubNames.republishInterval) } catch { return }
            for name in subscriptions { if let record = best(of: name), isValid(record, name) { await publish(record, name) } }
        }
    }

    private func publish(_ record: IPNSRecord, _ name: IPNSName) async {
        do { try await pubsub.publish(record.encoded, to: PubSubNames.topic(of: name)) } catch {
            log(.debug, "a record is not published", [LogField("name", name), LogField("error", "\(error)")])
        }
    }
}
