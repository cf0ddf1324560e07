import WaggleBase
import WaggleFormats

/// What is remembered of one peer.
///
/// Stored: protobuf `{ repeated Address address = 1; repeated string protocol = 2; string agent = 3; string protocol_version = 4;
/// uint64 sequence = 5; bytes record = 6; }`, `Address { bytes multiaddr = 1; uint32 source = 2; int64 expires = 3; }` with the time of
/// expiry in nanoseconds since 1970, 0 for never.
struct AddressBookRow: Equatable {
    struct Entry: Equatable {
        var address: Multiaddr
        var source: AddressSource
        /// nil for never.
        var expires: WallTime?

        func isAlive(at time: WallTime) -> Bool { expires.map { $0 > time } ?? true }
    }

    var entries: [Entry] = []
    var protocols: [ProtocolID] = []
    var agentVersion = ""
    var protocolVersion = ""
    /// Of the newest certified record.
    var sequence: UInt64 = 0
    var signedRecord: Bytes?

    /// Adds an address or confirms one that is there. The longer life and the better source win.
    mutating func add(_ address: Multiaddr, _ source: AddressSource, at now: WallTime, limit: Int) {
        let expires = source.lifetime.map { now + $0 }
        if let index = entries.firstIndex(where: { $0.address == address }) {
            entries[index].source = max(entries[index].source, source)
            if let old = entries[index].expires { entries[index].expires = expires.map { max($0, old) } }
            return
        }
        entries.append(Entry(address: address, source: source, expires: expires))
        guard entries.count > limit else { return }
        let worst = entries.indices.min { left, right in
            let (left, right) = (entries[left], entries[right])
            if left.source != right.source { return left.source < right.source }
            return (left.expires?.nanoseconds ?? .max) < (right.expires?.nanoseconds ?? .max)
        }
        if let worst { entries.remove(at: worst) }
    }

    mutating func sweep(_ now: WallTime) { entries.removeAll { !$0.isAlive(at: now) } }

    /// The peer is connected: what it told, and where it was reached, is as true as on the first day. Only where half of the time is over, so that
    /// little is written.
    mutating func confirm(_ now: WallTime) {
        for index in entries.indices where entries[index].source >= .identified {
            guard let lifetime = entries[index].source.lifetime, let expires = entries[index].expires else { continue }
            if expires < now + .nanoseconds(lifetime.wholeNanoseconds / 2) { entries[index].expires = now + lifetime }
        }
    }

    /// How much the row is worth keeping: the best source, then the last expiry.
    func worth(at now: WallTime) -> (Int, Int64) {
        let alive = entries.filter { $0.isAlive(at: now) }
        let source = alive.map { Int($0.source.rawValue) }.max() ?? -1
        return (source, alive.map { $0.expires?.nanoseconds ?? .max }.max() ?? 0)
    }

    var encoded: Bytes {
        var writer = ProtobufWriter(capacity: 512)
        for entry in entries {
            writer.message(1) { part in
                part.write(1, entry.address.bytes)
                part.write(2, varint: UInt64(entry.source.rawValue))
                part.write(3, int64: entry.expires?.nanoseconds ?? 0)
            }
        }
        for name in protocols { writer.write(2, name.text) }
        if !agentVersion.isEmpty { writer.write(3, agentVersion) }
        if !protocolVersion.isEmpty { writer.write(4, protocolVersion) }
        if sequence > 0 { writer.write(5, varint: sequence) }
        if let signedRecord { writer.write(6, signedRecord) }
        return writer.finish()
    }
}

extension AddressBookRow {
    /// Reads a stored row; addresses that this build does not understand are left out.
    init(decoding bytes: Bytes) throws(ProtobufError) {
        self.init()
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1:
                var part = try field.message()
                var address: Multiaddr?
                var source = AddressSource.hint
                var expires: Int64 = 0
                while let inner = try part.next() {
                    switch inner.number {
                    case 1: address = Multiaddr.lenient(bytes[try inner.range()])
                    case 2: source = AddressSource(rawValue: UInt8(truncatingIfNeeded: try inner.uint32())) ?? .hint
                    case 3: expires = try inner.int64()
                    default: break
                    }
                }
                if let address {
                    entries.append(Entry(address: address, source: source, expires: expires == 0 ? nil : WallTime(nanoseconds: expires)))
                }
            case 2: protocols.append(ProtocolID(try field.string()))
            case 3: agentVersion = try field.string()
            case 4: protocolVersion = try field.string()
            case 5: sequence = try field.uint64()
            case 6: signedRecord = try field.copiedBytes()
            default: break
            }
        }
    }
}
