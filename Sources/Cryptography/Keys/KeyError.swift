/// Why bytes are not a key.
public enum KeyError: Error, Hashable, Sendable {
    /// Not the encoding of a key, or not its canonical encoding.
    case malformed
    /// A libp2p `KeyType` that this build does not know.
    case unsupportedType(UInt64)
    /// An algorithm in PKIX or PKCS#8 that this build does not know, or that has a libp2p `KeyType` of its own and must use that.
    case unsupportedAlgorithm
    /// Larger or smaller than the limits allow; the size in bytes as sent.
    case sizeRefused(bytes: Int)
    /// A private key whose parts do not belong together.
    case inconsistent
}

extension KeyError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed: "not the encoding of a key"
        case .unsupportedType(let type): "a key of the unknown libp2p type \(type)"
        case .unsupportedAlgorithm: "a key of an algorithm that identities do not have in this form"
        case .sizeRefused(let bytes): "a key of \(bytes) bytes is outside the limits"
        case .inconsistent: "the parts of the key do not belong together"
        }
    }
}
