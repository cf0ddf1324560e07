import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// What a name points at, signed by the key of the name.
///
/// Wire: protobuf `IpnsEntry { bytes value = 1; bytes signatureV1 = 2; ValidityType validityType = 3; bytes validity = 4; uint64 sequence = 5;
/// uint64 ttl = 6; bytes pubKey = 7; bytes signatureV2 = 8; bytes data = 9; }`. `data` is DAG-CBOR with `Value` (bytes, a path), `Validity`
/// (bytes, a time in RFC 3339), `ValidityType` (0), `Sequence` and `TTL` (nanoseconds); `signatureV2` signs `ipns-signature:` and it. Fields
/// 1 to 6 are copies for old software and never trusted. Spec: specs.ipfs.tech/ipns/ipns-record.
///
/// Reading one checks its form; only `verify` says whether it is the name's.
public struct IPNSRecord: Sendable {
    /// The record as it came or was made.
    public let encoded: Bytes
    /// The signed fields.
    let fields: OrderedMap<Value>
    let message: IPNSMessage

    /// Reads a record of at most `NamingLimits.record` bytes, whose signature is not looked at.
    public init(decoding bytes: Bytes) throws(IPNSError) {
        guard bytes.count <= NamingLimits.record else { throw .tooLarge(bytes: bytes.count) }
        do { message = try IPNSMessage(bytes) } catch { throw .malformed("it is no protobuf message") }
        guard !message.data.isEmpty else { throw .noData }
        let value: Value
        do { value = try DagCBOR.decode(message.data, .relaxed) } catch { throw .malformed("\(error)") }
        guard case .map(let fields) = value else { throw .malformed("the data is not a map") }
        self.fields = fields
        encoded = bytes
    }

    init(_ message: IPNSMessage, _ fields: OrderedMap<Value>) {
        self.message = message
        self.fields = fields
        encoded = message.encode()
    }

    // MARK: What it says

    /// What it points at, as it stands in the record; nil where the field is missing.
    public var value: Bytes? { fields["Value"]?.bytes }

    /// What it points at as a path. A binary CID is read too; an empty value means no content.
    public var path: ContentPath {
        get throws(IPNSError) {
            guard let value else { throw .malformed("Value is missing") }
            do {
                if value.isEmpty { return try ContentPath(parsing: "/ipfs/bafkqaaa") }
                if value.first == UInt8(ascii: "/"), let text = value.utf8 { return try ContentPath(parsing: text) }
                return ContentPath(try CID(bytes: value))
            } catch {
                throw .invalidPath
            }
        }
    }

    /// 0 for a record that ends at a time; nil where the field is missing.
    public var validityType: Int? { fields["ValidityType"]?.int }

    /// Until when the record is valid; nil where that is not known.
    public var validity: WallTime? {
        guard validityType == 0, let text = fields["Validity"]?.bytes?.utf8 else { return nil }
        return WallTime(rfc3339: text)
    }

    /// The higher, the newer; nil where the field is missing.
    public var sequence: UInt64? {
        guard case .integer(let value)? = fields["Sequence"] else { return nil }
        // Go writes it as a signed number of 64 bits.
        return UInt64(exactly: value) ?? Int64(exactly: value).map { UInt64(bitPattern: $0) }
    }

    /// For how long it may be remembered; nil where the field is missing.
    public var timeToLive: Duration? {
        guard case .integer(let value)? = fields["TTL"], let nanoseconds = Int64(exactly: value) else { return nil }
        return .nanoseconds(nanoseconds)
    }

    /// The key that signed it, where the record contains one.
    public var publicKey: PublicKey? {
        get throws(IPNSError) {
            guard let key = message.publicKey else { return nil }
            do { return try PublicKey(decoding: key) } catch { throw .noKey }
        }
    }

    /// Which signatures it has, as Kubo calls them: `V1+V2` or `V2`.
    public var signatureType: String { message.signatureV1.isEmpty && message.value.isEmpty ? "V2" : "V1+V2" }

    /// Signed fields that the specification does not name, by their names.
    public var extensions: OrderedMap<Value> {
        OrderedMap(fields.entries.filter { !IPNSRecord.known.contains($0.key) }.map { ($0.key, $0.value) })
    }

    static let known: Set<String> = ["Value", "Validity", "ValidityType", "Sequence", "TTL"]

    // MARK: Whether it is true

    /// Throws unless the record is `name`'s and valid at `now` (specs.ipfs.tech/ipns/ipns-record, "Record Verification").
    public func verify(_ name: IPNSName, at now: WallTime) throws(IPNSError) {
        guard !message.signatureV2.isEmpty else { throw .forged }
        guard let key = try publicKey ?? name.peer.publicKey else { throw .noKey }
        guard name.peer.matches(key) else { throw .foreignKey }
        guard key.verify(message.signatureV2, of: IPNSRecord.signedV2(message.data)) else { throw .forged }
        if !message.signatureV1.isEmpty || !message.value.isEmpty { try checkCopies() }
        guard validityType == 0, let validity else { throw .unknownValidity }
        guard sequence != nil, value != nil else { throw .malformed("a signed field is missing") }
        if let timeToLive, timeToLive < .zero { throw .malformed("negative TTL") }
        guard now <= validity else { throw .expired }
    }

    /// What old software reads must say the same as what is signed.
    private func checkCopies() throws(IPNSError) {
        guard value == message.value else { throw .mismatch(field: "Value") }
        guard fields["Validity"]?.bytes == message.validity else { throw .mismatch(field: "Validity") }
        guard UInt64(exactly: validityType ?? -1) == message.validityType ?? 0 else { throw .mismatch(field: "ValidityType") }
        guard sequence == message.sequence ?? 0 else { throw .mismatch(field: "Sequence") }
        guard case .integer(let ttl)? = fields["TTL"], UInt64(truncatingIfNeeded: ttl) == message.ttl ?? 0 else { throw .mismatch(field: "TTL") }
    }

    static func signedV2(_ data: Bytes) -> Bytes {
        var writer = ByteWriter(capacity: data.count + 16)
        writer.write(utf8: "ipns-signature:")
        writer.write(data)
        return writer.finish()
    }

    /// Whether this record is to be preferred to `other`: by sequence, then by end of validity, then by bytes, so that all agree.
    public func isBetter(than other: IPNSRecord) -> Bool {
        let (mine, theirs) = (sequence ?? 0, other.sequence ?? 0)
        if mine != theirs { return mine > theirs }
        let (end, otherEnd) = (validity ?? WallTime(nanoseconds: .min), other.validity ?? WallTime(nanoseconds: .min))
        if end != otherEnd { return end > otherEnd }
        return other.encoded.lexicographicallyPrecedes(encoded)
    }
}

extension IPNSRecord: Hashable {
    public static func == (left: IPNSRecord, right: IPNSRecord) -> Bool { left.encoded == right.encoded }
    public func hash(into hasher: inout Hasher) { hasher.combine(encoded) }
}
