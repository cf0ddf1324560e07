import WaggleBase

/// What a host's work costs of its one processor, when a world looks at load (`WorldOptions.processor`).
///
/// Virtual time stands still while code runs, so without this a host is infinitely fast and no flood can slow it down. What comes from the network
/// waits in one queue for the processor, in order; each thing takes its cost and is handled at the end of it. What code computes is not
/// seen from outside, so whoever wants it counted says so with `Host.spend`: the processor is busy for that much longer. Tasks and timers
/// take no time of their own and do not wait.
public struct ProcessorOptions: Sendable {
    /// Taking or refusing a connection, in the kernel and in the program.
    public var accept: Duration
    /// Being told that a connection can be read or written, reading or writing it, and handling what came.
    public var event: Duration

    public init(accept: Duration = .microseconds(15), event: Duration = .microseconds(10)) {
        self.accept = accept
        self.event = event
    }
}

/// The queue in front of a host's processor.
final class HostProcessor {
    private let base: SimulatedLoop
    private var waiting = Deque<(cost: Duration, body: () -> Void)>()
    private var isBusy = false
    /// What was spent and has not yet passed.
    private var debt: Duration = .zero
    /// All that was spent, for reports.
    private(set) var used: Duration = .zero

    init(_ base: SimulatedLoop) { self.base = base }

    /// Calls `body` when everything before it is done and `cost` has passed.
    func handle(_ cost: Duration, _ body: @escaping () -> Void) {
        waiting.append((cost, body))
        if !isBusy { serve() }
    }

    /// Makes the processor busy for `duration`, from now or from the end of what it does.
    func spend(_ duration: Duration) {
        debt += duration
        if !isBusy { serve() }
    }

    private func serve() {
        guard let next = waiting.popFirst() else {
            isBusy = debt > .zero
            if isBusy { pass(.zero) {} }
            return
        }
        isBusy = true
        pass(next.cost, next.body)
    }

    /// Lets `cost` pass, and whatever is spent meanwhile, then goes on.
    private func pass(_ cost: Duration, _ body: @escaping () -> Void) {
        let time = cost + debt
        used += time
        debt = .zero
        base.schedule(after: time) { [self] in
            if debt > .zero { return pass(.zero, body) }
            body()
            serve()
        }
    }
}
