import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

extension Kademlia: ContentRouting {
    public func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        let core = try core
        let hash = cid.multihash
        try await core.home.run { try await core.findProviders(of: hash, found) }
    }

    /// Tells the peers closest to the block that this node has it.
    public func provide(_ cid: CID) async throws {
        let core = try core
        let hash = cid.multihash
        _ = try await core.home.run { try await core.provide(hash) }
    }

    /// Who keeps records for the place of `hash`, and whom this node keeps as its providers.
    public func localProviders(of hash: Multihash) -> [KademliaContact] {
        guard let core = registered else { return [] }
        let now = core.system.wallTime
        return core.responder.state.withLock { $0.providers.contacts(of: KademliaKey(hash), at: now) }
    }
}

extension KademliaCore {
    func findProviders(of hash: Multihash, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        let place = KademliaKey(hash)
        let observer = KademliaTrace.observer
        /// Who was told already, and whether with addresses.
        var known: [PeerID: Bool] = [:]
        let now = system.wallTime
        for contact in responder.state.withLock({ $0.providers.contacts(of: place, at: now) }) {
            var contact = contact
            if contact.peer == responder.peer, let swarm { contact.addresses = swarm.announcedAddresses }
            known[contact.peer] = !contact.addresses.isEmpty
            observer?(.provider(responder.peer, contact))
            guard await found(ContentProvider(peer: contact.peer, addresses: contact.addresses)) else { return }
        }
        // Providers that were told without addresses: worth telling, but another answer may bring them with some.
        _ = try await search(place, asking: KademliaMessage.encode(.getProviders, key: hash.bytes)) { contact, answer in
            for provider in answer.contacts(providers: true) {
                let addresses = configuration.scope.told(provider.addresses)
                guard known[provider.peer] != true, known[provider.peer] == nil || !addresses.isEmpty else { continue }
                known[provider.peer] = !addresses.isEmpty
                observer?(.provider(contact.peer, provider))
                guard await found(ContentProvider(peer: provider.peer, addresses: addresses)) else { return false }
            }
            return true
        }
    }

    /// Says how many peers were told.
    func provide(_ hash: Multihash) async throws -> Int {
        let place = KademliaKey(hash)
        keepOwn(place)
        let found = try await search(place, asking: KademliaMessage.encode(.findNode, key: hash.bytes)) { _, _ in true }
        let told = await announce(hash, to: found.closest)
        guard told > 0 else { throw KademliaError.notStored }
        return told
    }

    /// Remembers that this node itself provides what lies at `place`.
    func keepOwn(_ place: KademliaKey) {
        let now = system.wallTime
        let own = KademliaContact(peer: responder.peer, addresses: [])
        responder.state.withLock { state in
            // Beyond the quota others know it all the same.
            do { try state.providers.add(own, for: place, at: now) } catch {}
        }
        recordsChanged()
    }

    /// Tells each of `contacts` that this node has what `hash` names; says how many were told.
    func announce(_ hash: Multihash, to contacts: [KademliaContact]) async -> Int {
        guard let swarm else { return 0 }
        let told = Array(configuration.scope.told(swarm.announcedAddresses).prefix(KademliaLimits.toldAddresses))
        // A record without an address would be ignored.
        guard !told.isEmpty else { return 0 }
        let own = KademliaMessage.encode(KademliaContact(peer: responder.peer, addresses: told))
        return await spread(KademliaMessage.encode(providerOf: hash.bytes, own), to: contacts, expectsAnswer: false) { _ in true }
    }
}
