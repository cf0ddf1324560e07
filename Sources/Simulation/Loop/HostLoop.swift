import WaggleBase

/// A host's view of the world's loop: knows which tasks and timers are the host's, so that they die with it.
final class HostLoop: EventLoop, @unchecked Sendable {
    let base: SimulatedLoop
    private var tasks: [UInt64: SimulatedTask] = [:]
    private var nextTask: UInt64 = 0
    private(set) var isDead = false
    private let options: ProcessorOptions?
    private let processor: HostProcessor

    init(base: SimulatedLoop, processor options: ProcessorOptions? = nil) {
        self.base = base
        self.options = options
        processor = HostProcessor(base)
    }

    /// Runs `body`, which handles an event of the network: now, or when the processor gets to it.
    func handle(_ cost: KeyPath<ProcessorOptions, Duration>, _ body: @escaping () -> Void) {
        guard let options else { return body() }
        processor.handle(options[keyPath: cost], body)
    }

    /// See `Host.spend`.
    func spend(_ duration: Duration) { if options != nil { processor.spend(duration) } }

    var processorTime: Duration { processor.used }

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
