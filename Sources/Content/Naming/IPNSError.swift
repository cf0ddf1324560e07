import WaggleFormats

/// Why a record is refused.
public enum IPNSError: Error, Hashable, Sendable {
    case tooLarge(bytes: Int)
    /// Not a record, or without one of the fields that every record has.
    case malformed(String)
    /// The record has no data in DAG-CBOR: one of the first version, which is not trusted any more.
    case noData
    /// The key under which it is stored is not a name.
    case invalidName
    /// Neither the name nor the record contains the key, or the key is of a kind that is not known here.
    case noKey
    /// The record contains another key than that of the name.
    case foreignKey
    case forged
    /// A copied field says something else than the signed data.
    case mismatch(field: String)
    /// Its end is not a time, or of an unknown type.
    case unknownValidity
    case expired
    /// What it points at is not a path.
    case invalidPath
}

extension IPNSError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooLarge: "record exceeds allowed size limit"
        case .malformed(let detail): "record is malformed: \(detail)"
        case .noData: "record is malformed: record is missing the dag-cbor data field"
        case .invalidName: "name is invalid"
        case .noKey: "public key not found"
        case .foreignKey: "record public key does not match the expected public key"
        case .forged: "signature verification failed"
        case .mismatch(let field): "field \(quoted(field)) did not match between protobuf and CBOR"
        case .unknownValidity: "record contains an unrecognized validity type"
        case .expired: "record is expired"
        case .invalidPath: "value is not a valid content path"
        }
    }
}
