import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Tells the network what this node has: new blocks soon after they are stored or pinned, and all of them again before their records expire.
///
/// `ProvideMachine` decides what has its turn, `ProvideKeys` knows which blocks the strategy means, `ProvideQueue` keeps what must outlive a
/// restart. Polite: one call at a time with a pause behind it.
public final class Announcer: Service, @unchecked Sendable {
    public struct Options: Sendable {
        /// Which blocks are announced.
        public var strategy = ProvideStrategy(.all)
        /// Between two announcements of one block; nil to announce each only once.
        public var interval: Duration? = ProvideLimits.interval
        /// Whether the sweep and the queue go on where they were before the node was stopped; else everything is announced again at the start.
        public var resumes = true

        public init() {}
    }

    public let options: Options
    private let routing: any ContentRouting
    private let repository: Repository
    private let keys: ProvideKeys
    private let queue: ProvideQueue
    private let system: any System
    private let home: any EventLoop
    private let log: Log

    // All below only on the home loop.
    private var machine: ProvideMachine
    private var alarm: Alarm?
    private var scope = TaskScope()
    private var isRunning = false
    private var started = Instant(nanoseconds: 0)
    private var taken: [UInt64] = []
    private var collected: [Multihash] = []
    /// Those on their way into the queue.
    private var storing = 0
    private var isCollecting = false
    private var dropped = 0

    public init(_ repository: Repository, routing: any ContentRouting, options: Options = Options()) throws {
        self.repository = repository
        self.routing = routing
        self.options = options
        system = repository.blocks.system
        home = system.home
        log = Log("provide", to: system.log)
        keys = ProvideKeys(strategy: options.strategy, blocks: repository.blocks, pins: repository.pins)
        queue = try ProvideQueue(repository.data)
        let interval = options.interval ?? ProvideLimits.interval
        // A walk below all pins reads every block, so it is made once in a cycle.
        let age = options.strategy.scope == .pinned ? interval : interval / ProvideLimits.windowAges
        machine = ProvideMachine(interval: options.interval, windowAge: age)
    }

    public var protocols: [ProtocolID] { [] }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {}

    // MARK: Life

    public func run(on swarm: Swarm) async throws {
        scope = TaskScope()
        isRunning = true
        started = home.now
        alarm = Alarm(on: home) { [weak self] in self?.tell(.tick) }
        let observation = swarm.observe(on: home) { [weak self] event in
            if case .peerConnected = event { self?.tell(.peerConnected) }
        }
        observeRepository()
        if !options.resumes { _ = try await queue.clear() }
        var elapsed = options.interval ?? .zero
        var position: UInt64 = 0
        if options.resumes, let sweep = try queue.loadSweep() {
            elapsed = .nanoseconds(system.wallTime.nanoseconds &- sweep.start.nanoseconds)
            position = sweep.position
        } else {
            // Without a memory everything is due, and the next start remembers since when.
            try await queue.saveSweep(start: system.wallTime + .nanoseconds(-elapsed.wholeNanoseconds), position: 0)
        }
        tell(.queue(queue.count))
        tell(.started(elapsed: elapsed, position: position))
        do { try await Waiter(on: home).wait() } catch {}
        repository.blocks.observe("provide", nil)
        repository.blocks.observePins(nil)
        observation.cancel()
        isRunning = false
        alarm?.stop()
        alarm = nil
        await scope.close()
        if !collected.isEmpty { await store(collected) }
        collected = []
    }

    private func observeRepository() {
        switch options.strategy.scope {
        case .all:
            repository.blocks.observe("provide") { [weak self] blocks in self?.collect(blocks.map(\.key)) }
        case .roots:
            repository.blocks.observePins { [weak self] pins in self?.collect(pins.map(\.cid.multihash)) }
        case .pinned:
            repository.blocks.observePins { [weak self] pins in
                guard let self else { return }
                collect(pins.map(\.cid.multihash))
                walk(pins.filter { $0.mode == .recursive }.map(\.cid))
            }
        }
    }

    // MARK: New blocks

    /// Any thread.
    private func collect(_ hashes: [Multihash]) {
        let hashes = hashes.filter { $0.code != .identity }
        guard !hashes.isEmpty else { return }
        home.execute { [self] in
            guard isRunning else { return }
            guard collected.count < ProvideLimits.collected else {
                // The store is slower than the adds; the sweep finds them.
                dropped += hashes.count
                return
            }
            collected += hashes
            guard !isCollecting else { return }
            isCollecting = true
            scope.spawn(on: home) { [self] in
                do { try await home.sleep(until: home.now + ProvideLimits.collecting) } catch {}
                isCollecting = false
                let hashes = collected
                collected = []
                storing = hashes.count
                await store(hashes)
                storing = 0
                tell(.queue(queue.count))
            }
        }
    }

    private func store(_ hashes: [Multihash]) async {
        do {
            let outcome = try await queue.append(hashes)
            dropped += outcome.dropped
            tell(.added(outcome.taken))
        } catch {
            log(.warning, "new blocks are not queued", [LogField("blocks", hashes.count), LogField("error", "\(error)")])
        }
    }

    private func walk(_ roots: [CID]) {
        guard !roots.isEmpty else { return }
        home.execute { [self] in
            guard isRunning else { return }
            scope.spawn(on: home) { [self] in
                do { try await announce(below: roots) } catch is CancellationError {} catch {
                    log(.warning, "the blocks of a pin are not queued", [LogField("error", "\(error)")])
                }
            }
        }
    }

    // MARK: For commands

    /// Queues blocks for an announcement now, whatever the strategy says of them.
    public func announce(_ cids: [CID]) async throws {
        let hashes = cids.filter { $0.hashCode != .identity }.map(\.multihash)
        let outcome = try await queue.append(hashes, again: true)
        await home.run {
            self.dropped += outcome.dropped
            if self.isRunning { self.tell(.queue(self.queue.count)) }
        }
    }

    /// The same for every block of some graphs that is here.
    public func announce(below roots: [CID]) async throws {
        try await keys.walk(roots) { hashes in
            let outcome = try await self.queue.append(hashes)
            await self.home.run {
                self.dropped += outcome.dropped
                if self.isRunning { self.tell(.queue(self.queue.count)) }
            }
        }
    }

    /// Forgets the blocks that wait for their first announcement, and gives their number.
    public func clear() async throws -> Int {
        let removed = try await queue.clear()
        await home.run { if self.isRunning { self.tell(.queue(self.queue.count)) } }
        return removed
    }

    public func statistics() async -> AnnouncerStatistics { await home.run { self.current } }

    /// On the home loop.
    var current: AnnouncerStatistics {
        var statistics = machine.statistics(at: home.now)
        // Who asks right after an add sees it.
        statistics.queuedKeys = queue.count + collected.count + storing
        statistics.droppedKeys = dropped
        statistics.uptime = isRunning ? home.now - started : .zero
        return statistics
    }

    // MARK: The machine

    private func tell(_ input: ProvideMachine.Input) {
        guard isRunning else { return }
        machine.handle(input, at: home.now)
        while let output = machine.next() { perform(output) }
        alarm?.set(machine.deadline)
    }

    private func perform(_ output: ProvideMachine.Output) {
        switch output {
        case .gather(let start): scope.spawn(on: home) { [self] in await gather(from: start) }
        case .dequeue(let limit): dequeue(limit)
        case .announce(let keys, let source): scope.spawn(on: home) { [self] in await announce(keys, source) }
        case .forgetDequeued:
            let numbers = taken
            taken = []
            scope.spawn(on: home) { [self] in
                do { try await queue.remove(numbers) } catch { log(.warning, "the queue cannot be written", [LogField("error", "\(error)")]) }
                tell(.forgotten(queue.count))
            }
        case .save(let elapsed, let position):
            let start = system.wallTime + .nanoseconds(-elapsed.wholeNanoseconds)
            scope.spawn(on: home) { [self] in
                do { try await queue.saveSweep(start: start, position: position) } catch {
                    log(.warning, "the sweep's place cannot be written", [LogField("error", "\(error)")])
                }
            }
        }
    }

    private func gather(from start: UInt64) async {
        do {
            let window = try await keys.window(from: start)
            tell(.gathered(window.keys, isWhole: window.isWhole, total: window.total))
        } catch where Task.isCancelled {
        } catch {
            log(.warning, "the blocks cannot be listed", [LogField("error", "\(error)")])
            tell(.notGathered)
        }
    }

    private func dequeue(_ limit: Int) {
        do {
            let rows = try queue.first(limit)
            taken = rows.map(\.number)
            tell(.dequeued(rows.map { KeyspaceKey($0.hash) }.sorted()))
        } catch {
            log(.warning, "the queue cannot be read", [LogField("error", "\(error)")])
            tell(.dequeued([]))
        }
    }

    /// Only what is still here is told.
    private func announce(_ keys: [KeyspaceKey], _ source: ProvideMachine.Source) async {
        do {
            let cids = keys.compactMap(\.cid)
            let sizes = try await repository.blocks.sizes(of: cids)
            let here = zip(cids, sizes).filter { $0.1 != nil }.map(\.0)
            guard !here.isEmpty else { return tell(.announced(ProvideOutcome())) }
            var outcome = try await routing.provide(many: here)
            // The machine compares with what it asked for: where all that is here failed, nobody was reached.
            if outcome.failed.count == here.count { outcome.failed = cids }
            tell(.announced(outcome))
        } catch where Task.isCancelled {
        } catch {
            log(.debug, "blocks are not announced", [LogField("blocks", keys.count), LogField("error", "\(error)")])
            tell(.announced(nil))
        }
    }
}
