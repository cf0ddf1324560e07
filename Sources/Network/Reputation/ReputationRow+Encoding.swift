import WaggleBase
import WaggleFormats

/// How a row is kept in the store: protobuf with the score in thousandths (1), its time (2), the number of offences (3), the last one's name (4), the
/// number of bans (5), the ends of ban (6) and cool-down (7), and addresses (8, bytes of the address).
extension ReputationTable.Row {
    var encoded: Bytes {
        var writer = ProtobufWriter(capacity: 96)
        writer.write(1, varint: score > 0 ? UInt64(min(score, 1e9) * 1000) : 0)
        writer.write(2, int64: at.nanoseconds)
        writer.write(3, varint: offences)
        writer.write(4, lastOffence)
        writer.write(5, varint: UInt64(clamping: bans))
        if let bannedUntil { writer.write(6, int64: bannedUntil.nanoseconds) }
        if let coolsUntil { writer.write(7, int64: coolsUntil.nanoseconds) }
        for group in groups { writer.write(8, group.base.bytes) }
        return writer.finish()
    }

    init(decoding bytes: Bytes) throws(ProtobufError) {
        self.init(at: WallTime(nanoseconds: 0))
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1: score = Double(try field.uint64()) / 1000
            case 2: at = WallTime(nanoseconds: try field.int64())
            case 3: offences = try field.uint64()
            case 4: lastOffence = try field.string()
            case 5: bans = Int(clamping: try field.uint64())
            case 6: bannedUntil = WallTime(nanoseconds: try field.int64())
            case 7: coolsUntil = WallTime(nanoseconds: try field.int64())
            case 8:
                guard groups.count < ReputationTable.groupsPerPeer, let ip = IPAddress(bytes: try field.copiedBytes()) else { continue }
                if let group = ReputationTable.group(ip) { groups.append(group) }
            default: break
            }
        }
    }
}
