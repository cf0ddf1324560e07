import WaggleBase

/// How many servers the network has, from how close together the peers lie that searches for places of our own choice ended with, and whether
/// the surroundings of some other place look as if someone had moved in there.
///
/// With N peers at random places the k-th closest to a place has the distance 2^256 · k / (N + 1) on average, so each search gives an estimate,
/// whose median an attacker cannot move who sits around one key. (Cf. Sridhar et al., "Content Censorship in the InterPlanetary File System".)
package struct NetworkSize {
    package init() {}

    private var samples: [Double] = []
    private var next = 0

    /// Searches that count.
    private static let window = 32
    /// Searches before there is an estimate.
    private static let enough = 3

    /// A search for a random place ended with these, the closest first.
    package mutating func record(_ found: [KademliaKey], around target: KademliaKey) {
        guard found.count >= 4, let last = found.last else { return }
        let share = NetworkSize.share(last ^ target)
        guard share > 0 else { return }
        let sample = Double(found.count) / share
        if samples.count < NetworkSize.window { samples.append(sample) } else { samples[next % NetworkSize.window] = sample }
        next += 1
    }

    /// The median of the samples; nil while they are too few.
    package var estimate: Double? {
        guard samples.count >= NetworkSize.enough else { return nil }
        return samples.sorted()[samples.count / 2]
    }

    /// A distance as a share of the whole key space, from its leading 64 bits.
    static func share(_ distance: KademliaKey) -> Double { (Double(distance.first) + 1) / 18_446_744_073_709_551_616 }

    /// The lengths of prefixes at which to turn off from `target` and search besides, when the peers found there lie much closer together than `size` peers would: the neighbouring
    /// parts of the key space that together hold the peers which would be the closest if the crowd were not there. Empty when all is well.
    package static func neighbours(of target: KademliaKey, found: [KademliaKey], k: Int, size: Double) -> [Int] {
        guard found.count >= k, let last = found.last, size > Double(2 * k) else { return [] }
        let expected = Double(k) / (size + 1)
        // The distance of the k-th of N random peers is less than a third of its mean once in 10^5 searches for k = 20.
        guard share(last ^ target) * 3 < expected else { return [] }
        let outer = max(0, Int(leadingBits(expected)) - 1)
        let inner = (last ^ target).leadingZeros
        return Array((outer...max(outer, inner)).prefix(KademliaLimits.extraLookups))
    }

    /// How many bits of prefix a part of this share of the key space has.
    private static func leadingBits(_ share: Double) -> Int {
        var bits = 0
        var part = 1.0
        while part / 2 >= share, bits < 255 {
            part /= 2
            bits += 1
        }
        return bits
    }
}
