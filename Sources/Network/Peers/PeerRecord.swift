import WaggleBase
import WaggleCryptography
import WaggleFormats

/// The addresses of a peer as the peer itself certified them.
///
/// Wire: protobuf `PeerRecord { bytes peer_id = 1; uint64 seq = 2; repeated AddressInfo addresses = 3; }`,
/// `AddressInfo { bytes multiaddr = 1; }`, in an envelope of type 0x0301 for the purpose "libp2p-peer-record". A record with a higher
/// `seq` replaces the ones before. Spec: libp2p RFC 0003.
public struct PeerRecord: Hashable, Sendable {
    /// The purpose that the envelope is signed for.
    public static let domain = "libp2p-peer-record"
    /// Multicodec libp2p-peer-record, as two plain bytes.
    public static let payloadType: Bytes = [0x03, 0x01]
    /// Addresses that are read from a record; a host has a handful. Those after are ignored.
    public static let maximumAddresses = 500

    public var peer: PeerID
    public var sequence: UInt64
    public var addresses: [Multiaddr]

    public init(peer: PeerID, sequence: UInt64, addresses: [Multiaddr]) {
        self.peer = peer
        self.sequence = sequence
        self.addresses = addresses
    }

    /// The record in an envelope signed with `key`, whose peer it must be of.
    public func signed(with key: IdentityKeyPair) -> SignedEnvelope? {
        SignedEnvelope(signing: encoded, type: PeerRecord.payloadType, domain: PeerRecord.domain, with: key)
    }

    /// Takes the record out of an envelope; refuses one that was signed by another peer than it speaks for.
    public init(verifying envelope: Bytes) throws(EnvelopeError) {
        let envelope = try SignedEnvelope(verifying: envelope, domain: PeerRecord.domain)
        guard envelope.payloadType == PeerRecord.payloadType else { throw .wrongType }
        try self.init(decoding: envelope.payload)
        guard peer == envelope.signer else { throw .wrongPeer }
    }

    var encoded: Bytes {
        var writer = ProtobufWriter()
        writer.write(1, peer.bytes)
        writer.write(2, varint: sequence)
        for address in addresses {
            writer.message(3) { $0.write(1, address.bytes) }
        }
        return writer.finish()
    }

    init(decoding bytes: Bytes) throws(EnvelopeError) {
        var peer: PeerID?
        var sequence: UInt64 = 0
        var addresses: [Multiaddr] = []
        var seen = 0
        do {
            var reader = ProtobufReader(bytes.span)
            while let field = try reader.next() {
                switch field.number {
                case 1: peer = try PeerID(bytes: bytes[try field.range()])
                case 2: sequence = try field.uint64()
                case 3 where seen < PeerRecord.maximumAddresses:
                    seen += 1
                    var info = try field.message()
                    while let part = try info.next() {
                        // An address in a form that we do not know is no reason to forget the others.
                        if part.number == 1, let address = Multiaddr.lenient(bytes[try part.range()]) { addresses.append(address) }
                    }
                default: break
                }
            }
        } catch { throw .malformed }
        guard let peer else { throw .malformed }
        self.init(peer: peer, sequence: sequence, addresses: addresses)
    }
}
