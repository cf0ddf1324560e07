import WaggleBase
import WaggleNetwork

/// Port 5353 in one of the two families and the interfaces on which it listens. Belongs to the home loop.
final class MDNSSocket: SocketHandler, @unchecked Sendable {
    let isVersion6: Bool
    private let socket: any DatagramSocket
    private let batch = DatagramBatch(capacity: MDNSLimits.batch, datagramSize: DNSLimits.message)
    private let received: (DNSMessage, MDNSMachine.Origin, MDNSMachine.Link) -> Void
    private let log: Log
    private var interfaces: [UInt32: NetworkInterface] = [:]
    private(set) var joined: Set<UInt32> = []
    private var refused: Set<UInt32> = []
    private var joinAgain: Instant
    private var isReading = false
    private var allowance = Allowance(MDNSLimits.packets)

    private init(_ socket: any DatagramSocket, isVersion6: Bool, _ log: Log, _ received: @escaping (DNSMessage, MDNSMachine.Origin, MDNSMachine.Link) -> Void) {
        self.socket = socket
        joinAgain = socket.loop.now + MDNSLimits.joinInterval
        self.isVersion6 = isVersion6
        self.log = log
        self.received = received
        socket.handler = self
    }

    static func open(
        _ system: any System, isVersion6: Bool, _ log: Log, _ received: @escaping @Sendable (DNSMessage, MDNSMachine.Origin, MDNSMachine.Link) -> Void
    ) async throws(NetworkError) -> MDNSSocket {
        var options = DatagramOptions()
        options.sharesAddress = true
        options.multicastHops = 255
        let any: IPAddress = isVersion6 ? .v6(high: 0, low: 0, zone: 0) : .v4(0)
        let socket = try await system.datagrams.bind(SocketAddress(ip: any, port: MDNSNames.port), options, on: system.home)
        return MDNSSocket(socket, isVersion6: isVersion6, log, received)
    }

    private var group: IPAddress { isVersion6 ? MDNSNames.group6 : MDNSNames.group4 }

    /// Joins the group on interfaces that are new and forgets those that are gone. One that refuses is a line in the log for who looks for it.
    func update(_ interfaces: [NetworkInterface]) {
        let present = Set(interfaces.map(\.index))
        var stale = joined.subtracting(present)
        // An interface that lost its addresses and got them back between two looks has left the group, and nobody says so.
        stale.formUnion(interfaces.filter { self.interfaces[$0.index]?.addresses != $0.addresses }.map(\.index))
        if socket.loop.now >= joinAgain {
            joinAgain = socket.loop.now + MDNSLimits.joinInterval
            stale = joined
        }
        self.interfaces = Dictionary(interfaces.map { ($0.index, $0) }) { first, _ in first }
        for index in stale.intersection(joined).sorted() { socket.leave(group, interface: index) }
        joined.subtract(stale)
        refused.formIntersection(present)
        for interface in interfaces where !joined.contains(interface.index) {
            do throws(NetworkError) {
                try socket.join(group, interface: interface.index)
                joined.insert(interface.index)
                refused.remove(interface.index)
            } catch {
                guard refused.insert(interface.index).inserted else { continue }
                log(.debug, "interface refuses multicast", [LogField("interface", interface.name), LogField("version", isVersion6 ? 6 : 4), LogField("error", "\(error)")])
            }
        }
    }

    /// Sends to all on an interface, or to one.
    func send(_ message: DNSMessage, to target: SocketAddress? = nil, on interface: UInt32) {
        let target = target ?? SocketAddress(ip: group, port: MDNSNames.port)
        let outcome = message.encoded().withUnsafeBytes { socket.send([OutgoingDatagram(to: target, $0, interface: interface)]) }
        if case .failed(let errno) = outcome { log(.debug, "not sent", [LogField("interface", interface), LogField("errno", errno)]) }
    }

    func close() {
        for interface in joined { socket.leave(group, interface: interface) }
        socket.close()
    }

    // MARK: SocketHandler

    func socketWritable() {}

    func socketReadable() {
        guard !isReading else { return }
        isReading = true
        // One batch a turn: a flood does not starve the loop.
        guard case .moved = socket.receive(into: batch) else {
            isReading = false
            return
        }
        for (index, entry) in batch.entries.enumerated() where !entry.isTruncated && joined.contains(entry.interface) {
            // From outside of the network nobody can send to the group; but anybody to our address (RFC 6762, section 5.5 and 11).
            let isOnLink = interfaces[entry.interface]?.isOnLink(entry.source.ip) ?? false
            guard entry.destination.isMulticast || isOnLink, allowance.take(socket.loop.now) else { continue }
            let message: DNSMessage?
            do { message = try batch.withBytes(of: index) { try DNSMessage(decoding: $0.bytes) } } catch { message = nil }
            let origin = MDNSMachine.Origin(address: entry.source, isOnLink: isOnLink)
            if let message { received(message, origin, MDNSMachine.Link(interface: entry.interface, isVersion6: isVersion6)) }
        }
        socket.loop.execute { [self] in
            isReading = false
            socketReadable()
        }
    }
}

extension NetworkInterface {
    /// Whether `ip` belongs to a network that this interface is in.
    func isOnLink(_ ip: IPAddress) -> Bool {
        if isLoopback { return ip.isLoopback || addresses.contains(ip) }
        return ip.isLinkLocal || addresses.contains { own in IPRange(own, prefixLength: prefixLengths[own] ?? 128).contains(ip) }
    }
}
