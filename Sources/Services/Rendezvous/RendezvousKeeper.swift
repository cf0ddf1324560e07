import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// A registration that is kept up, as it stands.
public struct RendezvousKept: Hashable, Sendable {
    public let namespace: String
    public let point: Multiaddr
    /// Whether the server has it now.
    public let isRegistered: Bool
}

/// Keeps registrations up. The table is behind a lock; the work is on the home loop.
final class RendezvousKeeper: Sendable {
    private struct Key: Hashable, Comparable {
        var namespace: String
        var point: PeerID

        static func < (left: Key, right: Key) -> Bool { (left.namespace, left.point) < (right.namespace, right.point) }
    }

    private struct Row {
        var address: Multiaddr
        var next: Instant
        var failures = 0
        var isRegistered = false
        var isRunning = false
        var isSearching = false
        var nextSearch: Instant
        var cookie: Bytes?

        var due: Instant { isSearching ? min(next, nextSearch) : next }
    }

    private weak let rendezvous: Rendezvous?
    private weak let swarm: Swarm?
    private let home: any EventLoop
    private let system: any System
    private let rows = Mutex<[Key: Row]>([:])
    private let released = Mutex<[(namespace: String, point: PeerID)]>([])
    private let changed: Waiter

    init(_ rendezvous: Rendezvous, _ swarm: Swarm) {
        self.rendezvous = rendezvous
        self.swarm = swarm
        system = swarm.system
        home = swarm.system.home
        changed = Waiter(on: home)
    }

    var all: [RendezvousKept] {
        rows.withLock { rows in rows.sorted { $0.key < $1.key }.map { RendezvousKept(namespace: $0.key.namespace, point: $0.value.address, isRegistered: $0.value.isRegistered) } }
    }

    func keep(_ namespace: String, _ point: PeerID, _ address: Multiaddr, _ isSearching: Bool) throws(RendezvousError) {
        let key = Key(namespace: namespace, point: point)
        let now = home.now
        let isFull = rows.withLock { rows in
            if rows[key] == nil, rows.count >= RendezvousLimits.kept { return true }
            if rows[key] == nil { rows[key] = Row(address: address, next: now, nextSearch: now) }
            if isSearching { rows[key]?.isSearching = true }
            return false
        }
        if isFull { throw .tooMany }
        wake()
    }

    func release(_ namespace: String, _ point: PeerID) {
        guard rows.withLock({ $0.removeValue(forKey: Key(namespace: namespace, point: point)) }) != nil else { return }
        released.withLock { if $0.count < RendezvousLimits.kept { $0.append((namespace, point)) } }
        wake()
    }

    private func wake() { home.execute { [changed] in changed.wake() } }

    func run() async {
        guard let swarm else { return }
        let observation = swarm.observe(on: home) { [weak self] event in
            if case .addressesChanged = event { self?.renewAll() }
        }
        defer { observation.cancel() }
        let scope = TaskScope()
        do {
            while true {
                for (namespace, point) in takeReleased() { scope.spawn(on: home) { [weak self] in await self?.unregister(namespace, point) } }
                let now = home.now
                let due = rows.withLock { rows in
                    let due = rows.filter { $0.value.due <= now && !$0.value.isRunning }.sorted { $0.key < $1.key }
                    for (key, _) in due { rows[key]?.isRunning = true }
                    return due
                }
                for (key, row) in due { scope.spawn(on: home) { [weak self] in await self?.work(key, row) } }
                let next = rows.withLock { rows in rows.values.filter { !$0.isRunning }.map(\.due).min() }
                let timer = next.map { next in home.schedule(at: next) { [changed] in changed.wake() } }
                defer { if let timer { home.cancel(timer) } }
                try await changed.wait()
            }
        } catch {}
        await scope.close()
    }

    private func takeReleased() -> [(namespace: String, point: PeerID)] {
        released.withLock { list in
            defer { list = [] }
            return list
        }
    }

    /// What others are told has changed: the servers should know.
    private func renewAll() {
        let now = home.now
        rows.withLock { rows in for key in rows.keys { rows[key]?.next = now } }
        changed.wake()
    }

    private func unregister(_ namespace: String, _ point: PeerID) async {
        do { try await rendezvous?.unregister(namespace, at: point) } catch {}  // It ends by itself.
    }

    private func work(_ key: Key, _ row: Row) async {
        if row.next <= home.now {
            await register(key, row)
        } else {
            await search(key, row)
        }
        rows.withLock { $0[key]?.isRunning = false }
        changed.wake()
    }

    /// Connects to some of those who are new.
    private func search(_ key: Key, _ row: Row) async {
        var cookie = row.cookie
        do {
            guard let rendezvous, let swarm else { return }
            let page = try await rendezvous.discover(
                key.namespace, at: key.point, addresses: row.address.withoutPeerID.map { [$0] } ?? [], limit: RendezvousLimits.searchDials, cookie: cookie)
            cookie = page.cookie
            await withTaskGroup(of: Void.self) { group in
                for found in page.peers.prefix(RendezvousLimits.searchDials) where !swarm.isConnected(found.peer) {
                    group.addTask { do { _ = try await swarm.connectDirectly(to: found.peer, addresses: found.addresses) } catch {} }  // The next may answer.
                }
            }
        } catch {
            cookie = nil
            Log("rendezvous", to: system.log)(.debug, "not searched", [LogField("namespace", key.namespace), LogField("error", "\(error)")])
        }
        let (next, last) = (home.now + RendezvousLimits.searchInterval, cookie)
        rows.withLock { rows in
            rows[key]?.nextSearch = next
            rows[key]?.cookie = last
        }
    }

    private func register(_ key: Key, _ row: Row) async {
        var pause = RendezvousLimits.longestRetry
        var failures = 0
        do {
            guard let rendezvous else { return }
            let time = try await rendezvous.register(key.namespace, at: key.point, addresses: row.address.withoutPeerID.map { [$0] } ?? [])
            pause = max(.nanoseconds(time.wholeNanoseconds / 100 * Int64(RendezvousLimits.renewPercent)), RendezvousLimits.shortestRetry)
        } catch {
            failures = row.failures + 1
            pause = min(RendezvousLimits.shortestRetry * (1 << min(row.failures, 10)), RendezvousLimits.longestRetry)
            Log("rendezvous", to: system.log)(
                failures == 1 ? .info : .debug, "not registered", [LogField("namespace", key.namespace), LogField("point", key.point.short), LogField("error", "\(error)")])
        }
        // Give or take a tenth, so that many nodes do not come at once.
        let tenth = pause.wholeNanoseconds / 10
        pause += .nanoseconds(Int64(system.random(UInt64.self) % UInt64(tenth + 1)) - tenth / 2)
        let (next, count) = (home.now + pause, failures)
        rows.withLock { rows in
            // While this was under way, a change may have asked for one more.
            guard rows[key] != nil else { return }
            rows[key]?.failures = count
            rows[key]?.isRegistered = count == 0
            if rows[key]?.next == row.next { rows[key]?.next = next }
        }
    }
}
