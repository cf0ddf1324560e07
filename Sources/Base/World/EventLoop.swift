/// One thread of the real world, or the only one of a simulated world: runs callbacks, timers and tasks, one at a time.
///
/// Everything that belongs to a connection lives on one loop, so the data path needs no lock. Members are safe to call from any
/// thread unless they say otherwise.
public protocol EventLoop: AnyObject, Sendable {
    /// The loop's clock. On the loop it is read once per turn and costs next to nothing.
    var now: Instant { get }

    /// Whether the caller runs on this loop.
    var isCurrent: Bool { get }

    /// The executor for tasks that shall run on this loop.
    var taskExecutor: any TaskExecutor { get }

    /// Runs `job` on the loop, after what is queued already.
    func execute(_ job: @escaping @Sendable () -> Void)

    /// Calls `fire` once when the clock reaches `deadline`. Only on the loop.
    func schedule(at deadline: Instant, _ fire: @escaping () -> Void) -> Timer

    /// Drops a timer that has not fired. Only on the loop.
    func cancel(_ timer: Timer)

    /// Starts a task on the loop. `TaskScope` is the only caller: it keeps the task in a structure.
    func spawn(_ body: @escaping @Sendable () async -> Void) -> any SpawnedTask
}

/// Names one scheduled timer of one loop.
public struct Timer: Hashable, Sendable {
    public let id: UInt64
    public init(id: UInt64) { self.id = id }
}

/// A started task that can be asked to stop.
public protocol SpawnedTask: Sendable {
    func cancel()
}

extension EventLoop {
    /// Runs `body` on this loop and returns to the caller's executor with its result; costs nothing when already there.
    public func run<R: Sendable, E: Error>(_ body: @Sendable () async throws(E) -> R) async throws(E) -> R {
        if isCurrent { return try await body() }
        let outcome: Result<R, E> = await withTaskExecutorPreference(taskExecutor) { @concurrent () async -> Result<R, E> in
            // Needed: without work of its own in front of the call, the compiler leaves out the switch to the loop.
            precondition(isCurrent, "a task left its event loop")
            do throws(E) { return .success(try await body()) } catch { return .failure(error) }
        }
        return try outcome.get()
    }

    /// Suspends until the clock reaches `deadline`; throws when the task is cancelled first. Only on the loop.
    public func sleep(until deadline: Instant) async throws(CancellationError) {
        let waiter = Waiter(on: self)
        let timer = schedule(at: deadline) { waiter.wake() }
        defer { cancel(timer) }
        try await waiter.wait()
    }
}
