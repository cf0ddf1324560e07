import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// A place in the key space: the SHA-256 of a PeerID, of a multihash or of a record's key.
///
/// Held as four words, the most significant first, so that a distance (XOR) and a comparison of distances are a few instructions. Ordered as
/// the number it is. Spec: libp2p kad-dht, section "Distance".
public struct KademliaKey: Hashable, Comparable, Sendable {
    let first: UInt64
    let second: UInt64
    let third: UInt64
    let fourth: UInt64

    init(_ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64) {
        self.first = first
        self.second = second
        self.third = third
        self.fourth = fourth
    }

    /// The place that is this digest.
    public init(_ digest: Digest256) {
        self = digest.withUnsafeBytes { bytes in
            func word(_ index: Int) -> UInt64 { UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }
            return KademliaKey(word(0), word(1), word(2), word(3))
        }
    }

    /// The place of `bytes`: their SHA-256.
    public init(hashing bytes: Bytes) { self.init(SHA256.hash(bytes)) }

    package init(hashing bytes: UnsafeRawBufferPointer) { self.init(SHA256.hash(bytes)) }

    /// The place of a peer.
    public init(_ peer: PeerID) { self.init(SHA256.hash(peer.bytes)) }

    /// The place of the providers of a multihash.
    public init(_ hash: Multihash) { self.init(hash.withUnsafeBytes { SHA256.hash($0) }) }

    /// The distance between two places.
    package static func ^ (left: KademliaKey, right: KademliaKey) -> KademliaKey {
        KademliaKey(left.first ^ right.first, left.second ^ right.second, left.third ^ right.third, left.fourth ^ right.fourth)
    }

    public static func < (left: KademliaKey, right: KademliaKey) -> Bool {
        if left.first != right.first { return left.first < right.first }
        if left.second != right.second { return left.second < right.second }
        if left.third != right.third { return left.third < right.third }
        return left.fourth < right.fourth
    }

    /// How many leading bits two places share: 0 to 256.
    public func commonPrefix(with other: KademliaKey) -> Int { (self ^ other).leadingZeros }

    /// Leading bits that are zero: 256 for zero itself.
    var leadingZeros: Int {
        if first != 0 { return first.leadingZeroBitCount }
        if second != 0 { return 64 + second.leadingZeroBitCount }
        if third != 0 { return 128 + third.leadingZeroBitCount }
        return 192 + fourth.leadingZeroBitCount
    }

    /// This place with the bit at `index` (0 is the most significant) turned over, and what follows it taken from `rest`: a place in the
    /// neighbouring part of the key space whose common prefix with this one has `index` bits.
    package func sibling(at index: Int, rest: KademliaKey) -> KademliaKey {
        func mask(_ word: Int) -> UInt64 {
            let bits = min(max(index - word * 64, 0), 64)
            return bits == 0 ? 0 : bits == 64 ? .max : ~(UInt64.max >> UInt64(bits))
        }
        func bit(_ word: Int) -> UInt64 { index / 64 == word ? 1 << UInt64(63 - index % 64) : 0 }
        func part(_ word: Int, _ own: UInt64, _ other: UInt64) -> UInt64 {
            let kept = mask(word) | bit(word)
            return ((own ^ bit(word)) & kept) | (other & ~kept)
        }
        return KademliaKey(part(0, first, rest.first), part(1, second, rest.second), part(2, third, rest.third), part(3, fourth, rest.fourth))
    }

    /// The 32 bytes.
    public var bytes: Bytes {
        var writer = ByteWriter(capacity: 32)
        for word in [first, second, third, fourth] { writer.write(integer: word) }
        return writer.finish()
    }

    /// The place that these 32 bytes are; nil for another number of bytes.
    init?(bytes: Bytes) {
        guard let digest = Digest256(bytes.span) else { return nil }
        self.init(digest)
    }
}
