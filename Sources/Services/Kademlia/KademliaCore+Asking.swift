import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Requests to one peer, and searches among many. On the home loop.
extension KademliaCore {
    // MARK: Requests

    /// Asks one peer, and lets the table know how that went.
    func request(_ message: Bytes, _ contact: KademliaContact, expectsAnswer: Bool = true, _ swarm: Swarm) async throws -> KademliaMessage? {
        let begin = home.now
        let isConnected = swarm.isConnected(contact.peer)
        do {
            // The dial is bounded here: it would take longer by itself.
            let answer = try await limited(begin + KademliaLimits.requestTimeout) { [client] in
                try await client.send(message, to: contact, expectsAnswer: expectsAnswer, on: swarm)
            }
            // Patience has to last for a dial, which takes several ways; who is connected answers sooner, and says nothing about that.
            if !isConnected { latency.record(home.now - begin) }
            statistics.requests += 1
            statistics.latency.record(Double((home.now - begin).wholeNanoseconds) / 1e9)
            tell(.answered(contact.peer))
            return answer
        } catch {
            statistics.failures += 1
            // Who gives up says nothing about the peer.
            if !Task.isCancelled { tell(.failed(contact.peer)) }
            throw error
        }
    }

    /// Sends messages that ask for no answer to one peer, all over one stream.
    func requestAll(_ messages: [Bytes], _ contact: KademliaContact, _ swarm: Swarm) async throws {
        // The first shows whether the peer can be reached at all; the others then follow on the stream that is kept.
        for message in messages { _ = try await request(message, contact, expectsAnswer: false, swarm) }
    }

    /// Runs `body` until `end` at the longest.
    private func limited<R: Sendable>(_ end: Instant, _ body: @escaping @Sendable () async throws -> R) async throws -> R {
        let outcome = Outcome<R>(home)
        let scope = TaskScope()
        let timer = home.schedule(at: end) { scope.cancelAll() }
        scope.spawn(on: home) {
            do { outcome.result = .success(try await body()) } catch { outcome.result = .failure(error) }
            outcome.changed.wake()
        }
        defer { home.cancel(timer) }
        while true {
            if let result = outcome.result { return try result.get() }
            do { try await outcome.changed.wait() } catch {
                scope.cancelAll()
                throw error
            }
        }
    }

    private final class Outcome<R: Sendable>: @unchecked Sendable {
        var result: Result<R, any Error>?
        let changed: Waiter
        init(_ loop: any EventLoop) { changed = Waiter(on: loop) }
    }

    func mayAsk(_ contact: KademliaContact) -> Bool {
        guard contact.peer != responder.peer else { return false }
        return !contact.addresses.isEmpty && configuration.scope.mayAsk(contact.addresses) || swarm?.isConnected(contact.peer) == true
    }

    // MARK: Searches

    struct Found {
        var closest: [KademliaContact] = []
        var hops = 0
        var requests = 0
    }

    /// Searches for the peers closest to `target` with `message`. `heard` gets every answer and says whether to go on.
    ///
    /// When the peers found lie much closer together than the network's size explains, the neighbouring parts of the key space are searched as
    /// well, and what is found there counts too: whoever crowds around a key to hide it has not moved its honest neighbours away.
    func search(
        _ target: KademliaKey, asking message: Bytes, isRefresh: Bool = false,
        _ heard: (KademliaContact, KademliaMessage) async throws -> Bool
    ) async throws -> Found {
        guard let swarm, isRunning else { throw KademliaError.closed }
        while lookups >= KademliaLimits.lookups { try await lookupEnded.wait() }
        lookups += 1
        statistics.lookups += 1
        defer {
            lookups -= 1
            lookupEnded.wakeOne()
        }
        var (found, goesOn) = try await run(target, message, swarm, heard)
        guard goesOn, !isRefresh else { return found }
        let size = networkSize.estimate ?? responder.state.withLock { $0.table.estimatedNetworkSize }
        let neighbours = NetworkSize.neighbours(of: target, found: found.closest.map { KademliaKey($0.peer) }, k: configuration.k, size: size)
        if !neighbours.isEmpty { statistics.crowdedLookups += 1 }
        var known = Set(found.closest.map(\.peer))
        for neighbour in neighbours where goesOn {
            let seed = Bytes(system.randomBytes(32))
            let key = KademliaAim.key(near: target.sibling(at: neighbour, rest: KademliaKey(hashing: seed)), bits: neighbour + 2, seed: seed)
            let (around, _) = try await run(
                KademliaKey(hashing: key), KademliaMessage.encode(.findNode, key: key), avoiding: (target, neighbour), swarm
            ) { _, _ in true }
            let fresh = around.closest.filter { known.insert($0.peer).inserted }
            found.closest += fresh
            found.requests += around.requests + fresh.count
            for (contact, answer) in await ask(fresh, message, swarm) where goesOn { goesOn = try await heard(contact, answer) }
        }
        return found
    }

    /// Asks all of `contacts` at once; the answers that came.
    private func ask(_ contacts: [KademliaContact], _ message: Bytes, _ swarm: Swarm) async -> [(KademliaContact, KademliaMessage)] {
        await withTaskGroup(of: (KademliaContact, KademliaMessage)?.self) { group in
            for contact in contacts {
                group.addTask { [self] in
                    do { return try await request(message, contact, swarm).map { (contact, $0) } } catch { return nil }
                }
            }
            return await group.reduce(into: []) { answers, answer in if let answer { answers.append(answer) } }
        }
    }

    private func run(
        _ target: KademliaKey, _ message: Bytes, avoiding avoided: (place: KademliaKey, bits: Int)? = nil, _ swarm: Swarm,
        _ heard: (KademliaContact, KademliaMessage) async throws -> Bool
    ) async throws -> (Found, goesOn: Bool) {
        let seeds = responder.state.withLock { $0.table.seeds(for: target, count: configuration.k, avoiding: avoided) }
        guard !seeds.isEmpty else { throw KademliaError.noPeers }
        var settings = LookupMachine.Settings(end: home.now + KademliaLimits.lookupTimeout)
        settings.k = configuration.k
        settings.alpha = configuration.alpha
        settings.beta = configuration.beta
        settings.paths = configuration.paths
        settings.patience = latency.patience
        settings.avoided = avoided
        let run = LookupRun(LookupMachine(target: target, own: responder.own, settings: settings), asking: message, on: swarm, self)
        run.begin(seeds.map { LookupMachine.Candidate($0) })
        var goesOn = true
        do {
            while goesOn, let (contact, answer) = try await run.next() { goesOn = try await heard(contact, answer) }
        } catch {
            await run.close()
            throw error
        }
        await run.close()
        let result = Found(closest: run.machine.closest.map(\.contact), hops: run.machine.hops, requests: run.machine.requests)
        statistics.hops += UInt64(result.hops)
        return (result, goesOn)
    }

    /// Sends `message` to all of `contacts` at once, of which a search finds a bounded number; says how many took it.
    func spread(_ message: Bytes, to contacts: [KademliaContact], expectsAnswer: Bool, accepts: @escaping @Sendable (KademliaMessage) -> Bool) async -> Int {
        guard let swarm else { return 0 }
        let scope = TaskScope()
        let taken = Mutex(0)
        for contact in contacts {
            scope.spawn(on: home) { [self] in
                do {
                    let answer = try await request(message, contact, expectsAnswer: expectsAnswer, swarm)
                    if answer.map(accepts) ?? !expectsAnswer { taken.withLock { $0 += 1 } }
                } catch {
                    log(.debug, "not stored", [LogField("peer", contact.peer.short), LogField("error", "\(error)")])
                }
            }
        }
        await withTaskCancellationHandler { await scope.drain() } onCancel: { scope.cancelAll() }
        return taken.withLock { $0 }
    }
}
