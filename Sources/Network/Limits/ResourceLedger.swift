import WaggleBase

/// Counts what is open against the limits. A value: whoever holds it brings the lock.
struct ResourceLedger {
    private struct PrefixCount {
        var pending = 0
        var open = 0
        var isZero: Bool { pending == 0 && open == 0 }
    }

    private(set) var limits: SwarmLimits
    private(set) var inbound = 0
    private(set) var outbound = 0
    private(set) var pendingInbound = 0
    private(set) var pendingOutbound = 0
    private(set) var inboundStreams = 0
    private var prefixes: [IPRange: PrefixCount] = [:]
    private var peers: [PeerID: Int] = [:]
    private var peerStreams: [PeerID: Int] = [:]

    init(_ limits: SwarmLimits) { self.limits = limits }

    /// Connections in use, handshakes included.
    var connections: Int { inbound + outbound + pendingInbound + pendingOutbound }

    /// Rows kept per address and peer; each belongs to something open, so the limits bound them too.
    var rows: Int { prefixes.count + peers.count + peerStreams.count }

    // MARK: Handshakes

    /// Whether a handshake could begin now; nil when it could. Counts nothing.
    func refusal(_ direction: Direction, from ip: IPAddress?) -> Refusal? {
        if connections >= limits.connections { return .connections }
        switch direction {
        case .outbound:
            if pendingOutbound >= limits.pendingOutbound { return .pendingOutbound }
            if outbound + pendingOutbound >= limits.outboundConnections { return .outboundConnections }
        case .inbound:
            if pendingInbound >= limits.pendingInbound { return .pendingInbound }
            if inbound + pendingInbound >= limits.inboundConnections { return .inboundConnections }
            for place in counted(ip) {
                let count = prefixes[place.prefix] ?? PrefixCount()
                if count.pending >= place.pending { return .pendingPerIP }
                if count.pending + count.open >= place.open { return .connectionsPerIP }
            }
        }
        return nil
    }

    /// Counts a handshake; `establish` or `abandon` must follow.
    mutating func begin(_ direction: Direction, from ip: IPAddress?) throws(Refusal) {
        if let refusal = refusal(direction, from: ip) { throw refusal }
        switch direction {
        case .outbound: pendingOutbound += 1
        case .inbound:
            pendingInbound += 1
            for place in counted(ip) { prefixes[place.prefix, default: PrefixCount()].pending += 1 }
        }
    }

    /// Ends a handshake that came to nothing.
    mutating func abandon(_ direction: Direction, from ip: IPAddress?) {
        switch direction {
        case .outbound: pendingOutbound -= 1
        case .inbound:
            pendingInbound -= 1
            for place in counted(ip) { change(place.prefix) { $0.pending -= 1 } }
        }
    }

    /// Turns a handshake into a connection of `peer`. When it throws, the handshake is still counted.
    mutating func establish(_ direction: Direction, from ip: IPAddress?, peer: PeerID) throws(Refusal) {
        if peers[peer, default: 0] >= limits.connectionsPerPeer { throw .connectionsPerPeer }
        abandon(direction, from: ip)
        peers[peer, default: 0] += 1
        switch direction {
        case .outbound: outbound += 1
        case .inbound:
            inbound += 1
            for place in counted(ip) { prefixes[place.prefix, default: PrefixCount()].open += 1 }
        }
    }

    /// Ends a connection.
    mutating func release(_ direction: Direction, from ip: IPAddress?, peer: PeerID) {
        decrement(&peers, peer)
        switch direction {
        case .outbound: outbound -= 1
        case .inbound:
            inbound -= 1
            for place in counted(ip) { change(place.prefix) { $0.open -= 1 } }
        }
    }

    // MARK: Streams

    /// Counts an inbound stream of `peer`.
    mutating func openStream(of peer: PeerID) throws(Refusal) {
        if inboundStreams >= limits.streams { throw .streams }
        let count = peerStreams[peer, default: 0]
        if count >= limits.streamsPerPeer { throw .streamsPerPeer }
        peerStreams[peer] = count + 1
        inboundStreams += 1
    }

    mutating func closeStream(of peer: PeerID) {
        decrement(&peerStreams, peer)
        inboundStreams -= 1
    }

    // MARK: Rows

    /// What an address counts for: a prefix, with the connections and the handshakes that it may have.
    private struct Place {
        let prefix: IPRange
        let open: Int
        let pending: Int
    }

    private func counted(_ ip: IPAddress?) -> [Place] {
        guard let ip, !limits.isUnlimited(ip) else { return [] }
        switch ip.unmapped {
        case .v4:
            let host = Place(prefix: IPRange(ip, prefixLength: 32), open: limits.connectionsPerIPv4, pending: limits.pendingPerIP)
            // Users of one /24 need not know each other, so only handshakes are counted there.
            return ip.isPrivate ? [host] : [host, Place(prefix: IPRange(ip, prefixLength: 24), open: .max, pending: limits.pendingPerSubnet)]
        case .v6:
            return [
                Place(prefix: IPRange(ip, prefixLength: 64), open: limits.connectionsPerIPv6Subnet, pending: limits.pendingPerIP),
                Place(prefix: IPRange(ip, prefixLength: 48), open: limits.connectionsPerIPv6Site, pending: limits.pendingPerSubnet),
            ]
        }
    }

    private mutating func change(_ prefix: IPRange, _ body: (inout PrefixCount) -> Void) {
        guard var count = prefixes[prefix] else { return }
        body(&count)
        prefixes[prefix] = count.isZero ? nil : count
    }

    private func decrement(_ rows: inout [PeerID: Int], _ peer: PeerID) {
        guard let count = rows[peer] else { return }
        rows[peer] = count <= 1 ? nil : count - 1
    }
}
