import WaggleBase
import WaggleFormats
import WaggleNetwork

/// What a hash table writes down: provider records, values, and the peers of its table.
///
/// One table of the store for all networks; keys are the network's prefix, a zero byte, a letter, and: `r` place ‖ PeerID → u32 expiry in
/// seconds since 1970; `a` PeerID → addresses; `v` place → i64 time of arrival in nanoseconds, sender, key, value; `p` u16 number → peer and
/// addresses. Integers are big-endian; byte strings lie behind a varint of their length. What cannot be read is skipped.
struct KademliaArchive: Sendable {
    private let store: any KeyValueStore
    private let prefix: Bytes

    init(_ store: any KeyValueStore, _ prefix: String) {
        self.store = store
        var writer = ByteWriter()
        writer.write(utf8: String(prefix.prefix(64)))
        writer.write(0 as UInt8)
        self.prefix = writer.finish()
    }

    private func key(_ letter: Unicode.Scalar, _ parts: Bytes...) -> Bytes {
        var writer = ByteWriter(capacity: 128)
        writer.write(prefix)
        writer.write(UInt8(ascii: letter))
        for part in parts { writer.write(part) }
        return writer.finish()
    }

    // MARK: Writing

    /// Writes changes; with `peers` replaces those of the table.
    func write(
        _ providers: [ProviderTable.Change], _ values: [ValueTable.Change], peers: [KademliaContact]?, durable: Bool
    ) async throws {
        var puts: [(Bytes, Bytes?)] = []
        for change in providers {
            switch change {
            case .record(let place, let peer, let expires):
                var value = ByteWriter(capacity: 4)
                value.write(integer: expires)
                puts.append((key("r", place.bytes, peer.bytes), value.finish()))
            case .removed(let place, let peer): puts.append((key("r", place.bytes, peer.bytes), nil))
            case .addresses(let contact): puts.append((key("a", contact.peer.bytes), KademliaArchive.encode(contact.addresses)))
            case .forgotten(let peer): puts.append((key("a", peer.bytes), nil))
            }
        }
        for change in values {
            switch change {
            case .put(let row): puts.append((key("v", KademliaKey(hashing: row.key).bytes), KademliaArchive.encode(row)))
            case .removed(let place): puts.append((key("v", place.bytes), nil))
            }
        }
        if let peers {
            for number in 0..<KademliaLimits.savedPeers {
                var place = ByteWriter(capacity: 2)
                place.write(integer: UInt16(number))
                puts.append((key("p", place.finish()), number < peers.count ? KademliaArchive.encode(peers[number]) : nil))
            }
        }
        guard !puts.isEmpty || durable else { return }
        let batch = puts
        try await store.write(durable: durable) { writer in
            for (key, value) in batch {
                if let value { try writer.put(key, value, in: Kademlia.table) } else { try writer.remove(key, in: Kademlia.table) }
            }
        }
    }

    private static func encode(_ addresses: [Multiaddr]) -> Bytes {
        var writer = ByteWriter(capacity: 256)
        for address in addresses { write(address.bytes, &writer) }
        return writer.finish()
    }

    private static func encode(_ contact: KademliaContact) -> Bytes {
        var writer = ByteWriter(capacity: 256)
        write(contact.peer.bytes, &writer)
        writer.write(encode(contact.addresses))
        return writer.finish()
    }

    private static func encode(_ row: ValueTable.Row) -> Bytes {
        var writer = ByteWriter(capacity: row.key.count + row.value.count + 64)
        writer.write(integer: row.received.nanoseconds)
        write(row.sender?.bytes ?? Bytes(), &writer)
        write(row.key, &writer)
        writer.write(row.value)
        return writer.finish()
    }

    private static func write(_ bytes: Bytes, _ writer: inout ByteWriter) {
        writer.write(varint: UInt64(bytes.count))
        writer.write(bytes)
    }

    // MARK: Reading

    /// Reads all records into the tables; gives the peers that were in the routing table, and the keys of what has expired meanwhile or finds no
    /// place any more, which nobody else would ever remove.
    func read(
        _ providers: inout ProviderTable, _ values: inout ValueTable, at now: WallTime
    ) throws -> (peers: [KademliaContact], stale: [Bytes]) {
        let seconds = ProviderTable.seconds(now)
        var stale: [Bytes] = []
        var addresses: [PeerID: [Multiaddr]] = [:]
        var records: [(KademliaKey, PeerID, UInt32)] = []
        var rows: [(KademliaKey, ValueTable.Row)] = []
        var peers: [KademliaContact] = []
        try store.read { reader in
            try scan("a", reader) { name, value in
                guard let peer = peer(name), addresses.count < KademliaLimits.providers else { return stale.append(key("a", name)) }
                addresses[peer] = KademliaArchive.addresses(value)
            }
            try scan("r", reader) { name, value in
                var integer = ByteReader(value.span)
                guard name.count > 32, let place = KademliaKey(bytes: name.prefix(32)), let peer = peer(name.dropFirst(32)),
                    let expires: UInt32 = integer.integer(), expires > seconds, records.count < KademliaLimits.providerRecords
                else { return stale.append(key("r", name)) }
                records.append((place, peer, expires))
            }
            try scan("v", reader) { name, value in
                guard let place = KademliaKey(bytes: name), let row = row(value), now < row.received + KademliaLimits.validity,
                    rows.count < KademliaLimits.values
                else { return stale.append(key("v", name)) }
                rows.append((place, row))
            }
            try scan("p", reader) { _, value in
                var fields = ByteReader(value.span)
                guard let name = field(&fields), let peer = peer(name), peers.count < KademliaLimits.savedPeers else { return }
                peers.append(KademliaContact(peer: peer, addresses: KademliaArchive.addresses(value.dropFirst(value.count - fields.remaining))))
            }
        }
        for (place, peer, expires) in records {
            let contact = KademliaContact(peer: peer, addresses: addresses[peer] ?? [])
            do { try providers.restore(contact, for: place, expires: expires, at: now) } catch { stale.append(key("r", place.bytes, peer.bytes)) }
        }
        for peer in addresses.keys.sorted() where !providers.contains(peer) { stale.append(key("a", peer.bytes)) }
        for (place, row) in rows { do { try values.put(row, at: place) } catch { stale.append(key("v", place.bytes)) } }
        return (peers, stale)
    }

    func remove(_ keys: [Bytes]) async throws {
        guard !keys.isEmpty else { return }
        try await store.write(durable: false) { writer in for key in keys { try writer.remove(key, in: Kademlia.table) } }
    }

    private func scan(_ letter: Unicode.Scalar, _ reader: any StoreReader, _ visit: (Bytes, Bytes) throws -> Void) throws {
        let start = key(letter)
        try start.withUnsafeBytes { bytes in
            try reader.scan(Kademlia.table, from: bytes) { key, value in
                guard key.count >= start.count, UnsafeRawBufferPointer(rebasing: key[..<start.count]).elementsEqual(bytes) else { return false }
                try visit(Bytes(copying: UnsafeRawBufferPointer(rebasing: key[start.count...])), Bytes(copying: value))
                return true
            }
        }
    }

    private func peer(_ bytes: Bytes) -> PeerID? {
        do { return try PeerID(bytes: Bytes(bytes.span)) } catch { return nil }
    }

    private func field(_ reader: inout ByteReader) -> Bytes? {
        guard let length = reader.varint(), let span = reader.take(Int(clamping: length)) else { return nil }
        return Bytes(span)
    }

    private static func addresses(_ bytes: Bytes) -> [Multiaddr] {
        var reader = ByteReader(bytes.span)
        var addresses: [Multiaddr] = []
        while !reader.isAtEnd, addresses.count < KademliaLimits.addressesPerPeer {
            guard let length = reader.varint(), let span = reader.take(Int(clamping: length)) else { break }
            do { addresses.append(try Multiaddr(bytes: Bytes(span))) } catch { continue }
        }
        return addresses
    }

    private func row(_ bytes: Bytes) -> ValueTable.Row? {
        var reader = ByteReader(bytes.span)
        guard let received: Int64 = reader.integer(), let sender = field(&reader), let key = field(&reader) else { return nil }
        return ValueTable.Row(
            key: key, value: Bytes(bytes.dropFirst(bytes.count - reader.remaining).span), received: WallTime(nanoseconds: received),
            sender: sender.isEmpty ? nil : peer(sender))
    }
}
