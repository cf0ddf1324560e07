import WaggleBase

/// UDP as one start of a host sees it.
final class HostDatagrams: DatagramNetwork {
    private let host: Host
    private let loop: HostLoop

    init(host: Host, loop: HostLoop) {
        self.host = host
        self.loop = loop
    }

    func bind(_ address: SocketAddress, _ options: DatagramOptions, on loop: any EventLoop) async throws(NetworkError) -> any DatagramSocket {
        if self.loop.isDead { throw .cancelled }
        guard address.ip.isUnspecified || address.ip.isLoopback || host.addresses.contains(address.ip) else { throw .addressNotAvailable(address) }
        let stack = host.world.fabric.stack(of: host)
        var bound = address
        if bound.port == 0 {
            guard let port = stack.freeDatagramPort(bound.ip) else { throw .addressInUse(address) }
            bound.port = port
        }
        let socket = SimulatedDatagramSocket(host: host, loop: self.loop, address: bound, options: options, number: stack.number())
        guard stack.add(socket) else { throw .addressInUse(bound) }
        return socket
    }

    func interfaces() -> [NetworkInterface] { host.interfaces.filter(\.isUp).map(\.description) }
}

/// A UDP socket of a simulated host.
final class SimulatedDatagramSocket: DatagramSocket, @unchecked Sendable {
    struct Membership: Hashable {
        var group: IPAddress
        var interface: UInt32
    }

    /// What waits to be read; more is lost.
    private static let queueLimit = 256
    private static let largest = 65_507

    let host: Host
    let localAddress: SocketAddress
    let options: DatagramOptions
    let number: UInt64
    private let hostLoop: HostLoop
    private var waiting = Deque<(entry: DatagramBatch.Entry, bytes: Bytes)>()
    private(set) var memberships: Set<Membership> = []
    private(set) var isClosed = false

    var loop: any EventLoop { hostLoop }

    var handler: (any SocketHandler)? {
        didSet {
            guard handler != nil else { return }
            hostLoop.execute { [self] in if !waiting.isEmpty { handler?.socketReadable() } }
        }
    }

    init(host: Host, loop: HostLoop, address: SocketAddress, options: DatagramOptions, number: UInt64) {
        self.host = host
        hostLoop = loop
        localAddress = address
        self.options = options
        self.number = number
    }

    func receive(into batch: DatagramBatch) -> SocketOutcome {
        batch.removeAll()
        if isClosed { return .failed(errno: Errno.badDescriptor) }
        while batch.entries.count < batch.capacity, let (waiting, bytes) = waiting.popFirst() {
            var entry = waiting
            let room = batch.room(batch.entries.count)
            entry.isTruncated = bytes.count > room.count
            entry.count = min(bytes.count, room.count)
            bytes.withUnsafeBytes { room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<entry.count])) }
            batch.append(entry)
        }
        return batch.entries.isEmpty ? .wouldBlock : .moved(batch.entries.count)
    }

    func send(_ datagrams: [OutgoingDatagram]) -> SocketOutcome {
        if isClosed { return .failed(errno: Errno.badDescriptor) }
        for (sent, datagram) in datagrams.enumerated() {
            if let errno = send(datagram) { return sent > 0 ? .moved(sent) : .failed(errno: errno) }
        }
        return .moved(datagrams.count)
    }

    private func send(_ datagram: OutgoingDatagram) -> Int32? {
        let size = datagram.segmentSize > 0 ? datagram.segmentSize : max(datagram.bytes.count, 1)
        guard size <= Self.largest else { return Errno.messageTooLong }
        let fabric = host.world.fabric
        var start = 0
        repeat {
            let end = min(start + size, datagram.bytes.count)
            let bytes = Bytes(copying: UnsafeRawBufferPointer(rebasing: datagram.bytes[start..<end]))
            if let errno = fabric.sendDatagram(bytes, datagram, from: self) { return errno }
            start = end
        } while start < datagram.bytes.count
        return nil
    }

    func arrive(_ bytes: Bytes, from source: SocketAddress, to destination: IPAddress, interface: UInt32, mark: UInt8) {
        guard !isClosed, waiting.count < Self.queueLimit else { return }
        waiting.append(
            (DatagramBatch.Entry(source: source, destination: destination, interface: interface, count: bytes.count, congestionMark: mark), bytes))
        if waiting.count == 1 { handler?.socketReadable() }
    }

    func join(_ group: IPAddress, interface: UInt32) throws(NetworkError) {
        let address = SocketAddress(ip: group, port: localAddress.port)
        guard let found = host.interfaces.first(where: { $0.index == interface && $0.isUp }) else { throw .other(errno: Errno.noDevice) }
        guard !found.refusesMulticast else { throw .permissionDenied(address) }
        guard memberships.insert(Membership(group: group, interface: interface)).inserted else { throw .addressInUse(address) }
    }

    func leave(_ group: IPAddress, interface: UInt32) { memberships.remove(Membership(group: group, interface: interface)) }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        handler = nil
        waiting.removeAll()
        host.world.fabric.stack(of: host).remove(self)
    }
}
