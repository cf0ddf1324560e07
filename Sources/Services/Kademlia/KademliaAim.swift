import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// Keys whose places lie in a wanted part of the key space: requests carry keys, and a key's place is its hash, so they have to be tried out.
package enum KademliaAim {
    /// Bits of prefix that are aimed for at most: 2^14 hashes on average.
    private static let mostBits = 14
    /// Tries at most.
    private static let tries = 1 << 16

    /// A key in the form of a PeerID whose place shares its first `bits` with `place`, or nearly as many; of 32 bytes of `seed` comes what is random
    /// in it.
    package static func key(near place: KademliaKey, bits: Int, seed: Bytes) -> Bytes {
        // A SHA2-256 multihash, as peers' ids are.
        var candidate: [UInt8] = [0x12, 0x20] + seed.prefix(32).array
        while candidate.count < 34 { candidate.append(0) }
        var best = candidate
        var bestPrefix = -1
        for number in 0..<UInt32(tries) {
            for (index, shift) in [0, 8, 16, 24].enumerated() { candidate[2 + index] = UInt8(truncatingIfNeeded: number >> UInt32(shift)) }
            let prefix = candidate.withUnsafeBytes { KademliaKey(hashing: $0) }.commonPrefix(with: place)
            if prefix > bestPrefix { (best, bestPrefix) = (candidate, prefix) }
            if prefix >= min(bits, mostBits) { break }
        }
        return Bytes(best)
    }
}
