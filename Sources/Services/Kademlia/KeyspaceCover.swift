import WaggleBase
import WaggleNetwork

/// What some searches near each other have shown of a part of the key space: all its peers, where it was searched through.
///
/// A search for a place that ended with `k` peers has shown every peer that is closer than the farthest of them, and so all peers of the largest
/// part of the key space around the place that lies within that distance. The closest peers of another key are known for sure when the part
/// around the key that reaches as far as the farthest of them is made up of such parts.
struct KeyspaceCover {
    /// The places that share the first `bits` with `place`.
    struct Part: Equatable {
        let place: KademliaKey
        let bits: Int

        func contains(_ other: Part) -> Bool { bits <= other.bits && place.commonPrefix(with: other.place) >= bits }
    }

    private let k: Int
    private var parts: [Part] = []
    private var peers: [(key: KademliaKey, contact: KademliaContact)] = []
    private var known: Set<KademliaKey> = []
    /// Peers in mind; the oldest go first, with the parts that they made up.
    private let limit: Int

    init(k: Int, limit: Int = 2048) {
        self.k = k
        self.limit = limit
    }

    /// A search for `target` ended with these, the closest first.
    mutating func add(_ found: [KademliaContact], around target: KademliaKey) {
        guard !found.isEmpty else { return }
        if peers.count + found.count > limit { self = KeyspaceCover(k: k, limit: limit) }
        var farthest = KademliaKey(0, 0, 0, 0)
        for contact in found {
            let key = KademliaKey(contact.peer)
            farthest = max(farthest, key ^ target)
            if known.insert(key).inserted { peers.append((key, contact)) }
        }
        // Fewer than k: that is everybody.
        parts.append(Part(place: target, bits: found.count < k ? 0 : min(farthest.leadingZeros + 1, 256)))
    }

    /// The closest peers to `key` as far as they are known, and, when others may be closer, a part that has to be searched first.
    func closest(to key: KademliaKey) -> (contacts: [KademliaContact], hole: Part?) {
        let sorted = peers.map { (distance: $0.key ^ key, contact: $0.contact) }.sorted { $0.distance < $1.distance }.prefix(k)
        let contacts = sorted.map(\.contact)
        guard contacts.count == k, let last = sorted.last else {
            return (contacts, parts.contains { $0.bits == 0 } ? nil : hole(in: Part(place: key, bits: 0), toward: key))
        }
        return (contacts, hole(in: Part(place: key, bits: min(last.distance.leadingZeros, 255)), toward: key))
    }

    /// A part of `part` that no search has shown; nil when all of it is known. That on the side of `key` comes first.
    private func hole(in part: Part, toward key: KademliaKey) -> Part? {
        if parts.contains(where: { $0.contains(part) }) { return nil }
        // Nothing below is known either.
        guard part.bits < 255, parts.contains(where: { part.contains($0) }) else { return part }
        let near = Part(place: part.place, bits: part.bits + 1)
        let far = Part(place: part.place.sibling(at: part.bits, rest: part.place), bits: part.bits + 1)
        return hole(in: near, toward: key) ?? hole(in: far, toward: key)
    }
}
