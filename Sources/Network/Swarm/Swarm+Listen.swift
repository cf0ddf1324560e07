import Synchronization
import WaggleBase
import WaggleFormats

extension Swarm {
    /// Listens on `address`, for example `/ip4/0.0.0.0/tcp/4701`; port 0 lets the system choose.
    ///
    /// Returns the addresses that reach the new listener: an unspecified address stands for all of this host's.
    @discardableResult
    public func listen(on address: Multiaddr) async throws(SwarmError) -> [Multiaddr] {
        guard !isClosed else { throw .closed }
        guard let transport = transports.first(where: { $0.canListen(address) }) else { throw .unsupportedAddress(address) }
        let listener: any TransportListener
        do { listener = try await transport.listen(on: address, in: context) } catch { throw .listenFailed(address, error) }
        let addresses = expand(listener.address, system.network.interfaceAddresses())
        let closed = listeners.withLock { listeners in
            if isClosed { return true }
            listeners.append(Listening(listener: listener, addresses: addresses))
            return false
        }
        if closed {
            listener.close()
            throw .closed
        }
        for address in addresses { hub.emit(.listening(address)) }
        hub.emit(.addressesChanged(announcedAddresses))
        return addresses
    }

    /// Ends all listeners that `address` reaches; connections stay. Says whether there was one.
    @discardableResult
    public func stopListening(on address: Multiaddr) -> Bool {
        let ended = listeners.withLock { listeners in
            let ended = listeners.filter { $0.listener.address == address || $0.addresses.contains(address) }
            listeners.removeAll { $0.listener.address == address || $0.addresses.contains(address) }
            return ended
        }
        for listening in ended {
            listening.listener.close()
            for address in listening.addresses { hub.emit(.stoppedListening(address)) }
        }
        if !ended.isEmpty { hub.emit(.addressesChanged(announcedAddresses)) }
        return !ended.isEmpty
    }

    /// From time to time: follows what interfaces there are, and forgets addresses that are over. Until the swarm closes.
    func watchSurroundings() async {
        var nextSweep = home.now + addressBook.limits.sweepInterval
        while true {
            do { try await home.sleep(until: home.now + Swarm.interfaceInterval) } catch { return }
            followInterfaces()
            guard home.now >= nextSweep else { continue }
            nextSweep = home.now + addressBook.limits.sweepInterval
            addressBook.sweep()
        }
    }

    /// Between two looks at the interfaces of this host.
    static let interfaceInterval = Duration.seconds(5)

    /// Expands unspecified addresses anew: a cable, a wireless network or a lease may have come or gone.
    private func followInterfaces() {
        let interfaces = system.network.interfaceAddresses()
        let (come, gone): ([Multiaddr], [Multiaddr]) = listeners.withLock { listeners in
            var (come, gone): ([Multiaddr], [Multiaddr]) = ([], [])
            for index in listeners.indices where listeners[index].listener.address.ip?.isUnspecified == true {
                let (old, new) = (listeners[index].addresses, expand(listeners[index].listener.address, interfaces))
                guard old != new else { continue }
                listeners[index].addresses = new
                come += new.filter { !old.contains($0) }
                gone += old.filter { !new.contains($0) }
            }
            return (come, gone)
        }
        guard !come.isEmpty || !gone.isEmpty else { return }
        for address in gone { hub.emit(.stoppedListening(address)) }
        for address in come { hub.emit(.listening(address)) }
        hub.emit(.addressesChanged(announcedAddresses))
    }

    /// Where this node listens, with unspecified addresses expanded to those of the interfaces.
    public var listenAddresses: [Multiaddr] { listeners.withLock { $0.flatMap(\.addresses) } }

    /// Where this node listens, as bound.
    var boundAddresses: [Multiaddr] { listeners.withLock { $0.map(\.listener.address) } }

    /// A peer tells where it sees us.
    func observe(_ address: Multiaddr, over connection: Connection) {
        guard configuration.announce.isEmpty, !connection.isClosed else { return }
        let listening = listenAddresses
        let changed = observed.withLock {
            $0.note(address, by: ObjectIdentifier(connection), local: connection.localAddress, remote: connection.remoteAddress, listening: listening)
        }
        if changed { hub.emit(.addressesChanged(announcedAddresses)) }
    }

    func stopObserving(_ connection: Connection) {
        if observed.withLock({ $0.forget(ObjectIdentifier(connection)) }) { hub.emit(.addressesChanged(announcedAddresses)) }
    }

    /// What others are told: the configured addresses, or those that we listen on and those that enough others see us at, without the ranges that shall stay private.
    public var announcedAddresses: [Multiaddr] {
        let own = configuration.announce.isEmpty ? listenAddresses + observed.withLock { $0.active } : configuration.announce
        var seen: Set<Multiaddr> = []
        return (own + configuration.appendAnnounce).filter { address in
            if let ip = address.ip, configuration.noAnnounce.contains(where: { $0.contains(ip) }) { return false }
            return seen.insert(address).inserted
        }
    }

    /// One address for each interface when `address` is unspecified, else just it. Link-local IPv6 addresses are left out: they mean nothing
    /// without the zone, which differs from host to host.
    private func expand(_ address: Multiaddr, _ interfaces: [IPAddress]) -> [Multiaddr] {
        guard let ip = address.ip, ip.isUnspecified else { return [address] }
        let rest = Array(address.components.dropFirst())
        var addresses: [Multiaddr] = []
        for own in interfaces {
            let kind: MultiaddrProtocol
            switch (ip, own) {
            case (.v4, .v4): kind = .ip4
            case (.v6, .v6) where !own.isLinkLocal: kind = .ip6
            default: continue
            }
            do {
                let expanded = try Multiaddr([try Multiaddr.Component(kind, value: own.bytes)] + rest)
                if !addresses.contains(expanded) { addresses.append(expanded) }
            } catch { continue }  // Never: an interface has a valid address.
        }
        return addresses.isEmpty ? [address] : addresses
    }
}
