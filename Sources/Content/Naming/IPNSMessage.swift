import WaggleBase
import WaggleFormats

/// The protobuf around a record; see `IPNSRecord` for the fields.
struct IPNSMessage: Hashable, Sendable {
    var value = Bytes()
    var signatureV1 = Bytes()
    var validityType: UInt64?
    var validity = Bytes()
    var sequence: UInt64?
    var ttl: UInt64?
    var publicKey: Bytes?
    var signatureV2 = Bytes()
    var data = Bytes()

    init() {}

    init(_ bytes: Bytes) throws(ProtobufError) {
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1: value = bytes[try field.range()]
            case 2: signatureV1 = bytes[try field.range()]
            case 3: validityType = try field.uint64()
            case 4: validity = bytes[try field.range()]
            case 5: sequence = try field.uint64()
            case 6: ttl = try field.uint64()
            case 7: publicKey = try field.range().isEmpty ? nil : bytes[try field.range()]
            case 8: signatureV2 = bytes[try field.range()]
            case 9: data = bytes[try field.range()]
            default: break
            }
        }
    }

    func encode() -> Bytes {
        var writer = ProtobufWriter(capacity: 512)
        if !signatureV1.isEmpty {
            writer.write(1, value)
            writer.write(2, signatureV1)
            writer.write(3, varint: validityType ?? 0)
            writer.write(4, validity)
            writer.write(5, varint: sequence ?? 0)
            writer.write(6, varint: ttl ?? 0)
        }
        if let publicKey { writer.write(7, publicKey) }
        writer.write(8, signatureV2)
        writer.write(9, data)
        return writer.finish()
    }
}
