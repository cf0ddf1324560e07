import WaggleBase

/// Lets so many requests run at once and the others wait in line, in order. Belongs to the home loop.
final class RequestLine: @unchecked Sendable {
    private let concurrent: Int
    private let limit: Int
    private let turn: Waiter
    private var running = 0
    private var waiting = 0

    init(_ limits: RequestLimits, on loop: any EventLoop) {
        concurrent = max(1, limits.concurrent)
        limit = max(0, limits.waiting)
        turn = Waiter(on: loop)
    }

    /// Runs `body` when its turn comes. On the loop.
    func run<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
        while running >= concurrent {
            guard waiting < limit else { throw RequestError.busy }
            waiting += 1
            defer { waiting -= 1 }
            try await turn.wait()
        }
        running += 1
        defer {
            running -= 1
            turn.wakeOne()
        }
        return try await body()
    }
}

/// Work that must end in time.
enum TimeLimit {
    /// Runs `body` as a task of `loop`, which is cancelled when the clock reaches `deadline`; throws `StreamError.timedOut` then. On the loop.
    static func run<R: Sendable>(until deadline: Instant, on loop: any EventLoop, _ body: @escaping @Sendable () async throws -> R) async throws -> R {
        try await withThrowingTaskGroup(of: R?.self) { group in
            group.addTask(executorPreference: loop.taskExecutor) { try await body() }
            group.addTask(executorPreference: loop.taskExecutor) {
                try await loop.sleep(until: deadline)
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let result = first else { throw StreamError.timedOut }
            return result
        }
    }
}
