import WaggleBase
import WaggleFormats
import WaggleNetwork

/// When which blocks are announced: new ones at once, all others once in an interval.
///
/// The sweep goes through the key space like the hand of a clock: a block at the fraction f of the key space has its turn at the fraction f of
/// the interval, together with those that share its prefix, so that neighbours are announced in one call, the work is spread over the
/// interval, and each block comes once in it. What became due while the node was down, or nobody could be reached, is made up for, with a
/// pause between calls. One call is under way at a time; new blocks and the sweep take turns.
/// ```
///  idle ── queue not empty ──► dequeuing ──► announcing ──► idle (pause)
///    └──── a region is due ──► gathering (when the window ends or is old) ──► announcing ──► idle (pause)
///                                                              └─ nobody reached ──► idle (longer and longer)
/// ```
struct ProvideMachine: Machine {
    typealias Failure = Never

    enum Source: Hashable, Sendable { case queue, sweep }

    enum Input: Sendable {
        /// How long ago the cycle began, and how far it got before the node was stopped.
        case started(elapsed: Duration, position: UInt64)
        /// The answer to `gather`: keys in order from there on, whether there are none behind them, and how many there are in all.
        case gathered([KeyspaceKey], isWhole: Bool, total: Int)
        /// The other answer: the keys cannot be listed now.
        case notGathered
        /// The answer to `dequeue`.
        case dequeued([KeyspaceKey])
        /// So many wait in the queue.
        case queue(Int)
        /// So many new keys came that the sweep will find.
        case added(Int)
        /// The answer to `forgetDequeued`: so many wait now.
        case forgotten(Int)
        /// The answer to `announce`; nil when nobody could be asked.
        case announced(ProvideOutcome?)
        case peerConnected
        case tick
    }

    enum Output: Sendable, Equatable {
        case gather(from: UInt64)
        case dequeue(Int)
        case announce([KeyspaceKey], Source)
        /// The blocks that were dequeued last are done with.
        case forgetDequeued
        case save(elapsed: Duration, position: UInt64)
    }

    private enum Activity: Equatable { case stopped, idle, gathering, dequeuing, forgetting, announcing(Source, keys: Int, last: UInt64, since: Instant) }

    /// nil: new blocks are announced, nothing is announced again.
    let interval: Duration?
    /// How long a window is used.
    let windowAge: Duration
    private var activity = Activity.stopped
    /// The cycle began `base` before `origin`.
    private var origin = Instant(nanoseconds: 0)
    /// When the first keys of this cycle were announced; nil when that was before the start or is to come.
    private var cycleBegan: Instant?
    private var base = Duration.zero
    /// All keys below have been announced in this cycle; nil when all have.
    private var position: UInt64? = 0
    private var window: [KeyspaceKey] = []
    private var index = 0
    private var windowIsWhole = false
    private var windowTaken: Instant?
    private var bits = 0
    private var queued = 0
    private var lastSource = Source.sweep
    private var notBefore = Instant(nanoseconds: 0)
    private var failures = 0
    private var outputs = Deque<Output>()
    private(set) var progress = AnnouncerStatistics()

    init(interval: Duration?, windowAge: Duration) {
        self.interval = interval.flatMap { $0 > .zero ? $0 : nil }
        self.windowAge = windowAge
    }

    mutating func next() -> Output? { outputs.popFirst() }

    mutating func handle(_ input: consuming Input, at now: Instant) {
        switch input {
        case .started(let elapsed, let position): start(elapsed, position, now)
        case .gathered(let keys, let isWhole, let total): gathered(keys, isWhole, total, now)
        case .notGathered: notGathered(now)
        case .dequeued(let keys): dequeued(keys, now)
        case .queue(let count): queued = count
        case .added(let count): if interval != nil { progress.scheduledKeys += count }
        case .forgotten(let count):
            if activity == .forgetting { activity = .idle }
            queued = count
        case .announced(let outcome): announced(outcome, now)
        case .peerConnected:
            guard failures > 0 else { break }
            failures = 1
            notBefore = min(notBefore, now + ProvideLimits.retryAfterConnecting)
        case .tick: break
        }
        step(now)
    }

    var deadline: Instant? {
        guard activity == .idle else { return nil }
        if queued > 0 { return notBefore }
        return sweepDue.map { max($0, notBefore) }
    }

    // MARK: The clock

    private func elapsed(_ now: Instant) -> Duration { base + (now - origin) }

    private func instant(_ elapsed: Duration) -> Instant { origin + (elapsed - base) }

    private mutating func start(_ elapsed: Duration, _ position: UInt64, _ now: Instant) {
        activity = .idle
        origin = now
        self.position = position
        guard let interval else { return }
        // A clock that was set back says nothing: as if everything were due.
        let isSound = elapsed >= interval / -2 && elapsed <= interval * 2
        base = isSound ? elapsed : interval
        if !isSound { self.position = 0 }
    }

    /// When the next region has its turn, or the next cycle begins.
    private var sweepDue: Instant? {
        guard let interval else { return nil }
        guard let position else { return instant(interval) }
        if index < window.count { return instant(due(window[index].point, interval)) }
        // What comes next is not known: look at once.
        return instant(due(position, interval))
    }

    private func due(_ point: UInt64, _ interval: Duration) -> Duration {
        .nanoseconds(Int64(Double(interval.wholeNanoseconds) * (Double(prefix(point)) / 0x1p64)))
    }

    /// Where the region of a point begins.
    private func prefix(_ point: UInt64) -> UInt64 { bits == 0 ? 0 : (point >> UInt64(64 - bits)) << UInt64(64 - bits) }

    // MARK: Steps

    private mutating func step(_ now: Instant) {
        guard activity == .idle, now >= notBefore else { return }
        if queued > 0, lastSource == .sweep || !canSweep(now) { return dequeue() }
        if canSweep(now) { return sweep(now) }
        if queued > 0 { dequeue() }
    }

    private mutating func dequeue() {
        activity = .dequeuing
        outputs.append(.dequeue(ProvideLimits.batch))
    }

    private func canSweep(_ now: Instant) -> Bool { sweepDue.map { $0 <= now } ?? false }

    private mutating func sweep(_ now: Instant) {
        guard let interval else { return }
        guard let position else { return beginCycle(interval, now) }
        let isOld = windowTaken.map { now > $0 + windowAge } ?? true
        if isOld || (index == window.count && !windowIsWhole) {
            activity = .gathering
            outputs.append(.gather(from: position))
            return
        }
        guard index < window.count else { return endCycle(now) }
        let region = prefix(window[index].point)
        let batch = window[index...].prefix { prefix($0.point) == region }.prefix(ProvideLimits.batch)
        announce(Array(batch), .sweep, now)
    }

    private mutating func beginCycle(_ interval: Duration, _ now: Instant) {
        base = base - interval
        // Cycles that were missed as a whole are not made up for, but this one is due as a whole then.
        if elapsed(now) > interval { (origin, base) = (now, interval) }
        // All keys are fresh after a cycle that was made up for in a hurry: the next one can wait.
        if let cycleBegan, now - cycleBegan < interval / 2 { (origin, base) = (now, interval / -2) }
        cycleBegan = nil
        position = 0
        forgetWindow()
        outputs.append(.save(elapsed: elapsed(now), position: 0))
        step(now)
    }

    private mutating func endCycle(_ now: Instant) {
        position = nil
        forgetWindow()
        progress.cycleEnded()
        outputs.append(.save(elapsed: elapsed(now), position: .max))
        step(now)
    }

    private mutating func forgetWindow() {
        window = []
        index = 0
        windowIsWhole = false
        windowTaken = nil
    }

    private mutating func gathered(_ keys: [KeyspaceKey], _ isWhole: Bool, _ total: Int, _ now: Instant) {
        guard activity == .gathering else { return }
        activity = .idle
        window = keys
        index = 0
        windowIsWhole = isWhole || keys.isEmpty
        windowTaken = now
        bits = 0
        while bits < ProvideLimits.regionBits, total >> bits > ProvideLimits.regionKeys { bits += 1 }
        progress.scheduledKeys = total
        progress.prefixBits = bits
        if keys.isEmpty { endCycle(now) }
    }

    /// The turn of these keys is not lost: they are listed again a little later.
    private mutating func notGathered(_ now: Instant) {
        guard activity == .gathering else { return }
        activity = .idle
        notBefore = max(notBefore, now + ProvideLimits.firstRetry)
    }

    private mutating func dequeued(_ keys: [KeyspaceKey], _ now: Instant) {
        guard activity == .dequeuing else { return }
        activity = .idle
        guard !keys.isEmpty else {
            queued = 0
            return
        }
        announce(keys, .queue, now)
    }

    private mutating func announce(_ keys: [KeyspaceKey], _ source: Source, _ now: Instant) {
        guard let last = keys.last else { return }
        if source == .sweep, position == 0 { cycleBegan = now }
        activity = .announcing(source, keys: keys.count, last: last.point, since: now)
        lastSource = source
        progress.begin(source, keys: keys.count)
        outputs.append(.announce(keys, source))
    }

    private mutating func announced(_ outcome: ProvideOutcome?, _ now: Instant) {
        guard case .announcing(let source, let count, let last, let since) = activity else { return }
        activity = .idle
        guard let outcome, outcome.failed.count < count else {
            failures += 1
            notBefore = now + min(ProvideLimits.firstRetry * (1 << min(failures - 1, 10)), ProvideLimits.longestRetry)
            progress.failed(source, keys: count, at: now)
            return
        }
        failures = 0
        notBefore = now + ProvideLimits.pause
        progress.ended(source, keys: count, outcome, took: now - since, at: now)
        switch source {
        case .queue:
            activity = .forgetting
            outputs.append(.forgetDequeued)
        case .sweep:
            index += count
            position = last < .max ? last + 1 : nil
            outputs.append(.save(elapsed: elapsed(now), position: position ?? .max))
            if position == nil { endCycle(now) }
        }
    }

    // MARK: Looking in

    /// The numbers at this moment.
    func statistics(at now: Instant) -> AnnouncerStatistics {
        var statistics = progress
        statistics.queuedKeys = queued
        statistics.interval = interval ?? .zero
        statistics.cycleElapsed = interval.map { elapsed(now).remainder(of: $0) } ?? .zero
        statistics.isConnected = failures == 0
        statistics.nextRegion = index < window.count ? AnnouncerStatistics.Region(prefix: window[index].point, bits: bits) : nil
        statistics.nextRegionDue = progress.scheduledKeys > 0 ? sweepDue.map { max($0, notBefore, now) } : nil
        statistics.regions = AnnouncerStatistics.regions(window, bits: bits, total: progress.scheduledKeys)
        statistics.overdueRegions = overdue(now)
        return statistics
    }

    /// Regions whose turn has passed.
    private func overdue(_ now: Instant) -> Int {
        guard let interval else { return 0 }
        var count = 0
        var last: UInt64?
        for key in window[index...] {
            let region = prefix(key.point)
            if region == last { continue }
            guard instant(due(key.point, interval)) <= now else { break }
            last = region
            count += 1
        }
        return count
    }
}

extension Duration {
    /// Where this moment lies in a cycle of `interval`: 0 up to less than it, also before the cycle's beginning.
    fileprivate func remainder(of interval: Duration) -> Duration {
        let (time, length) = (wholeNanoseconds, interval.wholeNanoseconds)
        guard length > 0 else { return .zero }
        let rest = time % length
        return .nanoseconds(rest < 0 ? rest + length : rest)
    }
}
