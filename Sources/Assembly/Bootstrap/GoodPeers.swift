import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Peers that this node was connected to, kept over restarts: the way back where the configured ones are gone. Belongs to the home loop.
///
/// Table "bootstrap": the PeerID's bytes → a protobuf message with addresses (1, bytes, repeated) and the second in which it was last connected
/// (2, varint).
final class GoodPeers {
    static let table = Table("bootstrap")

    private struct Row {
        var addresses: [Multiaddr]
        var seen: WallTime
    }

    private let store: (any KeyValueStore)?
    private var rows: [PeerID: Row] = [:]
    private let log: Log

    init(_ store: (any KeyValueStore)?, _ system: any System) {
        self.store = store
        log = Log("bootstrap", to: system.log)
        let now = system.wallTime
        do {
            try store?.read { reader in
                try Bytes().withUnsafeBytes { start in
                    try reader.scan(GoodPeers.table, from: start) { key, value in
                        if let (peer, row) = GoodPeers.decode(Bytes(copying: key), Bytes(copying: value)), now < row.seen + BootstrapLimits.rememberedTime {
                            rows[peer] = row
                        }
                        return rows.count < BootstrapLimits.remembered
                    }
                }
            }
        } catch {
            log(.warning, "remembered peers not read", [LogField("error", "\(error)")])
        }
    }

    var count: Int { rows.count }

    /// Peers with their addresses, in order.
    var peers: [(peer: PeerID, addresses: [Multiaddr])] { rows.sorted { $0.key < $1.key }.map { ($0.key, $0.value.addresses) } }

    /// Takes in the peers that we are connected to, the longest connected first, and writes what is worth keeping.
    func remember(_ connected: [(peer: PeerID, addresses: [Multiaddr])], at now: WallTime) async {
        for (peer, addresses) in connected.prefix(BootstrapLimits.remembered) where !addresses.isEmpty {
            rows[peer] = Row(addresses: Array(addresses.prefix(BootstrapLimits.rememberedAddresses)), seen: now)
        }
        let surplus = rows.sorted { ($1.value.seen, $0.key) < ($0.value.seen, $1.key) }.dropFirst(BootstrapLimits.remembered).map(\.key)
        for peer in surplus { rows[peer] = nil }
        guard let store, !connected.isEmpty else { return }
        let values = rows.map { (key: $0.key.bytes, value: GoodPeers.encode($0.value)) }
        do {
            try await store.write(durable: false) { writer in
                var old: [Bytes] = []
                try Bytes().withUnsafeBytes { start in
                    try writer.scan(GoodPeers.table, from: start) { key, _ in
                        old.append(Bytes(copying: key))
                        return true
                    }
                }
                for key in old { try writer.remove(key, in: GoodPeers.table) }
                for (key, value) in values { try writer.put(key, value, in: GoodPeers.table) }
            }
        } catch {
            log(.debug, "peers not remembered", [LogField("error", "\(error)")])
        }
    }

    private static func encode(_ row: Row) -> Bytes {
        var writer = ProtobufWriter(capacity: 256)
        for address in row.addresses { writer.write(1, address.bytes) }
        writer.write(2, varint: UInt64(max(0, row.seen.nanoseconds / 1_000_000_000)))
        return writer.finish()
    }

    private static func decode(_ key: Bytes, _ value: Bytes) -> (PeerID, Row)? {
        do {
            let peer = try PeerID(bytes: key)
            var row = Row(addresses: [], seen: WallTime(nanoseconds: 0))
            var reader = ProtobufReader(value.span)
            while let field = try reader.next() {
                switch field.number {
                case 1:
                    let address = try Multiaddr(bytes: value[try field.range()])
                    if row.addresses.count < BootstrapLimits.rememberedAddresses { row.addresses.append(address) }
                case 2: row.seen = WallTime(nanoseconds: Int64(clamping: min(try field.uint64(), 9_000_000_000) * 1_000_000_000))
                default: continue
                }
            }
            return (peer, row)
        } catch { return nil }
    }
}
