import WaggleBase
import WaggleFormats
import WaggleNetwork

/// What is on its way to one peer. Only on the home loop.
///
/// Two lanes, each with a stream of its own that is opened when there is something to send and closed when there has been nothing for
/// a while: a question must not wait behind a megabyte of answers.
final class PeerLink {
    let peer: PeerID

    /// Changes of our wantlist that the peer has not been told, the latest for each block, in order.
    private var changes: [Multihash: BitswapMessage.Entry] = [:]
    private var order: [Multihash] = []
    var wants: Lane
    /// Failures of the wants' stream in a row.
    var failures = 0

    /// Bytes of blocks that went either way, and what the peer is worth to the swarm for them.
    private var exchanged = 0
    private(set) var value = 0

    var envelopes = Deque<LedgerMachine.Envelope>()
    var blocks: Lane

    /// A stream's task, running or not.
    struct Lane {
        var isRunning = false
        let work: Waiter
    }

    init(_ peer: PeerID, on loop: any EventLoop) {
        self.peer = peer
        wants = Lane(work: Waiter(on: loop))
        blocks = Lane(work: Waiter(on: loop))
    }

    var hasChanges: Bool { !order.isEmpty }

    func add(_ entry: BitswapMessage.Entry) {
        let key = entry.cid.multihash
        if changes.updateValue(entry, forKey: key) == nil { order.append(key) }
    }

    /// The oldest changes, as many as fit into one message.
    func takeChanges() -> [BitswapMessage.Entry] {
        let keys = order.prefix(BitswapLimits.entriesPerMessage)
        order.removeFirst(keys.count)
        return keys.compactMap { changes.removeValue(forKey: $0) }
    }

    /// Counts bytes of blocks; says whether the peer's value changed. It grows by ten with each doubling, so that it changes rarely.
    func exchange(_ bytes: Int) -> Bool {
        exchanged += bytes
        let grown = 10 * (Int.bitWidth - (exchanged >> 20).leadingZeroBitCount)
        defer { value = grown }
        return grown != value
    }

    func dropChanges() {
        changes = [:]
        order = []
    }
}
