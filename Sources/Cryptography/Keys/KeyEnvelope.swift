import WaggleBase

/// The two-field protobuf around every libp2p key: `08` type `12` length data.
struct KeyEnvelope: ~Escapable {
    /// Two tags, a type of at most nine bytes, a length of at most two.
    static let overhead = 13

    let type: UInt64
    let data: RawSpan

    /// Reads the canonical encoding; nil for anything else.
    @_lifetime(copy bytes)
    init?(_ bytes: RawSpan) {
        var reader = ByteReader(bytes)
        guard reader.byte() == 0x08, let type = reader.varint(), reader.byte() == 0x12, let length = reader.varint(),
            length == UInt64(reader.remaining), let data = reader.take(reader.remaining)
        else { return nil }
        self.type = type
        self.data = data
    }

    /// The encoding of `type` and `data`.
    static func encode(type: UInt64, _ data: RawSpan) -> Bytes {
        var writer = ByteWriter(capacity: data.byteCount + overhead)
        writer.write(0x08)
        writer.write(varint: type)
        writer.write(0x12)
        writer.write(varint: UInt64(data.byteCount))
        writer.write(data)
        return writer.finish()
    }
}

extension KeyEnvelope {
    /// The encoding of a private key, in memory that is wiped.
    static func encodeSecret(type: UInt64, _ data: SecureBytes) -> SecureBytes {
        // A writer's memory is not wiped, so only the head goes through it.
        var head = ByteWriter(capacity: overhead)
        head.write(0x08)
        head.write(varint: type)
        head.write(0x12)
        head.write(varint: UInt64(data.count))
        let prefix = head.finish()
        return SecureBytes(count: prefix.count + data.count) { output in
            output.copyBytes(from: prefix)
            data.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: output[prefix.count...]).copyMemory(from: $0) }
        }
    }
}
