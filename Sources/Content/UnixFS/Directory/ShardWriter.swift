import WaggleBase
import WaggleFormats

/// Writes a directory as a trie of shards: a shard for every slot with more than one entry, down to where the hashes differ.
struct ShardWriter {
    private struct Entry {
        var hash: UInt64
        var name: String
        var node: ImportedNode
    }

    let maker: BlockMaker
    private let slots: ShardSlots

    init(maker: BlockMaker, fanout: Int) throws(ImportOptionError) {
        guard let slots = ShardSlots(fanout: UInt64(clamping: fanout)) else { throw .fanout(fanout) }
        self.maker = maker
        self.slots = slots
    }

    func write(
        _ entries: [String: ImportedNode], _ metadata: UnixFSMetadata, _ emit: (Block) throws -> Void
    ) throws -> ImportedNode {
        var sorted = entries.map { Entry(hash: ShardSlots.hash($0.key), name: $0.key, node: $0.value) }
        sorted.sort { $0.hash < $1.hash }
        return try write(sorted[...], level: 0, metadata, emit)
    }

    private func write(
        _ entries: ArraySlice<Entry>, level: Int, _ metadata: UnixFSMetadata, _ emit: (Block) throws -> Void
    ) throws -> ImportedNode {
        var links: [PBLink] = []
        var used: [Int] = []
        var rest = entries
        while let first = rest.first {
            let slot = slots.slot(first.hash, level: level)
            let count = rest.prefix { slots.slot($0.hash, level: level) == slot }.count
            let group = rest.prefix(count)
            rest = rest.dropFirst(count)
            used.append(slot)
            if count == 1 {
                links.append(PBLink(hash: first.node.cid, name: slots.label(slot) + first.name, size: first.node.size))
            } else {
                // Names whose hashes are equal as far as they go have no place.
                guard level + 1 < slots.levels else { throw UnixFSError.unsafeName(first.name) }
                let shard = try write(group, level: level + 1, .none, emit)
                links.append(PBLink(hash: shard.cid, name: slots.label(slot), size: shard.size))
            }
        }
        let data = UnixFSData(
            kind: .hamtShard, data: slots.bitField(used), hashType: Multicodec.murmur3x64_64.rawValue, fanout: UInt64(slots.fanout),
            mode: metadata.mode, modified: metadata.modified)
        return try PBNode(links: links, data: data.encode()).write(maker, emit)
    }
}
