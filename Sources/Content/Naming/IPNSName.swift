import WaggleBase
import WaggleFormats
import WaggleNetwork

/// A name that a key stands for.
///
/// Text: a CIDv1 of codec `libp2p-key` in base 36 (`k51…`), with or without `/ipns/` in front; base58btc multihashes are read too.
/// Spec: specs.ipfs.tech/ipns/ipns-record, "IPNS Name".
public struct IPNSName: Hashable, Sendable {
    /// The PeerID of the key.
    public let peer: PeerID

    static let prefix = "/ipns/"

    public init(_ peer: PeerID) { self.peer = peer }

    /// Reads the text of a name; nil for a domain or anything else.
    public init?(_ text: String) {
        let bare = text.hasPrefix(IPNSName.prefix) ? String(text.dropFirst(IPNSName.prefix.count)) : text
        do { peer = try PeerID(bare) } catch { return nil }
    }

    /// Under which a record is stored in the hash table: `/ipns/` and the binary multihash.
    public var routingKey: Bytes {
        var writer = ByteWriter(capacity: 64)
        writer.write(utf8: IPNSName.prefix)
        writer.write(peer.bytes)
        return writer.finish()
    }

    /// The name of a key in the hash table; nil for keys of other namespaces.
    public init?(routingKey: Bytes) {
        let prefix = Bytes(utf8: IPNSName.prefix)
        guard routingKey.prefix(prefix.count) == prefix else { return nil }
        do { peer = try PeerID(bytes: routingKey.dropFirst(prefix.count).span) } catch { return nil }
    }
}

extension IPNSName: CustomStringConvertible {
    /// The text in base 36.
    public var description: String { peer.cidText }
}
