import WaggleBase

extension CID: CustomStringConvertible, LosslessStringConvertible {
    /// The CID written in `text`: 46 characters of base58btc beginning with `Qm` are version 0, anything else is multibase.
    public init(parsing text: String) throws(CIDError) {
        guard !text.isEmpty else { throw .empty }
        guard text.utf8.count <= FormatsLimits.cidTextBytes else { throw .malformed }
        if text.utf8.count == 46, text.hasPrefix("Qm") {
            let bytes: Bytes
            do { bytes = try Multibase.base58btc.decode(unprefixed: text) } catch { throw .multibase(error) }
            try self.init(bytes: bytes)
        } else {
            let bytes: Bytes
            do { bytes = try Multibase.decode(text).bytes } catch { throw .multibase(error) }
            try self.init(bytes: bytes)
            guard version == .v1 else { throw .prefixedVersion0 }
        }
    }

    /// The CID written in `text`; nil when it is none. `init(parsing:)` says why.
    public init?(_ text: String) {
        do { try self.init(parsing: text) } catch { return nil }
    }

    /// The canonical text: base58btc for version 0, base32 for version 1.
    public var description: String { text(base: .base32) }

    /// The text in `base`. A version 0 CID has one text only, whatever `base` says; `v1` has all.
    public func text(base: Multibase) -> String {
        withUnsafeBytes { version == .v0 ? Multibase.base58btc.encode($0, prefixed: false) : base.encode($0) }
    }
}

/// Why bytes or text are not a CID.
public enum CIDError: Error, Equatable, Sendable {
    /// No bytes or no characters.
    case empty
    /// Cut short, a varint that is not canonical, or text longer than any CID.
    case malformed
    /// Neither version 0 nor 1.
    case unsupportedVersion(UInt64)
    /// Version 0 needs a whole SHA2-256 digest.
    case notVersion0
    /// A version 0 CID behind a multibase prefix, which the spec forbids.
    case prefixedVersion0
    /// This many bytes after the CID.
    case trailingBytes(Int)
    case multihash(MultihashError)
    case multibase(MultibaseError)
}
