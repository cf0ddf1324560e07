import WaggleBase
import WaggleFormats

/// One shard of a directory, its slots checked against its links.
struct Shard: Sendable {
    enum Child: Sendable {
        case entry(DirectoryEntry)
        case shard(CID)
    }

    let cid: CID
    let slots: ShardSlots
    let level: Int
    /// The bits of the hash that lead here.
    let prefix: UInt64
    private let used: [Int]
    private let links: [PBLink]

    /// `parent` is nil for the root. A shard below it has entries, the parent's fan-out, and is not deeper than the hash reaches.
    init(_ node: UnixFSNode, below parent: (slots: ShardSlots, level: Int, prefix: UInt64)? = nil) throws(UnixFSError) {
        guard node.kind == .shard else { throw .malformed(node.cid, .shard) }
        guard let slots = ShardSlots(fanout: node.fanout), let used = slots.slots(node.data), used.count == node.links.count else {
            throw .malformed(node.cid, .shard)
        }
        if let parent {
            guard parent.slots == slots, !used.isEmpty else { throw .malformed(node.cid, .shard) }
            guard parent.level + 1 < slots.levels else { throw .malformed(node.cid, .depth) }
        }
        for (slot, link) in zip(used, node.links) {
            guard link.name?.utf8.starts(with: slots.label(slot).utf8) == true else { throw .malformed(node.cid, .shard) }
        }
        cid = node.cid
        self.slots = slots
        self.used = used
        links = node.links
        level = parent.map { $0.level + 1 } ?? 0
        prefix = parent?.prefix ?? 0
    }

    var count: Int { links.count }

    /// What is in the `index`th used slot. An entry must be where its name's hash puts it: then no shard can be linked from two places, and
    /// a walk over a directory ends after as many shards as there are entries times levels.
    func child(_ index: Int) throws(UnixFSError) -> Child {
        let link = links[index]
        let name = String((link.name ?? "").dropFirst(slots.digits))
        if name.isEmpty { return .shard(link.hash) }
        let hash = ShardSlots.hash(name)
        guard slots.prefix(hash, level: level) == prefix, slots.slot(hash, level: level) == used[index] else {
            throw .malformed(cid, .misplaced(name))
        }
        return .entry(DirectoryEntry(name: name, cid: link.hash, size: link.size ?? 0))
    }

    /// The child in the slot of `hash`; nil when the slot is empty.
    func child(for hash: UInt64) throws(UnixFSError) -> Child? {
        let slot = slots.slot(hash, level: level)
        guard let index = used.firstIndex(of: slot) else { return nil }
        return try child(index)
    }

    /// What a shard in the `index`th used slot is checked against.
    func position(_ index: Int) -> (slots: ShardSlots, level: Int, prefix: UInt64) {
        (slots, level, prefix << UInt64(slots.bits) | UInt64(used[index]))
    }

    func position(for hash: UInt64) -> (slots: ShardSlots, level: Int, prefix: UInt64) {
        (slots, level, slots.prefix(hash, level: level + 1))
    }

    /// CIDs of the sub-shards from the `index`th used slot on, at most `limit`.
    func shards(from index: Int, limit: Int) -> [CID] {
        var cids: [CID] = []
        for link in links[index...] where link.name?.utf8.count == slots.digits {
            guard cids.count < limit else { break }
            cids.append(link.hash)
        }
        return cids
    }
}
