/// Why bytes are not a key.
public enum KeyError: Error, Hashable, Sendable {
    /// Not the encoding of a key, or not its canonical encoding.
    case malformed
    /// A libp2p `KeyType` that this build does not know.
    case unsupportedType(UInt64)
    /// Larger or smaller than the limits allow; the size in bytes as sent.
    case sizeRefused(bytes: Int)
    /// A private key whose parts do not belong together.
    case inconsistent
}
