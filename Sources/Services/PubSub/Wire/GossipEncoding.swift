import WaggleBase
import WaggleFormats

/// The pieces of an RPC, encoded once and shared by all peers that they go to.
///
/// Wire: `RPC { repeated SubOpts subscriptions = 1; repeated Message publish = 2; ControlMessage control = 3; }`, `SubOpts { bool subscribe = 1;
/// string topicid = 2; }`, `ControlMessage { ControlIHave ihave = 1; ControlIWant iwant = 2; ControlGraft graft = 3; ControlPrune prune = 4;
/// ControlIDontWant idontwant = 5; ControlExtensions extensions = 6; }`, all but the last repeated. Spec: libp2p gossipsub 1.0 to 1.3.
enum GossipEncoding {
    /// The field `subscriptions`.
    static func subscription(_ topic: Bytes, _ isSubscribed: Bool) -> Bytes {
        var writer = ProtobufWriter(capacity: topic.count + 16)
        writer.begin(1, count: 2 + ProtobufWriter.size(2, count: topic.count))
        writer.write(1, bool: isSubscribed)
        writer.write(2, topic)
        return writer.finish()
    }

    // MARK: Fields of the control message

    /// `ihave`: `ControlIHave { string topicID = 1; repeated bytes messageIDs = 2; }`.
    static func have(_ topic: Bytes, _ ids: [Bytes]) -> Bytes {
        var length = ProtobufWriter.size(1, count: topic.count)
        for id in ids { length += ProtobufWriter.size(2, count: id.count) }
        var writer = ProtobufWriter(capacity: length + 8)
        writer.begin(1, count: length)
        writer.write(1, topic)
        for id in ids { writer.write(2, id) }
        return writer.finish()
    }

    /// `iwant`: `ControlIWant { repeated bytes messageIDs = 1; }`.
    static func want(_ ids: [Bytes]) -> Bytes { list(2, ids) }

    /// `idontwant`: `ControlIDontWant { repeated bytes messageIDs = 1; }`.
    static func doNotWant(_ ids: [Bytes]) -> Bytes { list(5, ids) }

    private static func list(_ field: Int, _ ids: [Bytes]) -> Bytes {
        var length = 0
        for id in ids { length += ProtobufWriter.size(1, count: id.count) }
        var writer = ProtobufWriter(capacity: length + 8)
        writer.begin(field, count: length)
        for id in ids { writer.write(1, id) }
        return writer.finish()
    }

    /// `graft`: `ControlGraft { string topicID = 1; }`.
    static func graft(_ topic: Bytes) -> Bytes {
        var writer = ProtobufWriter(capacity: topic.count + 16)
        writer.begin(3, count: ProtobufWriter.size(1, count: topic.count))
        writer.write(1, topic)
        return writer.finish()
    }

    /// `prune`: `ControlPrune { string topicID = 1; repeated PeerInfo peers = 2; uint64 backoff = 3; }` in seconds,
    /// `PeerInfo { bytes peerID = 1; bytes signedPeerRecord = 2; }`.
    static func prune(_ topic: Bytes, backOff: UInt64?, peers: [(peer: Bytes, record: Bytes?)] = []) -> Bytes {
        var writer = ProtobufWriter(capacity: topic.count + 32)
        writer.message(4) { writer in
            writer.write(1, topic)
            for (peer, record) in peers {
                writer.message(2) { writer in
                    writer.write(1, peer)
                    if let record { writer.write(2, record) }
                }
            }
            if let backOff { writer.write(3, varint: backOff) }
        }
        return writer.finish()
    }

    /// `extensions` with the one that we have: `ControlExtensions { bool asks = 58412961; }`.
    static let extensions: Bytes = {
        var inner = ProtobufWriter(capacity: 8)
        inner.write(asksExtension, bool: true)
        var writer = ProtobufWriter(capacity: 16)
        writer.write(6, inner.finish())
        return writer.finish()
    }()

    /// An experimental extension: the peer asks for large messages that it hears of, and holds them back from others who do.
    static let asksExtension = 58_412_961
}
