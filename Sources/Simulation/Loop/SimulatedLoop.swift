import Synchronization
import WaggleBase

/// Runs everything in a world, one thing at a time: jobs in order of arrival, then the next timer, whose deadline becomes the time.
final class SimulatedLoop: @unchecked Sendable {
    private enum Work {
        case job(UnownedJob)
        case closure(@Sendable () -> Void)
    }

    /// So many jobs in a row without time going on are taken for a livelock.
    private static let livelockThreshold = 20_000_000

    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private var timers = TimerQueue()
    // Locked, because a task that strays from the loop may come back from another thread.
    private let ready = Mutex(Deque<Work>())
    private let driving = Atomic(false)
    private let executor = Executor()
    var trace: Trace

    init(keepsTraceLines: Bool) {
        trace = Trace(keepsLines: keepsTraceLines)
        executor.loop = self
    }

    var taskExecutor: any TaskExecutor { executor }
    var isCurrent: Bool { driving.load(ordering: .relaxed) }

    func note(_ event: Trace.Event) { trace.note(now, event) }

    func execute(_ job: @escaping @Sendable () -> Void) { ready.withLock { $0.append(.closure(job)) } }

    func schedule(at deadline: Instant, _ fire: @escaping () -> Void) -> Timer {
        timers.schedule(at: max(deadline, now), fire)
    }

    func schedule(after delay: Duration, _ fire: @escaping () -> Void) { _ = timers.schedule(at: now + delay, fire) }

    func cancel(_ timer: Timer) { timers.cancel(timer) }

    func spawn(_ body: @escaping @Sendable () async -> Void) -> SimulatedTask {
        SimulatedTask(task: Task.detached(executorPreference: executor) { await body() })
    }

    enum Stop { case done, idle, late, livelock }

    /// Runs until `isDone`, until nothing is left, or until the next timer is later than `limit`.
    func drive(until limit: Instant, threshold: Int = livelockThreshold, isDone: () -> Bool) -> Stop {
        precondition(!driving.exchange(true, ordering: .acquiring), "a world is run inside its own run")
        defer { driving.store(false, ordering: .releasing) }
        var steps = 0
        while true {
            if isDone() { return .done }
            if let work = ready.withLock({ $0.popFirst() }) {
                steps += 1
                if steps > threshold { return .livelock }
                run(work)
                continue
            }
            guard let next = timers.nextDeadline else { return .idle }
            if next > limit {
                now = max(now, limit)
                return .late
            }
            if next > now {
                now = next
                steps = 0
            }
            if let fire = timers.popDue(at: now) {
                note(.timer)
                fire()
            }
        }
    }

    /// Runs what is ready, without letting time go on.
    func drain() {
        guard !isCurrent else { return }
        _ = drive(until: now) { false }
    }

    /// Lets what has been cancelled end, and forgets what is left.
    func end() {
        guard !isCurrent else { return }
        _ = drive(until: now + .seconds(1), threshold: 1_000_000) { false }
        timers = TimerQueue()
    }

    private func run(_ work: Work) {
        switch work {
        case .job(let job): job.runSynchronously(on: executor.asUnownedTaskExecutor())
        case .closure(let closure): closure()
        }
    }

    private final class Executor: TaskExecutor, @unchecked Sendable {
        weak var loop: SimulatedLoop?

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            loop?.ready.withLock { $0.append(.job(job)) }
        }
    }
}

struct SimulatedTask: SpawnedTask {
    let task: Task<Void, Never>
    func cancel() { task.cancel() }
}
