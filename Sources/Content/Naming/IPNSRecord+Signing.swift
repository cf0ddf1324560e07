import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

extension IPNSRecord {
    /// What a record shall say.
    public struct Content: Sendable {
        /// The path it points at, as text.
        public var value: String
        public var sequence: UInt64
        public var validity: WallTime
        public var timeToLive: Duration
        /// Further signed fields; their names best begin with `_`. Those of the specification are left out.
        public var extensions: OrderedMap<Value> = OrderedMap()

        public init(value: String, sequence: UInt64, validity: WallTime, timeToLive: Duration = NamingLimits.timeToLive) {
            self.value = value
            self.sequence = sequence
            self.validity = validity
            self.timeToLive = timeToLive
        }
    }

    /// Makes and signs a record. With `compatible` it also carries the fields and the signature of the first version, where the key is of a
    /// kind that software which needs them can know and the record stays below the limit. A key that its name does not contain is put in.
    public init(_ content: Content, with key: IdentityKeyPair, compatible: Bool = true) throws(IPNSError) {
        let value = Bytes(utf8: content.value)
        let validity = Bytes(utf8: content.validity.rfc3339)
        let ttl = max(0, content.timeToLive.wholeNanoseconds)
        var fields = OrderedMap<Value>([
            ("TTL", .integer(Int128(ttl))), ("Value", .bytes(value)),
            // As Go writes it, so that numbers above 2^63 mean the same everywhere.
            ("Sequence", .integer(Int128(Int64(bitPattern: content.sequence)))),
            ("Validity", .bytes(validity)), ("ValidityType", .integer(0)),
        ])
        for (name, extra) in content.extensions where !IPNSRecord.known.contains(name) { fields[name] = extra }
        var message = IPNSMessage()
        do { message.data = try DagCBOR.encode(.map(fields)) } catch { throw .malformed("\(error)") }
        guard let signature = key.sign(IPNSRecord.signedV2(message.data)) else { throw .noKey }
        message.signatureV2 = signature
        if PeerID(key.publicKey).publicKey == nil { message.publicKey = key.publicKey.encoded }
        if compatible, signature.count <= NamingLimits.legacySignature {
            message.value = value
            message.validity = validity
            message.validityType = 0
            message.sequence = content.sequence
            message.ttl = UInt64(ttl)
            guard let legacy = key.sign(IPNSRecord.signedV1(message)) else { throw .noKey }
            message.signatureV1 = legacy
        }
        self.init(message, fields)
        guard encoded.count <= NamingLimits.record else { throw .tooLarge(bytes: encoded.count) }
    }

    private static func signedV1(_ message: IPNSMessage) -> Bytes {
        var writer = ByteWriter(capacity: 128)
        writer.write(message.value)
        writer.write(message.validity)
        writer.write(utf8: "0")
        return writer.finish()
    }
}
