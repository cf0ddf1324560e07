/// One re-armable timer of an object on a loop. Moving the deadline later, the common case, touches no timer queue.
///
/// Only on the loop. The owner must call `stop` when it ends.
public final class Alarm: @unchecked Sendable {
    private let loop: any EventLoop
    private var deadline: Instant?
    private var armed: (at: Instant, timer: Timer)?
    private var fire: (() -> Void)?

    public init(on loop: any EventLoop, _ fire: @escaping () -> Void) {
        self.loop = loop
        self.fire = fire
    }

    /// Sets or clears the deadline at which the closure is called once.
    public func set(_ deadline: Instant?) {
        self.deadline = deadline
        guard let deadline, fire != nil else { return }
        if let armed {
            if armed.at <= deadline { return }
            loop.cancel(armed.timer)
        }
        arm(at: deadline)
    }

    /// Ends the alarm and lets go of its closure.
    public func stop() {
        if let armed { loop.cancel(armed.timer) }
        armed = nil
        deadline = nil
        fire = nil
    }

    private func arm(at instant: Instant) {
        armed = (instant, loop.schedule(at: instant) { [self] in passed() })
    }

    private func passed() {
        armed = nil
        guard let deadline else { return }
        if deadline > loop.now { return arm(at: deadline) }
        self.deadline = nil
        fire?()
    }
}
