import WaggleBase
import WaggleFormats

extension BitswapMessage {
    /// The message without its length, in the form of `version`: what that version has no place for is left out.
    func encode(_ version: BitswapVersion) -> Bytes {
        var writer = ProtobufWriter(capacity: 64 + 64 * (entries.count + presences.count) + payloads.reduce(0) { $0 + $1.data.count + 32 })
        // The wantlist is written even when empty, as the other implementations do.
        writer.message(1) { wantlist in
            for entry in entries { BitswapMessage.encode(entry, to: &wantlist) }
            if isFull { wantlist.write(2, bool: true) }
        }
        if version == .v1_0 {
            for payload in payloads { writer.write(2, payload.data) }
            return writer.finish()
        }
        for payload in payloads {
            var prefix = ByteWriter(capacity: 16)
            payload.prefix.encode(to: &prefix)
            let prefixBytes = prefix.finish()
            writer.begin(3, count: BitswapMessage.payloadSize(prefixBytes.count, payload.data.count))
            writer.write(1, prefixBytes)
            if !payload.data.isEmpty { writer.write(2, payload.data) }
        }
        guard version.hasPresences else { return writer.finish() }
        for presence in presences { BitswapMessage.encode(presence, to: &writer) }
        if pendingBytes > 0 { writer.write(5, varint: UInt64(min(pendingBytes, Int(Int32.max)))) }
        return writer.finish()
    }

    private static func encode(_ entry: Entry, to writer: inout ProtobufWriter) {
        writer.message(1) { message in
            message.write(1, entry.cid.bytes)
            if entry.priority != 0 { message.write(2, int64: Int64(entry.priority)) }
            if entry.cancel { message.write(3, bool: true) }
            if entry.want == .have { message.write(4, varint: 1) }
            if entry.sendDontHave { message.write(5, bool: true) }
        }
    }

    static func encode(_ presence: Presence, to writer: inout ProtobufWriter) {
        writer.message(4) { message in
            message.write(1, presence.cid.bytes)
            if !presence.isHere { message.write(2, varint: 1) }
        }
    }

    private static func payloadSize(_ prefix: Int, _ data: Int) -> Int {
        ProtobufWriter.size(1, count: prefix) + (data == 0 ? 0 : ProtobufWriter.size(2, count: data))
    }
}
