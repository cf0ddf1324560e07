import WaggleBase
import WaggleFormats

/// One published message, in the bytes in which it arrived: fields are windows, nothing is copied, and it is forwarded as it is.
///
/// Wire: protobuf `Message { bytes from = 1; bytes data = 2; bytes seqno = 3; string topic = 4; bytes signature = 5; bytes key = 6; }` as the
/// field `publish = 2` of an RPC. Spec: libp2p pubsub, section "The Message".
struct GossipMessage: Sendable {
    /// Where a field's value lies in `field`; nil length for an absent field.
    struct Part: Sendable {
        var start: Int32 = 0
        var count: Int32 = -1

        var isPresent: Bool { count >= 0 }
    }

    /// The whole field of the RPC: tag, length and message. What is sent on.
    private(set) var field: Bytes
    /// Where the message itself begins in `field`.
    let start: Int32
    private(set) var fromPart = Part()
    private(set) var dataPart = Part()
    private(set) var sequencePart = Part()
    private(set) var topicPart = Part()
    private(set) var signaturePart = Part()
    private(set) var keyPart = Part()
    /// Where the signed fields end, when they lie in front of all others in the order that everybody writes; else 0.
    private(set) var signedEnd: Int32 = 0

    /// The tag of `publish`.
    static let tag: UInt8 = 2 << 3 | 2

    /// Reads the message in `range` of an RPC. A field that comes twice is refused: readers would not agree on what was said.
    init(_ rpc: Bytes, _ range: Range<Int>) throws(ProtobufError) {
        let head = 1 + Varint.length(of: UInt64(range.count))
        try self.init(field: rpc[range.lowerBound - head..<range.upperBound], head: head)
    }

    /// Reads a message behind a head of tag and length.
    init(field: Bytes, head: Int) throws(ProtobufError) {
        self.field = field
        start = Int32(head)
        var reader = ProtobufReader(field.span.extracting(droppingFirst: head))
        var last = 0
        var end = head
        var isOrdered = true
        while let next = try reader.next() {
            let number = next.number
            guard number <= 6 else {
                isOrdered = false
                continue
            }
            let range = try next.range()
            let part = Part(start: Int32(head + range.lowerBound), count: Int32(range.count))
            let isNew: Bool
            switch number {
            case 1: (isNew, fromPart) = (!fromPart.isPresent, part)
            case 2: (isNew, dataPart) = (!dataPart.isPresent, part)
            case 3: (isNew, sequencePart) = (!sequencePart.isPresent, part)
            case 4: (isNew, topicPart) = (!topicPart.isPresent, part)
            case 5: (isNew, signaturePart) = (!signaturePart.isPresent, part)
            default: (isNew, keyPart) = (!keyPart.isPresent, part)
            }
            guard isNew else { throw .limit(field: number) }
            if number < last { isOrdered = false }
            last = number
            if number <= 4 { end = head + range.upperBound }
        }
        if isOrdered { signedEnd = Int32(end) }
    }

    private func value(_ part: Part) -> Bytes {
        part.isPresent ? field[Int(part.start)..<Int(part.start) + Int(part.count)] : Bytes()
    }

    var from: Bytes { value(fromPart) }
    var data: Bytes { value(dataPart) }
    var sequence: Bytes { value(sequencePart) }
    var topic: Bytes { value(topicPart) }
    var signature: Bytes { value(signaturePart) }
    var key: Bytes { value(keyPart) }

    /// The message without tag and length.
    var body: Bytes { field[Int(start)..<field.count] }

    /// The id that nearly all networks use: author and sequence number.
    var standardID: Bytes {
        var writer = ByteWriter(capacity: max(Int(fromPart.count), 0) + max(Int(sequencePart.count), 0))
        writer.write(from)
        writer.write(sequence)
        return writer.finish()
    }

    /// The same message in memory of its own when it is a small part of what it keeps alive, so that a cache of such messages stays small.
    func compacted() -> GossipMessage {
        guard field.retained > field.count * 4 else { return self }
        var copy = self
        copy.field = Bytes(field.span)
        return copy
    }

    // MARK: Signatures

    /// What every signature is over, in front of the message. Spec: libp2p pubsub, section "Message Signing".
    static let signaturePrefix: StaticString = "libp2p-pubsub:"

    /// The bytes that the signature is over: the prefix and the message without signature and key.
    var signedBytes: Bytes {
        var writer = ByteWriter(capacity: field.count + 16)
        writer.write(UnsafeRawBufferPointer(start: GossipMessage.signaturePrefix.utf8Start, count: GossipMessage.signaturePrefix.utf8CodeUnitCount))
        if signedEnd > 0 {
            writer.write(field[Int(start)..<Int(signedEnd)])
        } else {
            writeSigned(to: &writer)
        }
        return writer.finish()
    }

    /// The known fields in order, then the unknown ones as they are: how the others write a message again before they verify it.
    private func writeSigned(to writer: inout ByteWriter) {
        for (tag, part) in [(UInt8(0x0a), fromPart), (0x12, dataPart), (0x1a, sequencePart), (0x22, topicPart)] where part.isPresent {
            writer.write(tag)
            writer.write(varint: UInt64(part.count))
            writer.write(value(part))
        }
        var reader = ProtobufReader(field.span.extracting(droppingFirst: Int(start)))
        // It was read once already, so nothing is thrown here.
        do throws(ProtobufError) {
            while let next = try reader.next() {
                guard next.number > 6 else { continue }
                writer.write(varint: UInt64(next.number) << 3 | UInt64(next.type.rawValue))
                switch next.type {
                case .varint: writer.write(varint: try next.uint64())
                case .fixed64: writer.write(integer: try next.fixed64().byteSwapped)
                case .fixed32: writer.write(integer: try next.fixed32().byteSwapped)
                case .bytes:
                    let bytes = try next.bytes()
                    writer.write(varint: UInt64(bytes.byteCount))
                    writer.write(bytes)
                }
            }
        } catch {}
    }

    /// A message of our own; `sign` is given what is to be signed. Nil when it cannot sign.
    static func make(
        from author: Bytes?, data: Bytes, sequence: Bytes?, topic: Bytes, key: Bytes?, sign: ((Bytes) -> Bytes?)?
    ) -> GossipMessage? {
        var body = ProtobufWriter(capacity: data.count + topic.count + 192)
        if let author { body.write(1, author) }
        body.write(2, data)
        if let sequence { body.write(3, sequence) }
        body.write(4, topic)
        let unsigned = body.finish()
        var signature: Bytes?
        if let sign {
            var signed = ByteWriter(capacity: unsigned.count + 16)
            signed.write(UnsafeRawBufferPointer(start: signaturePrefix.utf8Start, count: signaturePrefix.utf8CodeUnitCount))
            signed.write(unsigned)
            signature = sign(signed.finish())
            if signature == nil { return nil }
        }
        var length = unsigned.count
        if let signature { length += ProtobufWriter.size(5, count: signature.count) }
        if let key { length += ProtobufWriter.size(6, count: key.count) }
        var whole = ProtobufWriter(capacity: length + 8)
        whole.begin(2, count: length)
        let head = whole.count
        whole.raw(unsigned)
        if let signature { whole.write(5, signature) }
        if let key { whole.write(6, key) }
        do { return try GossipMessage(field: whole.finish(), head: head) } catch { return nil }
    }
}
