import WaggleBase

/// Lets so many requests run at once and the others wait in line, in order. Belongs to the home loop.
final class RequestLine: @unchecked Sendable {
    /// One who waits. Its place is handed over, not given up: who comes later finds none free.
    private final class Turn {
        let came: Waiter
        var isOurs = false
        init(on loop: any EventLoop) { came = Waiter(on: loop) }
    }

    private let concurrent: Int
    private let limit: Int
    private let loop: any EventLoop
    private var running = 0
    private var waiting: [Turn] = []

    init(_ limits: RequestLimits, on loop: any EventLoop) {
        concurrent = max(1, limits.concurrent)
        limit = max(0, limits.waiting)
        self.loop = loop
    }

    /// Runs `body` when its turn comes. On the loop.
    func run<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
        if running < concurrent { running += 1 } else { try await wait() }
        defer { leave() }
        return try await body()
    }

    private func wait() async throws {
        guard waiting.count < limit else { throw RequestError.busy }
        let turn = Turn(on: loop)
        waiting.append(turn)
        do {
            while !turn.isOurs { try await turn.came.wait() }
        } catch {
            if turn.isOurs { leave() } else { waiting.removeAll { $0 === turn } }
            throw error
        }
    }

    private func leave() {
        guard !waiting.isEmpty else {
            running -= 1
            return
        }
        let next = waiting.removeFirst()
        next.isOurs = true
        next.came.wake()
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
