import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The open half of a HELLO: all that is needed to refuse a connection before any key is computed.
///
/// Wire: version (u16) ‖ chain id (u64) ‖ policy root (32) ‖ KEM (u16) ‖ signature algorithm of the sender (u16) ‖ number of ciphers (u8) ‖
/// each cipher (u16), all big-endian. The initiator names the ciphers that it offers, best first; the responder the one that it chose.
/// Spec: `docs/specs/animica-channel.md`, section "Open hello".
struct AnimicaHello: Hashable {
    static let currentVersion: UInt16 = 1

    var version = currentVersion
    var chain: UInt64
    var policyRoot: Digest256
    var kem: UInt16
    var signature: UInt16
    var ciphers: [UInt16]

    /// Sizes in bytes: up to the number of ciphers, and with as many as there may be.
    static let fixed = 2 + 8 + Digest256.count + 2 + 2 + 1
    static let longest = fixed + 2 * AnimicaLimits.ciphers

    var encoded: Bytes {
        var writer = ByteWriter(capacity: AnimicaHello.longest)
        writer.write(integer: version)
        writer.write(integer: chain)
        policyRoot.withUnsafeBytes { writer.write($0) }
        writer.write(integer: kem)
        writer.write(integer: signature)
        writer.write(UInt8(truncatingIfNeeded: ciphers.count))
        for cipher in ciphers { writer.write(integer: cipher) }
        return writer.finish()
    }

    var encodedLength: Int { AnimicaHello.fixed + 2 * ciphers.count }
}

extension AnimicaHello {
    /// Reads a hello and compares it with `ours` on the way. Throws as soon as a field says that this connection will come to nothing, so a
    /// version of another layout is refused by its first two bytes.
    static func read(_ input: RawSpan, ours: AnimicaHello) throws(HandshakeError) -> AnimicaHello {
        var reader = ByteReader(input)
        guard let version = reader.integer(UInt16.self) else { throw .malformed }
        guard version == ours.version else { throw .refused(.init(.version, ours: "\(ours.version)", theirs: "\(version)")) }
        guard let chain = reader.integer(UInt64.self) else { throw .malformed }
        guard chain == ours.chain else { throw .refused(.init(.chain, ours: "\(ours.chain)", theirs: "\(chain)")) }
        guard let bytes = reader.take(Digest256.count), let root = Digest256(bytes) else { throw .malformed }
        guard root == ours.policyRoot else { throw .refused(.init(.policy, ours: "\(ours.policyRoot)", theirs: "\(root)")) }
        guard let kem = reader.integer(UInt16.self), let signature = reader.integer(UInt16.self), let count = reader.byte(), count > 0,
            count <= AnimicaLimits.ciphers
        else { throw .malformed }
        var ciphers: [UInt16] = []
        for _ in 0..<count {
            guard let cipher = reader.integer(UInt16.self) else { throw .malformed }
            ciphers.append(cipher)
        }
        return AnimicaHello(version: version, chain: chain, policyRoot: root, kem: kem, signature: signature, ciphers: ciphers)
    }
}

/// The sealed half of a HELLO: who the sender is, how it can be reached, and what it offered in the negotiation before.
///
/// Wire: identity key (u16 length ‖ protobuf `PublicKey`) ‖ three lists, transports, muxers and channels (each: number, u8 ‖ for each name: u8
/// length ‖ UTF-8) ‖ the certificate of a node with two identities (u16 length ‖ protobuf, length 0 with one) ‖ with a certificate, the Ed25519
/// key's signature (64). Behind it stands the signature, to the end. Spec: `docs/specs/animica-channel.md`, section "Credentials".
struct AnimicaCredentials {
    var identityKey: Bytes
    var transports: [String]
    var muxers: [ProtocolID]
    /// All channels that the sender offers or accepts, best first; empty when the channel was not negotiated.
    var channels: [ProtocolID]
    /// Says which two identities are one node, and the Ed25519 key's signature of all before it; both or neither.
    var certificate = Bytes()
    var pairSignature = Bytes()

    /// All of it; without the signature of the Ed25519 key it is what that key signs.
    func encoded() throws(HandshakeError) -> Bytes {
        var writer = ByteWriter(capacity: identityKey.count + certificate.count + 512)
        guard let length = UInt16(exactly: identityKey.count) else { throw .tooLong(bytes: identityKey.count) }
        writer.write(integer: length)
        writer.write(identityKey)
        for list in [transports, muxers.map(\.text), channels.map(\.text)] {
            guard list.count <= AnimicaLimits.names else { throw .malformed }
            writer.write(UInt8(list.count))
            for name in list {
                guard let length = UInt8(exactly: name.utf8.count) else { throw .malformed }
                writer.write(length)
                writer.write(utf8: name)
            }
        }
        guard let length = UInt16(exactly: certificate.count) else { throw .tooLong(bytes: certificate.count) }
        writer.write(integer: length)
        writer.write(certificate)
        writer.write(pairSignature)
        return writer.finish()
    }

    /// Reads the credentials at the start of `bytes`; `length` is how many bytes they take. All of the rest is the signature.
    static func read(_ bytes: Bytes) throws(HandshakeError) -> (credentials: AnimicaCredentials, length: Int) {
        var reader = ByteReader(bytes.span)
        guard let length = reader.integer(UInt16.self), let key = reader.take(Int(length)) else { throw .malformed }
        let identityKey = Bytes(key)
        var lists: [[String]] = []
        for _ in 0..<3 {
            guard let count = reader.byte(), count <= AnimicaLimits.names else { throw .malformed }
            var names: [String] = []
            for _ in 0..<count {
                guard let length = reader.byte(), let name = reader.take(Int(length)), let text = Bytes(name).utf8, !text.isEmpty else {
                    throw .malformed
                }
                names.append(text)
            }
            lists.append(names)
        }
        var credentials = AnimicaCredentials(
            identityKey: identityKey, transports: lists[0], muxers: lists[1].map { ProtocolID($0) }, channels: lists[2].map { ProtocolID($0) })
        guard let length = reader.integer(UInt16.self), let certificate = reader.take(Int(length)) else { throw .malformed }
        if length > 0 {
            guard let signature = reader.take(AnimicaPairProof.signatureLength) else { throw .malformed }
            credentials.certificate = Bytes(certificate)
            credentials.pairSignature = Bytes(signature)
        }
        return (credentials, bytes.count - reader.remaining)
    }
}
