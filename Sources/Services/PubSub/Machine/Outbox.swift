import WaggleBase
import WaggleFormats

/// What waits to be sent to one peer. Control goes before data, what we publish before what we forward, gossip last; when there is too much,
/// gossip is dropped first, then the oldest forwarded message, then the oldest of our own.
struct Outbox {
    /// A message in the queue.
    struct Item {
        var key: MessageKey
        /// The field `publish`, shared by all who get it.
        var field: Bytes
    }

    private enum Control {
        case graft(topic: Int, Bytes)
        case prune(topic: Int, TopicID, backOff: UInt64?, exchanged: [PeerExchange])
        case other(Bytes)
    }

    /// A peer that a PRUNE tells of.
    struct PeerExchange: Sendable {
        var peer: Bytes
        var record: Bytes?
    }

    private var greeting: Bytes?
    private var subscriptions: [(topic: Int, field: Bytes)] = []
    private var controls: [Control] = []
    private var own = Deque<Item>()
    private var forwarded = Deque<Item>()
    private var gossip: [Bytes] = []
    private(set) var ownBytes = 0
    private(set) var forwardedBytes = 0
    /// Messages that were dropped for lack of room since they were last counted.
    private(set) var dropped = 0

    var isEmpty: Bool {
        greeting == nil && subscriptions.isEmpty && controls.isEmpty && own.isEmpty && forwarded.isEmpty && gossip.isEmpty
    }

    /// Messages that wait.
    var messages: Int { own.count + forwarded.count }

    // MARK: In

    /// The control field that has to be in the first RPC of the stream.
    mutating func greet(_ control: Bytes) { greeting = control }

    /// The newest word on a topic replaces an older one that still waits.
    mutating func subscribe(_ topic: Int, _ field: Bytes) {
        subscriptions.removeAll { $0.topic == topic }
        subscriptions.append((topic, field))
    }

    mutating func graft(_ topic: Int, _ field: Bytes) {
        withdraw(topic)
        controls.append(.graft(topic: topic, field))
    }

    mutating func prune(_ topic: Int, _ name: TopicID, backOff: UInt64?, exchanged: [PeerExchange]) {
        withdraw(topic)
        guard controls.count < PubSubLimits.queuedControls else { return }
        controls.append(.prune(topic: topic, name, backOff: backOff, exchanged: exchanged))
    }

    /// A PRUNE of a topic that is not in our table.
    mutating func pruneUnknown(_ field: Bytes) { control(field) }

    private mutating func withdraw(_ topic: Int) {
        controls.removeAll {
            switch $0 {
            case .graft(let other, _), .prune(let other, _, _, _): other == topic
            case .other: false
            }
        }
    }

    /// IWANT and IDONTWANT.
    mutating func control(_ field: Bytes) {
        guard controls.count < PubSubLimits.queuedControls else { return }
        controls.append(.other(field))
    }

    /// IHAVE. What did not go out since the last heartbeats is dropped for what is newer.
    mutating func tell(_ field: Bytes) {
        if gossip.count >= PubSubLimits.queuedGossip {
            gossip.removeFirst()
        }
        gossip.append(field)
    }

    /// A message of our own. Says false when an older one of our own had to go for it.
    @discardableResult
    mutating func publish(_ item: Item) -> Bool {
        var isRoomy = true
        while !hasRoom(item), forwarded.popFirst().map({ forwardedBytes -= $0.field.count }) != nil {
            dropped += 1
            gossip = []
        }
        while !hasRoom(item), own.popFirst().map({ ownBytes -= $0.field.count }) != nil {
            dropped += 1
            isRoomy = false
        }
        own.append(item)
        ownBytes += item.field.count
        return isRoomy
    }

    /// A message of somebody else's.
    mutating func forward(_ item: Item) {
        if !hasRoom(item) { gossip = [] }
        while !hasRoom(item), forwarded.popFirst().map({ forwardedBytes -= $0.field.count }) != nil { dropped += 1 }
        guard hasRoom(item) else {
            dropped += 1
            return
        }
        forwarded.append(item)
        forwardedBytes += item.field.count
    }

    mutating func takeDropped() -> Int {
        defer { dropped = 0 }
        return dropped
    }

    private func hasRoom(_ item: Item) -> Bool {
        messages < PubSubLimits.queuedMessages && ownBytes + forwardedBytes + item.field.count <= PubSubLimits.queuedBytes.bytes
    }

    // MARK: Out

    /// Takes what goes out next as one RPC with its length in front; nothing when nothing waits. Messages that `isUnwanted` knows are left out.
    ///
    /// The pieces follow each other on the stream: small fields are copied together, large ones are the windows that everybody shares.
    mutating func take(isUnwanted: (MessageKey) -> Bool) -> (pieces: [Bytes], messages: Int, cancelled: Int) {
        var fields: [Bytes] = []
        var size = 0
        var controlSize = 0
        var controlFields: [Bytes] = []
        let most = PubSubLimits.rpc.bytes - PubSubLimits.rpcOverhead

        if let greeting {
            controlFields.append(greeting)
            controlSize += greeting.count
            self.greeting = nil
        }
        // Subscriptions and control first, as far as they fit.
        var used = 0
        for (_, field) in subscriptions {
            guard size + field.count <= most / 2 else { break }
            fields.append(field)
            size += field.count
            used += 1
        }
        subscriptions.removeFirst(used)
        used = 0
        for control in controls {
            let field = Outbox.encode(control)
            guard size + controlSize + field.count <= most || used == 0 else { break }
            controlFields.append(field)
            controlSize += field.count
            used += 1
        }
        controls.removeFirst(used)

        var messages = 0
        var cancelled = 0
        var payload = 0
        // At least one message, and no more than a batch unless one is larger by itself.
        func fits(_ field: Bytes) -> Bool {
            if payload > 0, payload + field.count > PubSubLimits.batch.bytes { return false }
            return size + controlSize + field.count <= most || (messages == 0 && fields.isEmpty && controlSize == 0)
        }
        while let item = own.first, fits(item.field) {
            own.popFirst()
            ownBytes -= item.field.count
            // What we publish goes out whatever the peer said: only forwarding is cancelled.
            if isUnwanted(item.key) {
                cancelled += 1
                continue
            }
            fields.append(item.field)
            size += item.field.count
            payload += item.field.count
            messages += 1
        }
        while own.isEmpty, let item = forwarded.first, fits(item.field) {
            forwarded.popFirst()
            forwardedBytes -= item.field.count
            if isUnwanted(item.key) {
                cancelled += 1
                continue
            }
            fields.append(item.field)
            size += item.field.count
            payload += item.field.count
            messages += 1
        }
        if own.isEmpty, forwarded.isEmpty {
            used = 0
            for field in gossip {
                guard size + controlSize + field.count <= most else { break }
                controlFields.append(field)
                controlSize += field.count
                used += 1
            }
            gossip.removeFirst(used)
        }
        guard size + controlSize > 0 || !controlFields.isEmpty else { return ([], messages, cancelled) }
        return (Outbox.assemble(fields, size, controlFields, controlSize), messages, cancelled)
    }

    private static func encode(_ control: Control) -> Bytes {
        switch control {
        case .graft(_, let field), .other(let field): field
        case .prune(_, let topic, let backOff, let exchanged):
            GossipEncoding.prune(topic.bytes, backOff: backOff, peers: exchanged.map { ($0.peer, $0.record) })
        }
    }

    /// Fields above this many bytes travel as they are.
    private static let copied = 4 << 10

    private static func assemble(_ fields: [Bytes], _ size: Int, _ controlFields: [Bytes], _ controlSize: Int) -> [Bytes] {
        let controlHead = controlFields.isEmpty ? 0 : 1 + Varint.length(of: UInt64(controlSize))
        let whole = size + controlHead + controlSize
        var pieces: [Bytes] = []
        var writer = ByteWriter(capacity: min(whole, PubSubLimits.batch.bytes + 1024) + 8)
        writer.write(varint: UInt64(whole))
        if !controlFields.isEmpty {
            writer.write(UInt8(3 << 3 | 2))
            writer.write(varint: UInt64(controlSize))
            for field in controlFields { writer.write(field) }
        }
        for field in fields {
            if field.count <= copied {
                writer.write(field)
                continue
            }
            let gathered = writer
            pieces.append(gathered.finish())
            pieces.append(field)
            writer = ByteWriter(capacity: 1024)
        }
        if writer.count > 0 { pieces.append(writer.finish()) }
        return pieces
    }
}
