/// The registered services and how many inbound streams each serves. A value: the swarm brings the lock.
struct ServiceTable {
    private final class Row {
        let service: any Service
        let limits: ServiceLimits
        var streams = 0
        var perPeer: [PeerID: Int] = [:]

        init(_ service: any Service) {
            self.service = service
            limits = service.limits
        }
    }

    private var rows: [ProtocolID: Row] = [:]
    private(set) var services: [any Service] = []
    /// Sorted by name.
    private(set) var protocols: [ProtocolID] = []

    /// Says whether anything changed. A protocol that another service has already goes over to the new one.
    mutating func add(_ service: any Service) {
        guard !services.contains(where: { $0 === service }) else { return }
        services.append(service)
        let row = Row(service)
        for id in service.protocols { rows[id] = row }
        protocols = rows.keys.sorted { $0.text < $1.text }
    }

    mutating func remove(_ service: any Service) {
        services.removeAll { $0 === service }
        rows = rows.filter { $0.value.service !== service }
        protocols = rows.keys.sorted { $0.text < $1.text }
    }

    /// Inbound streams that each protocol's service has, by the protocol's name, sorted. Services with several protocols are told under the first.
    var streamCounts: [(name: String, count: Int)] {
        services.compactMap { service in
            guard let id = service.protocols.first, let row = rows[id] else { return nil }
            return (id.text, row.streams)
        }.sorted { $0.name < $1.name }
    }

    func supports(_ id: ProtocolID) -> Bool { rows[id] != nil }

    /// Counts a stream and says who serves it; `end` must follow. Nil for an unknown protocol.
    func begin(_ id: ProtocolID, of peer: PeerID) throws(Refusal) -> (any Service)? {
        guard let row = rows[id] else { return nil }
        let count = row.perPeer[peer, default: 0]
        guard row.streams < row.limits.streams, count < row.limits.streamsPerPeer else { throw .streamsPerService }
        row.streams += 1
        row.perPeer[peer] = count + 1
        return row.service
    }

    func end(_ id: ProtocolID, of peer: PeerID) {
        guard let row = rows[id], let count = row.perPeer[peer] else { return }
        row.streams -= 1
        row.perPeer[peer] = count <= 1 ? nil : count - 1
    }
}
