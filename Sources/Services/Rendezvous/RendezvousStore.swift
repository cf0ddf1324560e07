import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// Keeps registrations over restarts in the table "rendezvous".
///
/// Keys: 0 → the secret of the cookies; 1, the first 16 bytes of the name's SHA-256, the PeerID → a protobuf message with name (1), envelope (2),
/// addresses (3, repeated), second of expiry (4), number (5).
struct RendezvousStore: Sendable {
    static let table = Table("rendezvous")
    private static let secretKey: Bytes = [0]
    private static let rows: UInt8 = 1

    let store: any KeyValueStore

    /// The secret and what is registered. Rows that cannot be read are left out.
    func load() throws -> (secret: Bytes?, registrations: [RendezvousRegistry.Registration]) {
        try store.read { reader in
            var found: [RendezvousRegistry.Registration] = []
            try Bytes([RendezvousStore.rows]).withUnsafeBytes { start in
                try reader.scan(RendezvousStore.table, from: start) { key, value in
                    if let row = RendezvousStore.decode(Bytes(copying: key), Bytes(copying: value)) { found.append(row) }
                    return found.count < RendezvousLimits.registrations
                }
            }
            return (try reader.value(of: RendezvousStore.secretKey, in: RendezvousStore.table), found)
        }
    }

    func write(_ changes: [RendezvousRegistry.Change]) async throws {
        try await store.write(durable: false) { writer in
            for change in changes {
                switch change {
                case .put(let row):
                    try writer.put(RendezvousStore.key(row.namespace, row.peer), RendezvousStore.encode(row), in: RendezvousStore.table)
                case .remove(let key): try writer.remove(RendezvousStore.key(key.namespace, key.peer), in: RendezvousStore.table)
                }
            }
        }
    }

    func write(secret: Bytes) async throws {
        try await store.write(durable: true) { writer in try writer.put(RendezvousStore.secretKey, secret, in: RendezvousStore.table) }
    }

    private static func key(_ namespace: String, _ peer: PeerID) -> Bytes {
        var writer = ByteWriter(capacity: 64)
        writer.write(rows)
        writer.write(SHA256.hash(Bytes(utf8: namespace)).bytes.prefix(16))
        writer.write(peer.bytes)
        return writer.finish()
    }

    private static func encode(_ row: RendezvousRegistry.Registration) -> Bytes {
        var writer = ProtobufWriter(capacity: 512)
        writer.write(1, row.namespace)
        if let envelope = row.envelope { writer.write(2, envelope) }
        for address in row.addresses { writer.write(3, address.bytes) }
        writer.write(4, varint: UInt64(max(0, row.expires.nanoseconds / 1_000_000_000)))
        writer.write(5, varint: row.sequence)
        return writer.finish()
    }

    private static func decode(_ key: Bytes, _ value: Bytes) -> RendezvousRegistry.Registration? {
        guard key.count > 17 else { return nil }
        do {
            var row = RendezvousRegistry.Registration(
                peer: try PeerID(bytes: key.dropFirst(17)), namespace: "", envelope: nil, addresses: [], expires: WallTime(nanoseconds: 0), sequence: 0)
            var reader = ProtobufReader(value.span)
            while let field = try reader.next() {
                switch field.number {
                case 1: row.namespace = try field.string()
                case 2: row.envelope = try field.copiedBytes()
                case 3: row.addresses.append(try Multiaddr(bytes: try field.copiedBytes()))
                case 4: row.expires = WallTime(nanoseconds: Int64(min(try field.uint64(), 9_000_000_000)) * 1_000_000_000)
                case 5: row.sequence = try field.uint64()
                default: continue
                }
            }
            return row
        } catch { return nil }
    }
}
