import Synchronization
import WaggleBase

/// One reader's events, in order. At most `capacity` wait; when more come, the oldest go and `.missed` tells how many.
///
/// Ends when the swarm closes. Letting go of the sequence ends the subscription.
public final class SwarmEvents: AsyncSequence, Sendable {
    public typealias Element = SwarmEvent

    private struct State {
        var waiting = Deque<SwarmEvent>()
        var missed = 0
        var ended = false
    }

    let capacity: Int
    private let loop: any EventLoop
    private let arrived: Waiter
    private let state = Mutex(State())

    init(capacity: Int, on loop: any EventLoop) {
        self.capacity = capacity
        self.loop = loop
        arrived = Waiter(on: loop)
    }

    /// The next event; nil when the swarm is closed or the task is cancelled.
    public func next() async -> SwarmEvent? {
        await loop.run { [self] in
            while true {
                if let event = take() { return event }
                if state.withLock({ $0.ended }) { return nil }
                do { try await arrived.wait() } catch { return nil }
            }
        }
    }

    func deliver(_ event: SwarmEvent) {
        state.withLock { state in
            if state.waiting.count >= capacity {
                state.waiting.popFirst()
                state.missed += 1
            }
            state.waiting.append(event)
        }
        wake()
    }

    func end() {
        state.withLock { $0.ended = true }
        wake()
    }

    private func wake() {
        if loop.isCurrent { arrived.wake() } else { loop.execute { [arrived] in arrived.wake() } }
    }

    private func take() -> SwarmEvent? {
        state.withLock { state in
            if state.missed > 0 {
                defer { state.missed = 0 }
                return .missed(state.missed)
            }
            return state.waiting.popFirst()
        }
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let events: SwarmEvents
        public mutating func next() async -> SwarmEvent? { await events.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(events: self) }
}

/// A handler's subscription; the events stop when it is cancelled.
public final class SwarmObservation: Sendable {
    private let stop: @Sendable () -> Void
    init(_ stop: @escaping @Sendable () -> Void) { self.stop = stop }
    public func cancel() { stop() }
}

/// Hands events to every subscriber. Safe from any thread.
final class EventHub: Sendable {
    private struct Observer {
        var loop: any EventLoop
        var handle: @Sendable (SwarmEvent) -> Void
    }

    private struct WeakEvents { weak var events: SwarmEvents? }

    private struct State {
        var readers: [WeakEvents] = []
        var observers: [(id: UInt64, observer: Observer)] = []
        var nextID: UInt64 = 0
        var ended = false
    }

    private let state = Mutex(State())

    func emit(_ event: SwarmEvent) {
        // Under the lock, so that all subscribers see one order.
        state.withLock { state in
            var anyGone = false
            for reader in state.readers {
                if let events = reader.events { events.deliver(event) } else { anyGone = true }
            }
            if anyGone { state.readers.removeAll { $0.events == nil } }
            for (_, observer) in state.observers {
                let handle = observer.handle
                observer.loop.execute { handle(event) }
            }
        }
    }

    func subscribe(capacity: Int, on loop: any EventLoop) -> SwarmEvents {
        let events = SwarmEvents(capacity: capacity, on: loop)
        let ended = state.withLock { state in
            state.readers.append(WeakEvents(events: events))
            return state.ended
        }
        if ended { events.end() }
        return events
    }

    func observe(on loop: any EventLoop, _ handle: @escaping @Sendable (SwarmEvent) -> Void) -> SwarmObservation {
        let id = state.withLock { state in
            state.nextID += 1
            state.observers.append((state.nextID, Observer(loop: loop, handle: handle)))
            return state.nextID
        }
        return SwarmObservation { [weak self] in
            self?.state.withLock { $0.observers.removeAll { $0.id == id } }
        }
    }

    /// Ends every subscription.
    func end() {
        let readers = state.withLock { state in
            state.ended = true
            state.observers = []
            return state.readers
        }
        for reader in readers { reader.events?.end() }
    }
}
