import WaggleBase
import WaggleFormats

/// A set of block keys in 16 bytes a key: fingerprints under a secret of this process.
///
/// Two keys that share a fingerprint cannot be made on purpose, because the secret is unknown outside, and 128 bits rule out accidents.
struct KeySet: Sendable {
    private struct Fingerprint: Hashable {
        let high: UInt64
        let low: UInt64

        init(_ key: Bytes) {
            (high, low) = key.withUnsafeBytes { key in
                var first = Hasher()
                first.combine(bytes: key)
                var second = Hasher()
                second.combine(0x9e37_79b9_7f4a_7c15 as UInt64)
                second.combine(bytes: key)
                return (UInt64(truncatingIfNeeded: first.finalize()), UInt64(truncatingIfNeeded: second.finalize()))
            }
        }

        /// `high` is uniform already; hashing it again would only cost.
        func hash(into hasher: inout Hasher) { hasher.combine(high) }
    }

    private var fingerprints: Set<Fingerprint> = []

    var count: Int { fingerprints.count }

    /// Says whether the key was new.
    @discardableResult
    mutating func insert(_ key: Multihash) -> Bool { fingerprints.insert(Fingerprint(key.bytes)).inserted }

    /// The same for any other key, a whole CID for example.
    @discardableResult
    mutating func insert(_ key: Bytes) -> Bool { fingerprints.insert(Fingerprint(key)).inserted }

    func contains(_ key: Multihash) -> Bool { fingerprints.contains(Fingerprint(key.bytes)) }

    mutating func formUnion(_ other: KeySet) { fingerprints.formUnion(other.fingerprints) }
}
