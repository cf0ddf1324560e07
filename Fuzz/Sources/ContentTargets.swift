import WaggleBase
import WaggleFormats
import WaggleNetwork

@testable import WaggleContent

private let peers: [PeerID] = (1...3).map { index in
    // An identity multihash is a PeerID whatever key it stands for.
    guard let peer = attempt({ try PeerID(bytes: Bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20] + [UInt8](repeating: UInt8(index), count: 32))) })
    else { preconditionFailure("a PeerID") }
    return peer
}

let contentTargets: [(name: String, run: @Sendable (Bytes) -> Void)] = [
    ("bitswap-message", { bytes in _ = attempt { try BitswapMessage(bytes) } }),
    ("bitswap-ledger", { bytes in
        // The server's books under messages that peers make up.
        var machine = LedgerMachine()
        var cutter = Cutter(bytes)
        var now = Instant(nanoseconds: 1)
        for peer in peers { machine.handle(.connected(peer), at: now) }
        var index = 0
        while let piece = cutter.next() {
            index += 1
            let peer = peers[index % peers.count]
            now = now + .milliseconds(10)
            if let message = attempt({ try BitswapMessage(piece) }) {
                machine.handle(.wantlist(peer, message.entries, isFull: message.isFull, hasPresences: index % 2 == 0), at: now)
            } else if piece.count % 5 == 0 {
                machine.handle(.disconnected(peer), at: now)
                machine.handle(.connected(peer), at: now)
            }
            while let output = machine.next() {
                switch output {
                case .locate(let peer, let cids): machine.handle(.located(peer, cids.map { ($0, 100) }), at: now)
                case .flood: break
                case .send(let peer, let envelope):
                    machine.handle(.left(peer, envelope: envelope.id, blocks: envelope.blocks.count, bytes: envelope.bytes), at: now)
                }
            }
        }
    }),
    ("bitswap-session", { bytes in
        // A client that fetches ten blocks from peers that say and send whatever they like; each block is accepted once.
        guard let cids = attempt({
            try (0..<10).map { try CID(codec: .raw, hash: Multihash(.sha2_256, digest: Bytes([UInt8](repeating: UInt8($0), count: 32)))) }
        }) else { return }
        var machine = SessionMachine()
        var now = Instant(nanoseconds: 1)
        var accepted: Set<Multihash> = []
        func handle(_ input: SessionMachine.Input) {
            machine.handle(input, at: now)
            while let output = machine.next() {
                switch output {
                case .open(let peer): machine.handle(.ready(peer, .v1_2), at: now)
                case .accept(let key, _): precondition(accepted.insert(key).inserted)
                case .tell, .search, .violation, .stalled: break
                }
            }
        }
        for peer in peers { handle(.connected(peer)) }
        handle(.opened(1))
        handle(.wanted(1, cids))
        for pair in stride(from: 0, to: bytes.count - 1, by: 2) {
            let peer = peers[Int(bytes[pair] >> 4) % peers.count]
            let cid = cids[Int(bytes[pair + 1]) % cids.count]
            now = now + .milliseconds(Int64(bytes[pair + 1]) * 8)
            switch bytes[pair] & 15 {
            case 0...2: handle(.blocks(peer, [(cid.multihash, 1000)]))
            case 3, 4: handle(.presences(peer, [.init(cid: cid, isHere: true)]))
            case 5, 6: handle(.presences(peer, [.init(cid: cid, isHere: false)]))
            case 7: handle(.disconnected(peer))
            case 8: handle(.connected(peer))
            case 9: handle(.unreachable(peer, until: now + .seconds(10)))
            case 10: handle(.ready(peer, .v1_0))
            case 11: handle(.stored([cid.multihash]))
            default: handle(.tick)
            }
            if let deadline = machine.deadline { now = max(now, min(deadline, now + .seconds(1))) }
        }
        handle(.closed(1))
        precondition(machine.wantlist.isEmpty)
    }),
    ("bitswap-prefix", { bytes in
        guard let prefix = attempt({ try BlockPrefix(bytes.span) }) else { return }
        var writer = ByteWriter()
        prefix.encode(to: &writer)
        let written = writer.finish()
        precondition(written == bytes)
    }),
    ("unixfs-node", { bytes in
        guard let cid = attempt({ try CID(codec: .dagPB, hash: Multihash(.sha2_256, digest: Bytes([UInt8](repeating: 1, count: 32)))) }),
            let node = attempt({ try UnixFSNode(cid: cid, block: bytes) })
        else { return }
        if let shard = attempt({ try Shard(node) }) { for index in 0..<shard.count { _ = attempt { try shard.child(index) } } }
        _ = (node.cumulativeSize, node.target)
    }),
    ("content-path", { bytes in
        if let text = bytes.utf8, let path = attempt({ try ContentPath(parsing: text) }) { precondition(attempt { try ContentPath(parsing: path.description) } == path) }
    }),
    ("ipns-record", { bytes in
        // What was read says the same when it is written again, and two records are never better than each other.
        guard let record = attempt({ try IPNSRecord(decoding: bytes) }), let name = IPNSName(routingKey: IPNSName(peers[0]).routingKey) else { return }
        _ = (attempt { try record.path }, record.validity, record.sequence, record.timeToLive, record.extensions)
        precondition(attempt { try record.verify(name, at: WallTime(nanoseconds: 0)) } == nil || record.validity != nil)
        guard let again = attempt({ try IPNSRecord(decoding: record.message.encode()) }) else { return }
        precondition(!(record.isBetter(than: again) && again.isBetter(than: record)))
        precondition(IPNSValidator().best(of: [bytes, bytes], for: name.routingKey) == 0)
    }),
    ("names", { bytes in
        if let text = bytes.utf8 {
            if let name = IPNSName(text) { precondition(IPNSName(name.description) == name) }
            _ = (DNSLink.path(in: text), DNSLink.isDomain(text), attempt { try ProvideStrategy(parsing: text) })
            if let time = WallTime(rfc3339: text) { precondition(WallTime(rfc3339: time.rfc3339) == time) }
        }
        if let name = IPNSName(routingKey: bytes) { precondition(name.routingKey == bytes) }
        _ = attempt { try ProviderRecord(decoding: bytes) }
    }),
    ("chunker-options", { bytes in if let text = bytes.utf8 { _ = attempt { try ChunkerOptions(parsing: text) } } }),
    ("block-links", { bytes in
        for codec in [Multicodec.dagPB, .dagCBOR, .dagJSON] { _ = attempt { try BlockLinks.namedLinks(of: bytes, codec: codec) } }
    }),
]
