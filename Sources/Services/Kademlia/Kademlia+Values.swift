import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

extension Kademlia: ValueRouting {
    public func putValue(_ value: Bytes, for key: Bytes) async throws {
        let core = try core
        try await core.home.run {
            try await core.put(value, for: key)
            let place = KademliaKey(hashing: key)
            if core.ownValues.count < KademliaLimits.ownValues || core.ownValues[place] != nil {
                core.ownValues[place] = (key, value, core.home.now)
            }
        }
    }

    public func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        let core = try core
        try await core.home.run { try await core.values(for: key, found) }
    }

    /// The public key of a peer whose PeerID does not carry it.
    public func publicKey(of peer: PeerID) async throws -> Bytes {
        let found = FoundValue()
        try await values(for: PublicKeyValidator.key(of: peer)) { value in
            found.value.withLock { $0 = value }
            return false
        }
        guard let value = found.value.withLock({ $0 }) else { throw KademliaError.notFound }
        return value
    }
}

extension KademliaCore {
    /// Keeps the record here and gives it to the peers closest to its key.
    func put(_ value: Bytes, for key: Bytes) async throws {
        guard key.count <= KademliaLimits.key, value.count <= KademliaLimits.value.bytes else { throw KademliaError.invalidKey }
        do { try responder.keep(value, for: key, from: nil, now: system.wallTime) } catch {
            switch error {
            case .outdatedRecord: throw KademliaError.outdated
            case .unknownNamespace, .noKey: throw KademliaError.invalidKey
            // Our own table is full: others may have room.
            case .quota: break
            default: throw KademliaError.invalidValue
            }
        }
        recordsChanged()
        let found = try await search(KademliaKey(hashing: key), asking: KademliaMessage.encode(.findNode, key: key)) { _, _ in true }
        let message = KademliaMessage.encode(.putValue, key: key, value: value)
        let taken = await spread(message, to: found.closest, expectsAnswer: true) { $0.record?.value == value }
        guard taken > 0 else { throw KademliaError.notStored }
    }

    /// Looks for the best value. Those who had a worse one are corrected, and when the search went to its end, those of the closest who had none
    /// get it, too.
    func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws {
        guard !key.isEmpty, key.count <= KademliaLimits.key else { throw KademliaError.invalidKey }
        guard let namespace = RecordKey.namespace(of: key), let validator = responder.validators[namespace] else { throw KademliaError.invalidKey }
        let place = KademliaKey(hashing: key)
        let observer = KademliaTrace.observer
        var best: Bytes?
        var holders: Set<PeerID> = []
        var asked: [KademliaContact] = []
        var haveWorse: Set<PeerID> = []
        /// Takes a value that somebody has; says whether it is better than all before.
        func take(_ value: Bytes) -> Bool {
            if value == best { return false }
            do { try validator.validate(value, for: key, at: system.wallTime) } catch { return false }
            if let old = best, validator.best(of: [value, old], for: key) != 0 { return false }
            best = Bytes(value.span)
            return true
        }
        let now = system.wallTime
        let own = responder.state.withLock { $0.values.row(of: place, at: now) }?.value
        if let own, take(own), let best {
            guard await found(best) else { return }
        }
        var isComplete = true
        _ = try await search(place, asking: KademliaMessage.encode(.getValue, key: key)) { contact, answer in
            asked.append(contact)
            guard let record = answer.record, record.key == key else { return true }
            observer?(.value(contact.peer, record.value))
            let isBetter = take(record.value)
            if isBetter {
                haveWorse.formUnion(holders)
                holders = []
            }
            if record.value == best { holders.insert(contact.peer) } else { haveWorse.insert(contact.peer) }
            guard isBetter, let best else { return true }
            isComplete = await found(best)
            return isComplete
        }
        guard let best else { return }
        if let own, own != best {
            // Ours was worse, too.
            do { try responder.keep(best, for: key, from: nil, now: system.wallTime) } catch {}
            recordsChanged()
        }
        correct(key, best, asked.filter { isComplete ? !holders.contains($0.peer) : haveWorse.contains($0.peer) }, place)
    }

    /// Gives the best value to those of the closest peers that do not have it.
    private func correct(_ key: Bytes, _ value: Bytes, _ contacts: [KademliaContact], _ place: KademliaKey) {
        let closest = contacts.map { (contact: $0, distance: KademliaKey($0.peer) ^ place) }.sorted { $0.distance < $1.distance }
            .prefix(configuration.k).map(\.contact)
        guard !closest.isEmpty else { return }
        let message = KademliaMessage.encode(.putValue, key: key, value: value)
        spawn { [self] in _ = await spread(message, to: closest, expectsAnswer: true) { _ in true } }
    }
}
