import WaggleBase

extension Fabric {
    /// Sends one datagram on its way; says the system's error number where it cannot leave.
    func sendDatagram(_ bytes: Bytes, _ datagram: OutgoingDatagram, from socket: SimulatedDatagramSocket) -> Int32? {
        let destination = datagram.destination
        if destination.ip.isMulticast { return multicast(bytes, datagram, from: socket) }
        guard let source = source(datagram, socket, interface: nil) else { return Errno.networkUnreachable }
        // A link-local destination is named with the zone, which is not part of the host's address.
        guard let target = host(at: destination.ip.withoutZone, from: socket.host) else { return nil }
        deliver(bytes, source, destination, socket.host, target, mark: datagram.congestionMark) { target in
            guard let receiver = self.stack(of: target).datagramSocket(for: destination) else { return }
            let interface = target.interfaces.first { $0.addresses.contains(destination.ip.withoutZone) }?.index ?? 1
            receiver.arrive(bytes, from: source, to: destination.ip, interface: interface, mark: datagram.congestionMark)
        }
        return nil
    }

    private func multicast(_ bytes: Bytes, _ datagram: OutgoingDatagram, from socket: SimulatedDatagramSocket) -> Int32? {
        let destination = datagram.destination
        let wanted = datagram.interface
        guard let interface = socket.host.interfaces.first(where: { wanted == 0 ? !$0.isLoopback : $0.index == wanted }), interface.isUp else {
            return Errno.noDevice
        }
        guard !interface.refusesMulticast else { return Errno.notPermitted }
        guard let source = source(datagram, socket, interface: interface) else { return Errno.addressNotAvailable }
        for target in allHosts where target === socket.host || !interface.isLoopback {
            if target === socket.host && !socket.options.loopsMulticast { continue }
            deliver(bytes, source, destination, socket.host, target, mark: datagram.congestionMark) { target in
                for own in target.interfaces where own.isUp && !own.refusesMulticast && own.isLoopback == interface.isLoopback && own.segment == interface.segment {
                    self.stack(of: target).members(of: destination, interface: own.index).forEach {
                        $0.arrive(bytes, from: source, to: destination.ip, interface: own.index, mark: datagram.congestionMark)
                    }
                }
            }
        }
        return nil
    }

    private func deliver(
        _ bytes: Bytes, _ source: SocketAddress, _ destination: SocketAddress, _ host: Host, _ target: Host, mark: UInt8,
        _ arrive: @escaping (Host) -> Void
    ) {
        let link = link(host, target)
        if link.loss > 0, Double.random(in: 0..<1, using: &random) < link.loss { return }
        let copies = link.duplication > 0 && Double.random(in: 0..<1, using: &random) < link.duplication ? 2 : 1
        for _ in 0..<copies {
            loop.schedule(after: delay(host, target)) { [self] in
                guard isReachable(host, target) else { return }
                loop.note(.datagram(from: source, to: destination, bytes))
                arrive(target)
            }
        }
    }

    /// Where a datagram comes from: what it asks for, what its socket is bound to, or an address of the interface.
    private func source(_ datagram: OutgoingDatagram, _ socket: SimulatedDatagramSocket, interface: HostInterface?) -> SocketAddress? {
        let isVersion4 = datagram.destination.ip.isVersion4
        let bound = socket.localAddress
        if let wanted = datagram.source { return SocketAddress(ip: wanted, port: bound.port) }
        if !bound.ip.isUnspecified { return bound }
        if datagram.destination.ip.isLoopback { return SocketAddress(ip: datagram.destination.ip, port: bound.port) }
        let own = interface?.addresses ?? socket.host.addresses
        return own.first { $0.isVersion4 == isVersion4 }.map { SocketAddress(ip: $0, port: bound.port) }
    }
}

extension NetworkStack {
    func add(_ socket: SimulatedDatagramSocket) -> Bool {
        let address = socket.localAddress
        let clash = datagramSockets.contains {
            let other = $0.localAddress
            return other.port == address.port && other.ip.isVersion4 == address.ip.isVersion4
                && (other.ip == address.ip || other.ip.isUnspecified || address.ip.isUnspecified)
                && !($0.options.sharesAddress && socket.options.sharesAddress)
        }
        if clash { return false }
        datagramSockets.append(socket)
        return true
    }

    func remove(_ socket: SimulatedDatagramSocket) { datagramSockets.removeAll { $0 === socket } }

    func closeDatagramSockets() { for socket in datagramSockets { socket.close() } }

    /// Who takes a datagram to `address`: the most exact, then the newest.
    func datagramSocket(for address: SocketAddress) -> SimulatedDatagramSocket? {
        let fitting = datagramSockets.filter { $0.localAddress.port == address.port && $0.localAddress.ip.isVersion4 == address.ip.isVersion4 }
        return fitting.last { $0.localAddress.ip == address.ip.withoutZone } ?? fitting.last { $0.localAddress.ip.isUnspecified }
    }

    func members(of group: SocketAddress, interface: UInt32) -> [SimulatedDatagramSocket] {
        datagramSockets.filter {
            $0.localAddress.port == group.port && $0.memberships.contains(.init(group: group.ip.withoutZone, interface: interface))
        }
    }

    func freeDatagramPort(_ ip: IPAddress) -> UInt16? {
        (49_152...UInt16.max).first { port in
            !datagramSockets.contains { $0.localAddress.port == port && $0.localAddress.ip.isVersion4 == ip.isVersion4 }
        }
    }
}

extension IPAddress {
    var withoutZone: IPAddress {
        guard case .v6(let high, let low, _) = self else { return self }
        return .v6(high: high, low: low, zone: 0)
    }
}
