import Glibc

/// A few threads for work that blocks or takes long. They start when they are needed first.
final class OffloadPool: Sendable {
    private struct State {
        var work: [@Sendable () -> Void] = []
        var head = 0
        var idle = 0
        var threads: [Thread] = []
        var isStopped = false

        mutating func take() -> (@Sendable () -> Void)? {
            guard head < work.count else { return nil }
            defer {
                head += 1
                if head == work.count {
                    work.removeAll(keepingCapacity: true)
                    head = 0
                } else if head >= 1024 {
                    work.removeFirst(head)
                    head = 0
                }
            }
            return work[head]
        }
    }

    private enum Step {
        case work(@Sendable () -> Void)
        case stop
    }

    private let limit: Int
    private let monitor = Monitor(State())

    init(threads: Int) { limit = threads }

    func run<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        let result: Result<R, any Error> = await withUnsafeContinuation { continuation in
            let accepted = submit { continuation.resume(returning: Result { try work() }) }
            if !accepted { continuation.resume(returning: .failure(CancellationError())) }
        }
        return try result.get()
    }

    private func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        let accepted = monitor.withLock { state in
            if state.isStopped { return false }
            state.work.append(work)
            if state.idle < state.work.count - state.head, state.threads.count < limit {
                state.threads.append(Thread(name: "waggle-offload") { self.serve() })
            }
            return true
        }
        if accepted { monitor.signal() }
        return accepted
    }

    private func serve() {
        while true {
            let step: Step = monitor.wait { state in
                if let work = state.take() { return .work(work) }
                return state.isStopped ? .stop : nil
            } whileWaiting: { state, change in
                state.idle += change
            }
            switch step {
            case .work(let work): work()
            case .stop: return
            }
        }
    }

    /// Finishes the queue and ends the threads.
    func stop() {
        let threads = monitor.withLock { state in
            state.isStopped = true
            defer { state.threads = [] }
            return state.threads
        }
        monitor.broadcast()
        for thread in threads where !thread.isCurrent { thread.join() }
    }
}
