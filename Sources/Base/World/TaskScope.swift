import Synchronization

/// The tasks that an object started and has to see to their end before it ends itself.
///
/// A task group for work that begins in callbacks (an accepted connection, an inbound stream). Safe from any thread.
public final class TaskScope: Sendable {
    private enum Entry {
        case starting
        case running(any SpawnedTask)
        case cancelled
    }

    private struct State {
        var tasks: [UInt64: Entry] = [:]
        var nextID: UInt64 = 0
        var closed = false
        var waiting: [UnsafeContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    public init() {}

    /// Tasks that have not ended.
    public var count: Int { state.withLock { $0.tasks.count } }

    /// Starts `body` on `loop`; says false when the scope is closed and nothing was started.
    @discardableResult
    public func spawn(on loop: any EventLoop, _ body: @escaping @Sendable () async -> Void) -> Bool { start(on: loop, body) != nil }

    /// Starts `body` on `loop`, and gives what `cancel` takes; nil when the scope is closed and nothing was started.
    public func start(on loop: any EventLoop, _ body: @escaping @Sendable () async -> Void) -> UInt64? {
        let id: UInt64? = state.withLock { state in
            if state.closed { return nil }
            state.nextID += 1
            state.tasks[state.nextID] = .starting
            return state.nextID
        }
        guard let id else { return nil }
        let task = loop.spawn {
            await body()
            self.end(id)
        }
        let cancelled = state.withLock { state -> Bool in
            switch state.tasks[id] {
            case .none: return false  // It has ended already.
            case .cancelled: return true
            case .starting, .running:
                state.tasks[id] = .running(task)
                return false
            }
        }
        if cancelled { task.cancel() }
        return id
    }

    /// Asks one task to stop, if it has not ended.
    public func cancel(_ id: UInt64) {
        let running = state.withLock { state -> (any SpawnedTask)? in
            guard let entry = state.tasks[id] else { return nil }
            if case .running(let task) = entry { return task }
            state.tasks[id] = .cancelled
            return nil
        }
        running?.cancel()
    }

    /// Refuses new tasks, cancels the running ones and returns when all have ended.
    public func close() async {
        cancelAll()
        await drain()
    }

    /// Refuses new tasks and asks the running ones to stop, without waiting for them.
    public func cancelAll() {
        let running = state.withLock { state -> [any SpawnedTask] in
            state.closed = true
            var running: [any SpawnedTask] = []
            // In order of start, so that a simulated run is the same each time.
            for id in state.tasks.keys.sorted() {
                if case .running(let task) = state.tasks[id] { running.append(task) } else { state.tasks[id] = .cancelled }
            }
            return running
        }
        for task in running { task.cancel() }
    }

    /// Returns when no task is running; does not cancel anything.
    public func drain() async {
        await withUnsafeContinuation { continuation in
            let quiet = state.withLock { state in
                if state.tasks.isEmpty { return true }
                state.waiting.append(continuation)
                return false
            }
            if quiet { continuation.resume() }
        }
    }

    private func end(_ id: UInt64) {
        let waiting = state.withLock { state in
            state.tasks[id] = nil
            guard state.tasks.isEmpty else { return [UnsafeContinuation<Void, Never>]() }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
