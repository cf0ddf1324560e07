import WaggleBase
import WaggleFormats

/// Walks the graph of a file in the order of its content, and says which blocks it will need next.
///
/// Holds a list of slots in file order: subtrees that nobody asked for, subtrees that were asked for, and content. An inner node that
/// arrives is replaced by slots for its children. Only what overlaps the wanted range is ever asked for. Every subtree must hold exactly as
/// many bytes as its parent states, so each block brings the reader forward and no graph can keep it busy without content.
struct FileReadMachine: Sendable {
    /// A block to fetch.
    struct Want: Sendable {
        var ticket: Int
        var cid: CID
    }

    /// What the reader can do now.
    enum Step: Sendable {
        /// The next content.
        case bytes(Bytes)
        /// Nothing until this block is supplied, which was wanted already.
        case wait(Want)
        case end
    }

    private struct Slot {
        enum State {
            case unasked(CID)
            case asked(CID, ticket: Int)
            case content(Bytes)
        }

        var state: State
        /// Bytes of content in the subtree, as the parent states.
        var stated: UInt64
        /// The part of it that is wanted.
        var range: Range<UInt64>
        var depth: Int
    }

    private let root: CID
    private let aheadBytes: Int
    private let aheadBlocks: Int
    private var slots: [Slot] = []
    private var head = 0
    private var tickets = 0
    /// Content and blocks that were asked for or are here, and not consumed.
    private var heldBytes = 0
    private var heldBlocks = 0
    /// No slot before this one is unasked.
    private var firstUnasked = 0

    /// Reads `range` of the file at `root`; the part beyond its end is empty.
    init(_ root: UnixFSNode, range: Range<UInt64>, aheadBytes: Int, aheadBlocks: Int) throws(UnixFSError) {
        guard root.kind == .file else {
            throw root.isDirectory ? .isDirectory(root.cid) : .wrongKind(root.cid, root.kind)
        }
        self.root = root.cid
        self.aheadBytes = max(aheadBytes, 1)
        self.aheadBlocks = max(aheadBlocks, 1)
        let range = range.clamped(to: 0..<root.content)
        if !range.isEmpty { slots = FileReadMachine.expand(root, range, depth: 0) }
        for slot in slots { hold(slot) }
    }

    /// The next thing to do for whoever consumes.
    mutating func next() -> Step {
        guard head < slots.count else { return .end }
        switch slots[head].state {
        case .content(let bytes):
            release(slots[head])
            slots[head].state = .content(Bytes())
            head += 1
            firstUnasked = max(firstUnasked, head)
            compact()
            return .bytes(bytes)
        case .asked(let cid, let ticket): return .wait(Want(ticket: ticket, cid: cid))
        case .unasked: return .wait(ask(head))
        }
    }

    /// Blocks to ask for now, in the order of need; each is said once.
    mutating func wants() -> [Want] {
        var wants: [Want] = []
        while firstUnasked < slots.count {
            guard case .unasked(let cid) = slots[firstUnasked].state else {
                firstUnasked += 1
                continue
            }
            if firstUnasked > head {
                guard heldBlocks < aheadBlocks, heldBytes + cost(slots[firstUnasked]) <= aheadBytes else { break }
                // Only inner nodes make more slots.
                guard cid.codec == .raw || slots.count - head < UnixFSLimits.expandedLinks else { break }
            }
            wants.append(ask(firstUnasked))
        }
        return wants
    }

    /// Takes a block that was wanted; tickets that are not known any more are ignored.
    mutating func supply(_ ticket: Int, _ block: Bytes) throws(UnixFSError) {
        var index = head
        while index < slots.count {
            if case .asked(let cid, ticket) = slots[index].state {
                let slot = slots[index]
                release(slot)
                let parts = try decode(cid, block, slot)
                for part in parts { hold(part) }
                slots.replaceSubrange(index...index, with: parts)
                firstUnasked = min(firstUnasked, index)
                return
            }
            index += 1
        }
    }

    /// Gives up blocks that were asked for and not supplied: they will be wanted again.
    mutating func forget() {
        for index in head..<slots.count {
            guard case .asked(let cid, _) = slots[index].state else { continue }
            release(slots[index])
            slots[index].state = .unasked(cid)
        }
        firstUnasked = head
    }

    private mutating func ask(_ index: Int) -> Want {
        guard case .unasked(let cid) = slots[index].state else { preconditionFailure("asked twice") }
        tickets += 1
        slots[index].state = .asked(cid, ticket: tickets)
        hold(slots[index])
        return Want(ticket: tickets, cid: cid)
    }

    private func decode(_ cid: CID, _ block: Bytes, _ slot: Slot) throws(UnixFSError) -> [Slot] {
        let node: UnixFSNode
        do { node = try UnixFSNode(cid: cid, block: block) } catch {
            if case .notUnixFS = error { throw .malformed(cid, .leaf) }
            throw error
        }
        guard node.kind == .file else { throw .malformed(cid, .leaf) }
        guard node.content == slot.stated else { throw .malformed(cid, .size) }
        guard slot.depth <= UnixFSLimits.fileDepth else { throw .malformed(cid, .depth) }
        return FileReadMachine.expand(node, slot.range, depth: slot.depth)
    }

    /// The parts of a node that overlap `range`: its own content, then its children.
    private static func expand(_ node: UnixFSNode, _ range: Range<UInt64>, depth: Int) -> [Slot] {
        var slots: [Slot] = []
        let own = range.clamped(to: 0..<UInt64(node.data.count))
        if !own.isEmpty {
            let bytes = node.data[Int(own.lowerBound)..<Int(own.upperBound)]
            slots.append(Slot(state: .content(bytes), stated: UInt64(bytes.count), range: own, depth: depth))
        }
        var position = UInt64(node.data.count)
        for (link, size) in zip(node.links, node.blockSizes) {
            defer { position += size }
            let part = range.clamped(to: position..<position + size)
            if part.isEmpty {
                if position >= range.upperBound { break }
                continue
            }
            let inner = part.lowerBound - position..<part.upperBound - position
            slots.append(Slot(state: .unasked(link.hash), stated: size, range: inner, depth: depth + 1))
        }
        return slots
    }

    /// What a slot counts for in the window. Subtrees larger than a block are inner nodes, which are small.
    private func cost(_ slot: Slot) -> Int {
        slot.stated <= UInt64(UnixFSLimits.blockBytes) ? Int(slot.stated) : 16 << 10
    }

    private mutating func hold(_ slot: Slot) {
        if case .unasked = slot.state { return }
        heldBytes += cost(slot)
        heldBlocks += 1
    }

    private mutating func release(_ slot: Slot) {
        heldBytes -= cost(slot)
        heldBlocks -= 1
    }

    private mutating func compact() {
        guard head >= 512, head * 2 >= slots.count else { return }
        slots.removeFirst(head)
        firstUnasked -= head
        head = 0
    }
}
