import Synchronization
import WaggleBase

/// What a reader of a topic wants when it is slower than the messages come.
public enum ReaderOverflow: Sendable {
    /// The oldest message that waits is lost. The default.
    case dropOldest
    /// The new message is lost.
    case dropNewest
    /// Streams are read no further until there is room, so that senders feel it. It slows all topics of the peers concerned.
    case wait
}

/// The messages of a topic, in the order in which they were accepted. A bounded number waits; `missed` tells how many were lost.
///
/// Each message goes to one iterator. Ends when the topic is left, or the node closes.
public final class TopicMessages: AsyncSequence, Sendable {
    public typealias Element = PubSubMessage

    private struct State {
        var waiting = Deque<PubSubMessage>()
        var bytes = 0
        var missed = 0
        var isEnded = false
    }

    private let limit: Int
    private let overflow: ReaderOverflow
    private let loop: any EventLoop
    private let arrived: Waiter
    private let taken: Waiter
    private let state = Mutex(State())

    /// What may wait in bytes besides the number of messages.
    private static let bytes = 16 << 20
    /// How many an iterator takes at a time.
    private static let batch = 64

    init(limit: Int, overflow: ReaderOverflow, on loop: any EventLoop) {
        self.limit = Swift.max(1, limit)
        self.overflow = overflow
        self.loop = loop
        arrived = Waiter(on: loop)
        taken = Waiter(on: loop)
    }

    /// Messages lost to this reader because it was too slow.
    public var missed: Int { state.withLock { $0.missed } }

    /// Adds messages. Says whether whoever brought them should wait for room.
    func deliver(_ messages: some Collection<PubSubMessage>) -> Bool {
        let (isAwaited, isFull) = state.withLock { state in
            guard !state.isEnded else { return (false, false) }
            let wasEmpty = state.waiting.isEmpty
            for message in messages {
                if overflow != .wait {
                    var isFull = state.waiting.count >= limit || (state.bytes > TopicMessages.bytes && !state.waiting.isEmpty)
                    if isFull, overflow == .dropNewest {
                        state.missed += 1
                        continue
                    }
                    while isFull, let oldest = state.waiting.popFirst() {
                        state.bytes -= oldest.message.field.count
                        state.missed += 1
                        isFull = state.bytes > TopicMessages.bytes && !state.waiting.isEmpty
                    }
                }
                state.waiting.append(message)
                state.bytes += message.message.field.count
            }
            return (wasEmpty, overflow == .wait && (state.waiting.count >= limit || state.bytes > TopicMessages.bytes))
        }
        if isAwaited { wake(arrived) }
        return isFull
    }

    /// Returns when half of what may wait has been taken, or the reader is gone.
    func room() async {
        await loop.run { [self] in
            while state.withLock({ !$0.isEnded && ($0.waiting.count > limit / 2 || $0.bytes > TopicMessages.bytes / 2) }) {
                do { try await taken.wait() } catch { return }
            }
        }
    }

    func end() {
        state.withLock { $0.isEnded = true }
        wake(arrived)
        wake(taken)
    }

    private func wake(_ waiter: Waiter) {
        if loop.isCurrent { waiter.wake() } else { loop.execute { waiter.wake() } }
    }

    /// Some messages, at least one; nil at the end or when the task is cancelled.
    fileprivate func take() async -> Deque<PubSubMessage>? {
        await loop.run { [self] in
            while true {
                let (batch, isEnded) = state.withLock { state -> (Deque<PubSubMessage>, Bool) in
                    var batch = Deque<PubSubMessage>()
                    while batch.count < TopicMessages.batch, let message = state.waiting.popFirst() {
                        state.bytes -= message.message.field.count
                        batch.append(message)
                    }
                    return (batch, state.isEnded)
                }
                if !batch.isEmpty {
                    if overflow == .wait { taken.wake() }
                    return batch
                }
                if isEnded { return nil }
                do { try await arrived.wait() } catch { return nil }
            }
        }
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let messages: TopicMessages
        private var batch = Deque<PubSubMessage>()

        init(_ messages: TopicMessages) { self.messages = messages }

        /// The next message; nil when the topic was left or the task is cancelled.
        public mutating func next() async -> PubSubMessage? {
            if let message = batch.popFirst() { return message }
            guard let more = await messages.take() else { return nil }
            batch = more
            return batch.popFirst()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

/// Events of publish-subscribe, in order. At most 256 wait; when more come, the oldest go and `.missed` tells how many.
public final class PubSubEvents: AsyncSequence, Sendable {
    public typealias Element = PubSubEvent

    private struct State {
        var waiting = Deque<PubSubEvent>()
        var missed = 0
        var isEnded = false
    }

    private let topic: TopicID?
    private let loop: any EventLoop
    private let arrived: Waiter
    private let state = Mutex(State())

    init(_ topic: TopicID?, on loop: any EventLoop) {
        self.topic = topic
        self.loop = loop
        arrived = Waiter(on: loop)
    }

    func deliver(_ event: PubSubEvent) {
        if let topic, event.topic != topic { return }
        state.withLock { state in
            if state.waiting.count >= PubSubLimits.eventsPerReader {
                state.waiting.popFirst()
                state.missed += 1
            }
            state.waiting.append(event)
        }
        wake()
    }

    func end() {
        state.withLock { $0.isEnded = true }
        wake()
    }

    private func wake() {
        if loop.isCurrent { arrived.wake() } else { loop.execute { [arrived] in arrived.wake() } }
    }

    fileprivate func next() async -> PubSubEvent? {
        await loop.run { [self] in
            while true {
                let (event, isEnded) = state.withLock { state -> (PubSubEvent?, Bool) in
                    if state.missed > 0 {
                        defer { state.missed = 0 }
                        return (.missed(state.missed), false)
                    }
                    return (state.waiting.popFirst(), state.isEnded)
                }
                if let event { return event }
                if isEnded { return nil }
                do { try await arrived.wait() } catch { return nil }
            }
        }
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let events: PubSubEvents
        public mutating func next() async -> PubSubEvent? { await events.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(events: self) }
}

extension PubSubEvent {
    /// The topic it is about; nil for `missed`.
    public var topic: TopicID? {
        switch self {
        case .joined(let topic, _), .left(let topic, _), .grafted(let topic, _), .pruned(let topic, _): topic
        case .missed: nil
        }
    }
}
