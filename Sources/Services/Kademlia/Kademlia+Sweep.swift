import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

extension Kademlia {
    /// Announces many blocks that come in the order of their places: neighbours share the searches, and each peer gets all its records over one
    /// stream.
    public func provide(many cids: [CID]) async throws -> ProvideOutcome {
        let core = try core
        return try await core.home.run { try await core.provide(many: cids) }
    }
}

extension KademliaCore {
    /// Blocks that are announced in one go: what they need is forgotten afterwards.
    private static let batch = 1024
    /// Searches for the closest peers of one key before those that are known have to do.
    private static let searchesPerKey = 8

    func provide(many cids: [CID]) async throws -> ProvideOutcome {
        var outcome = ProvideOutcome()
        var cover = KeyspaceCover(k: configuration.k)
        var told: Set<PeerID> = []
        var rest = cids[...]
        while !rest.isEmpty {
            try Task.checkCancellation()
            let batch = rest.prefix(KademliaCore.batch)
            rest = rest.dropFirst(batch.count)
            var work: [PeerID: (contact: KademliaContact, keys: [Int])] = [:]
            for (index, cid) in batch.enumerated() {
                let hash = cid.multihash
                let place = KademliaKey(hash)
                keepOwn(place)
                for contact in try await closest(to: place, hash, &cover, &outcome) { work[contact.peer, default: (contact, [])].keys.append(index) }
            }
            let hashes = batch.map { $0.multihash.bytes }
            var reached = [Int](repeating: 0, count: hashes.count)
            for (contact, keys, isTold) in await tell(work, hashes) where isTold {
                told.insert(contact.peer)
                for key in keys { reached[key] += 1 }
            }
            outcome.records += reached.reduce(0, +)
            for (cid, count) in zip(batch, reached) where count == 0 { outcome.failed.append(cid) }
        }
        outcome.peers = told.count
        return outcome
    }

    /// The peers closest to a key, from what searches for its neighbours have shown where that is enough.
    private func closest(
        to place: KademliaKey, _ hash: Multihash, _ cover: inout KeyspaceCover, _ outcome: inout ProvideOutcome
    ) async throws -> [KademliaContact] {
        for attempt in 0..<KademliaCore.searchesPerKey {
            let (contacts, hole) = cover.closest(to: place)
            guard let hole else { return contacts }
            outcome.lookups += 1
            // First the key itself; then parts around it that have not been seen.
            var key = hash.bytes
            if attempt > 0 { key = KademliaAim.key(near: hole.place, bits: hole.bits + 1, seed: Bytes(system.randomBytes(32))) }
            let target = KademliaKey(hashing: key)
            do {
                let found = try await search(target, asking: KademliaMessage.encode(.findNode, key: key), isRefresh: attempt > 0) { _, _ in true }
                cover.add(found.closest, around: target)
                // A crowd around the key: what was found besides counts for this key alone.
                if found.closest.count > configuration.k { return found.closest }
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                if error as? KademliaError == .noPeers || error as? KademliaError == .closed { throw error }
                return contacts
            }
        }
        return cover.closest(to: place).contacts
    }

    /// Sends each peer its records; some peers at once.
    private func tell(
        _ work: [PeerID: (contact: KademliaContact, keys: [Int])], _ hashes: [Bytes]
    ) async -> [(KademliaContact, [Int], isTold: Bool)] {
        guard let swarm else { return [] }
        let addresses = Array(configuration.scope.told(swarm.announcedAddresses).prefix(KademliaLimits.toldAddresses))
        guard !addresses.isEmpty else { return [] }
        let own = KademliaMessage.encode(KademliaContact(peer: responder.peer, addresses: addresses))
        // In order, so that a simulated run is the same each time.
        var waiting = work.keys.sorted()[...]
        return await withTaskGroup(of: (KademliaContact, [Int], isTold: Bool).self) { group in
            var results: [(KademliaContact, [Int], isTold: Bool)] = []
            func startNext() {
                guard let peer = waiting.popFirst(), let (contact, keys) = work[peer] else { return }
                group.addTask { [self] in
                    let messages = keys.map { KademliaMessage.encode(providerOf: hashes[$0], own) }
                    do {
                        try await requestAll(messages, contact, swarm)
                        return (contact, keys, true)
                    } catch { return (contact, keys, false) }
                }
            }
            for _ in 0..<configuration.alpha { startNext() }
            while let result = await group.next() {
                results.append(result)
                startNext()
            }
            return results
        }
    }
}
