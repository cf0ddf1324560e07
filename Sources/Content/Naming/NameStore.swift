import WaggleBase
import WaggleNetwork

/// The records that this node published or was given, in the table `names`: binary PeerID → record.
public final class NameStore: Sendable {
    public static let table = Table("names")

    private let store: any KeyValueStore

    public init(_ store: any KeyValueStore) { self.store = store }

    /// The record that was stored last, as it is; it may have expired.
    public func record(of name: IPNSName) throws -> IPNSRecord? {
        guard let bytes = try store.read({ try $0.value(of: name.peer.bytes, in: NameStore.table) }) else { return nil }
        do { return try IPNSRecord(decoding: bytes) } catch { return nil }
    }

    /// What is stored, whether it can be read or not.
    func row(of name: IPNSName) throws -> Bytes? { try store.read { try $0.value(of: name.peer.bytes, in: NameStore.table) } }

    /// Stores `record` if what is stored is still `previous`; says whether it was. Durable when it returns.
    func replace(_ previous: Bytes?, by record: IPNSRecord, of name: IPNSName) async throws -> Bool {
        try await store.write(durable: true) { writer in
            guard try writer.value(of: name.peer.bytes, in: NameStore.table) == previous else { return false }
            try writer.put(name.peer.bytes, record.encoded, in: NameStore.table)
            return true
        }
    }

    /// Stores a record unless a better one is there.
    public func put(_ record: IPNSRecord, of name: IPNSName) async throws {
        try await store.write(durable: true) { writer in
            let old = try writer.value(of: name.peer.bytes, in: NameStore.table).flatMap { bytes -> IPNSRecord? in
                do { return try IPNSRecord(decoding: bytes) } catch { return nil }
            }
            if let old, old.isBetter(than: record) { return }
            try writer.put(name.peer.bytes, record.encoded, in: NameStore.table)
        }
    }
}
