import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// `/pk/<binary PeerID>`: the public key of a peer whose PeerID is a hash. Valid is the key that the PeerID names, and no other, so all valid
/// values are equal.
///
/// Spec: libp2p kad-dht, section "Value routing".
public struct PublicKeyValidator: RecordValidator {
    public init() {}

    public var namespace: String { "pk" }

    public func validate(_ value: Bytes, for key: Bytes, at now: WallTime) throws {
        guard let peer = PublicKeyValidator.peer(of: key) else { throw KademliaError.invalidKey }
        guard try peer.matches(PublicKey(decoding: value)) else { throw KademliaError.invalidValue }
    }

    public func best(of values: [Bytes], for key: Bytes) -> Int { 0 }

    /// The key under which the public key of `peer` stands.
    public static func key(of peer: PeerID) -> Bytes {
        var writer = ByteWriter(capacity: 64)
        writer.write(utf8: "/pk/")
        writer.write(peer.bytes)
        return writer.finish()
    }

    private static func peer(of key: Bytes) -> PeerID? {
        guard RecordKey.namespace(of: key) == "pk" else { return nil }
        do { return try PeerID(bytes: Bytes(key.dropFirst(4).span)) } catch { return nil }
    }
}
