import WaggleBase
import WaggleFormats
import WaggleNetwork

extension KademliaMessage {
    private static let typeField = 1
    private static let keyField = 2
    private static let recordField = 3
    package static let closerField = 8
    package static let providerField = 9

    /// A message without peers: a request, or the answer to a ping.
    package static func encode(_ kind: Kind, key: Bytes = Bytes()) -> Bytes {
        var writer = ProtobufWriter(capacity: key.count + 16)
        begin(&writer, kind, key: key)
        return writer.finish()
    }

    /// A message with a record, as PUT_VALUE has it.
    package static func encode(_ kind: Kind, key: Bytes, value: Bytes) -> Bytes {
        var writer = ProtobufWriter(capacity: 2 * key.count + value.count + 64)
        begin(&writer, kind, key: key)
        write(record: value, for: key, received: nil, &writer)
        return writer.finish()
    }

    /// ADD_PROVIDER of this node.
    package static func encode(providerOf key: Bytes, _ encodedPeer: Bytes) -> Bytes {
        var writer = ProtobufWriter(capacity: key.count + encodedPeer.count + 32)
        begin(&writer, .addProvider, key: key)
        writer.write(providerField, encodedPeer)
        return writer.finish()
    }

    /// The fields in front. The type is written even where it is zero: readers of either version of protobuf take it.
    package static func begin(_ writer: inout ProtobufWriter, _ kind: Kind, key: Bytes) {
        writer.write(typeField, varint: UInt64(kind.rawValue))
        if !key.isEmpty { writer.write(keyField, key) }
    }

    /// A record: `Record { bytes key = 1; bytes value = 2; string timeReceived = 5; }`.
    static func write(record value: Bytes, for key: Bytes, received: WallTime?, _ writer: inout ProtobufWriter) {
        let time = received?.rfc3339 ?? ""
        var size = ProtobufWriter.size(1, count: key.count) + ProtobufWriter.size(2, count: value.count)
        if !time.isEmpty { size += ProtobufWriter.size(5, count: time.utf8.count) }
        writer.begin(recordField, count: size)
        writer.write(1, key)
        writer.write(2, value)
        if !time.isEmpty { writer.write(5, time) }
    }

    /// A `Peer { bytes id = 1; repeated bytes addrs = 2; ConnectionType connection = 3; }` without its connection, which `write(peer:)` adds.
    package static func encode(_ contact: KademliaContact) -> Bytes {
        var told = contact.addresses.prefix(KademliaLimits.toldAddresses)
        var size = ProtobufWriter.size(1, count: contact.peer.bytes.count)
        for (index, address) in told.enumerated() {
            let more = ProtobufWriter.size(2, count: address.bytes.count)
            guard size + more <= KademliaLimits.toldPeer else {
                told = told.prefix(index)
                break
            }
            size += more
        }
        var writer = ProtobufWriter(capacity: size)
        writer.write(1, contact.peer.bytes)
        for address in told { writer.write(2, address.bytes) }
        return writer.finish()
    }

    /// Bytes that `write(peer:)` writes.
    static func size(peer encoded: Bytes, isConnected: Bool) -> Int {
        ProtobufWriter.size(closerField, count: encoded.count + (isConnected ? 2 : 0))
    }

    /// One peer of an answer, from its encoding.
    package static func write(peer encoded: Bytes, isConnected: Bool, field: Int, _ writer: inout ProtobufWriter) {
        writer.begin(field, count: encoded.count + (isConnected ? 2 : 0))
        writer.raw(encoded)
        // NOT_CONNECTED is 0 and need not be said; CONNECTED is 1.
        if isConnected { writer.write(3, varint: 1) }
    }
}
