import WaggleBase
import WaggleCryptography
public import WaggleNetwork

/// A channel without any cryptography, for simulations of many nodes: each side names its key and is believed.
///
/// Wire: both sides send u16 length, u16 length of the key, protobuf public key, then the names of their muxers, each behind a byte of length.
/// Afterwards records of u16 length and plaintext. Only for tests: the product has no such channel.
public struct PlainChannel: SecureChannel {
    private let identity: LocalIdentity

    public init(_ identity: LocalIdentity) { self.identity = identity }

    public var protocolID: ProtocolID { "/plaintext/simulation" }
    public var isPostQuantum: Bool { false }

    public func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake { PlainHandshake(identity, parameters) }
}

private struct PlainHandshake: Handshake {
    private let parameters: HandshakeParameters
    private var outgoing: Bytes?
    private var secured: Secured?

    init(_ identity: LocalIdentity, _ parameters: HandshakeParameters) {
        self.parameters = parameters
        let key = identity.key.publicKey.encoded
        var body = ByteWriter(capacity: 256)
        body.write(integer: UInt16(key.count))
        body.write(key)
        for muxer in parameters.muxers {
            body.write(UInt8(muxer.text.utf8.count))
            body.write(utf8: muxer.text)
        }
        let bytes = body.finish()
        var message = ByteWriter(capacity: bytes.count + 2)
        message.write(integer: UInt16(bytes.count))
        message.write(bytes)
        outgoing = message.finish()
    }

    mutating func receive(_ input: RawSpan) throws(HandshakeError) -> Int {
        var reader = ByteReader(input)
        guard let length: UInt16 = reader.integer() else { return 0 }
        guard let body = reader.take(Int(length)) else { return 0 }
        var fields = ByteReader(body)
        guard secured == nil, let keyLength: UInt16 = fields.integer(), let keyBytes = fields.take(Int(keyLength)) else { throw .malformed }
        let key: PublicKey
        do { key = try PublicKey(decoding: Bytes(keyBytes)) } catch { throw .keyRefused(error) }
        let peer = PeerID(key)
        if let expected = parameters.expectedPeer, expected != peer { throw .wrongPeer(expected: expected, actual: peer) }
        var theirs: [ProtocolID] = []
        while let count = fields.byte() {
            guard let name = fields.take(Int(count)), let text = Bytes(name).utf8 else { throw .malformed }
            theirs.append(ProtocolID(text))
        }
        // The choice is the dialing side's.
        let (first, second) = parameters.role == .initiator ? (parameters.muxers, theirs) : (theirs, parameters.muxers)
        let muxer = first.first { second.contains($0) }
        let security = SecurityInfo(
            channel: "/plaintext/simulation", keyExchange: "none", signature: "none", isPostQuantum: false, transcriptVerified: false)
        secured = Secured(peer: peer, key: key, muxer: muxer, records: PlainRecords(), security: security)
        return Int(length) + 2
    }

    mutating func next() -> Bytes? { outgoing.take() }

    mutating func finish() -> Secured? { outgoing == nil ? secured.take() : nil }
}

private final class PlainRecords: RecordLayer {
    private static let prefix = 2

    var overhead: Int { PlainRecords.prefix }
    var maximumPlaintext: Int { Int(UInt16.max) }

    func seal(
        _ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer, into output: UnsafeMutableRawPointer
    ) throws(RecordError) -> Int {
        let plaintext = header.count + payload.count
        guard plaintext <= maximumPlaintext else { throw .tooLong(bytes: plaintext) }
        output.storeBytes(of: UInt16(plaintext).bigEndian, as: UInt16.self)
        var cursor = output + PlainRecords.prefix
        for part in [header, payload] {
            guard let start = part.baseAddress, !part.isEmpty else { continue }
            cursor.copyMemory(from: start, byteCount: part.count)
            cursor += part.count
        }
        return plaintext + PlainRecords.prefix
    }

    func open(_ input: UnsafeMutableRawBufferPointer) throws(RecordError) -> RecordOutcome {
        guard let start = input.baseAddress, input.count >= PlainRecords.prefix else { return .incomplete(need: PlainRecords.prefix) }
        let total = PlainRecords.prefix + Int(UInt16(bigEndian: start.loadUnaligned(as: UInt16.self)))
        guard input.count >= total else { return .incomplete(need: total) }
        return .record(plaintext: PlainRecords.prefix..<total, consumed: total)
    }
}
