import WaggleBase

/// The messages of the last heartbeats: what is gossiped about, and what IWANTs are answered from.
struct MessageCache: ~Copyable {
    struct Entry {
        var message: GossipMessage
        var topic: Int
        /// The id, once somebody needed it.
        var id: Bytes?
        /// How often each peer was sent this in answer to an IWANT.
        var sent: [(peer: UInt32, count: UInt8)] = []
    }

    private var entries: [MessageKey: Entry] = [:]
    /// By topic, the newest window first.
    private var windows: [[Int: [MessageKey]]]
    private var order = Deque<MessageKey>()
    private(set) var bytes = 0
    private let gossiped: Int

    /// - Parameters: how many heartbeats messages are kept, and of how many gossip tells.
    init(length: Int, gossip: Int) {
        windows = Array(repeating: [:], count: max(length, 1))
        gossiped = min(max(gossip, 0), max(length, 1))
    }

    var count: Int { entries.count }

    private static func weight(_ message: GossipMessage) -> Int { max(message.field.retained, 64) + 160 }

    mutating func put(_ key: MessageKey, _ message: GossipMessage, id: Bytes?, topic: Int) {
        guard entries[key] == nil else { return }
        let weight = MessageCache.weight(message)
        while bytes + weight > PubSubLimits.cacheBytes.bytes || entries.count >= PubSubLimits.cacheMessages, let oldest = order.popFirst() {
            drop(oldest)
        }
        entries[key] = Entry(message: message, topic: topic, id: id)
        bytes += weight
        windows[0][topic, default: []].append(key)
        order.append(key)
    }

    private mutating func drop(_ key: MessageKey) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        bytes -= MessageCache.weight(entry.message)
    }

    subscript(key: MessageKey) -> Entry? { entries[key] }

    /// Notes that `peer` gets the message once more in answer to an IWANT; says how often that is.
    mutating func countSending(_ key: MessageKey, to peer: UInt32) -> Int {
        guard let index = entries[key]?.sent.firstIndex(where: { $0.peer == peer }) else {
            entries[key]?.sent.append((peer, 1))
            return 1
        }
        let count = (entries[key]?.sent[index].count ?? 0).addingReportingOverflow(1)
        entries[key]?.sent[index].count = count.overflow ? .max : count.partialValue
        return Int(count.overflow ? .max : count.partialValue)
    }

    /// The messages of `topic` that gossip tells of, newest window first.
    func gossip(of topic: Int) -> [(key: MessageKey, entry: Entry)] {
        var found: [(MessageKey, Entry)] = []
        for window in windows.prefix(gossiped) {
            for key in window[topic] ?? [] {
                if let entry = entries[key] { found.append((key, entry)) }
            }
        }
        return found
    }

    /// A heartbeat passed: the oldest window goes.
    mutating func shift() {
        for keys in windows.removeLast().values {
            for key in keys { drop(key) }
        }
        windows.insert([:], at: 0)
        while let first = order.first, entries[first] == nil { order.popFirst() }
    }
}
