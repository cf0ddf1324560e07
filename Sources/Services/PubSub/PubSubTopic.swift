import Synchronization
import WaggleBase
import WaggleNetwork

/// A topic that was joined: its messages are received and passed on until it is left.
/// ```swift
/// let topic = try await pubsub.join("weather")
/// try await topic.publish("sunny")
/// for await message in topic.messages { print(message.data) }
/// ```
public final class PubSubTopic: Sendable {
    public let name: TopicID
    /// What arrives from the moment of joining on, our own messages included.
    public let messages: TopicMessages
    let pubsub: PubSub
    let core: TopicCore
    private let hasLeft = Atomic(false)

    init(_ name: TopicID, _ core: TopicCore, _ messages: TopicMessages, of pubsub: PubSub) {
        self.name = name
        self.core = core
        self.messages = messages
        self.pubsub = pubsub
    }

    /// Publishes `data`; says to how many peers it goes at once. None is no error: it is kept for a few seconds and gossiped about.
    @discardableResult
    public func publish(_ data: Bytes) async throws(PubSubError) -> Int { try await pubsub.publish(data, to: name) }

    /// Connected peers that subscribe to the topic, sorted.
    public var peers: [PeerID] { pubsub.peers(of: name) }

    /// Peers that messages go to directly, sorted.
    public var mesh: [PeerID] { pubsub.mesh(of: name) }

    /// Peers that come and go, from now on.
    public var events: PubSubEvents { pubsub.events(of: name) }

    /// Ends `messages`. The node leaves the topic when all who joined it have left.
    public func leave() {
        guard !hasLeft.exchange(true, ordering: .relaxed) else { return }
        messages.end()
        pubsub.leave(self)
    }
}

/// The readers of a topic.
final class TopicCore: Sendable {
    let name: TopicID
    private let readers = Mutex<[TopicMessages]>([])

    init(_ name: TopicID) { self.name = name }

    func add(_ reader: TopicMessages) { readers.withLock { $0.append(reader) } }

    /// Says how many are left.
    func remove(_ reader: TopicMessages) -> Int {
        readers.withLock { readers in
            readers.removeAll { $0 === reader }
            return readers.count
        }
    }

    /// Hands messages to all readers; returns those that want to be waited for.
    func deliver(_ messages: some Collection<PubSubMessage>) -> [TopicMessages] {
        readers.withLock { $0 }.filter { $0.deliver(messages) }
    }

    func end() {
        for reader in readers.withLock({ $0 }) { reader.end() }
    }
}
