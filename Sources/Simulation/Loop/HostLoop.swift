import WaggleBase

/// A host's view of the world's loop: knows which tasks and timers are the host's, so that they die with it.
final class HostLoop: EventLoop, @unchecked Sendable {
    let base: SimulatedLoop
    private var tasks: [UInt64: SimulatedTask] = [:]
    private var nextTask: UInt64 = 0
    private(set) var isDead = false

    init(base: SimulatedLoop) { self.base = base }

    var now: Instant { base.now }
    var isCurrent: Bool { base.isCurrent }
    var taskExecutor: any TaskExecutor { base.taskExecutor }

    // Goes on after the end of the host: its cancelled tasks need it to unwind.
    func execute(_ job: @escaping @Sendable () -> Void) { base.execute(job) }

    func schedule(at deadline: Instant, _ fire: @escaping () -> Void) -> Timer {
        base.schedule(at: deadline) { [self] in
            if !isDead { fire() }
        }
    }

    func cancel(_ timer: Timer) { base.cancel(timer) }

    func spawn(_ body: @escaping @Sendable () async -> Void) -> any SpawnedTask {
        nextTask += 1
        let id = nextTask
        let task = base.spawn { [self] in
            await body()
            tasks[id] = nil
        }
        tasks[id] = task
        if isDead { task.cancel() }
        return task
    }

    /// Cancels the host's tasks and forgets its timers.
    func die() {
        isDead = true
        for (_, task) in tasks.sorted(by: { $0.key < $1.key }) { task.cancel() }
    }
}
