import CLinux
import Glibc
import WaggleBase

/// A UDP socket on its loop. Batches go through one `recvmmsg` or `sendmmsg`.
final class LinuxDatagramSocket: EventSource, DatagramSocket, @unchecked Sendable {
    private static let batch = Int(CLINUX_DATAGRAM_BATCH)

    private let home: LinuxLoop
    private let family: Int32
    let localAddress: SocketAddress
    // What the calls need for a batch; made once, because they are large.
    private let slots: UnsafeMutablePointer<clinux_datagram>
    private let remotes: UnsafeMutablePointer<sockaddr_in6>
    private var isReadable = false
    private var wantsWritable = false

    var loop: any EventLoop { home }

    var handler: (any SocketHandler)? {
        didSet {
            guard handler != nil else { return }
            home.enqueue(.closure { [self] in
                if descriptor >= 0, isReadable { handler?.socketReadable() }
            })
        }
    }

    /// Takes over a bound descriptor.
    init(descriptor: Int32, loop: LinuxLoop, local: SocketAddress, family: Int32) {
        home = loop
        localAddress = local
        self.family = family
        slots = .allocate(capacity: Self.batch)
        slots.initialize(repeating: clinux_datagram(), count: Self.batch)
        remotes = .allocate(capacity: Self.batch)
        remotes.initialize(repeating: sockaddr_in6(), count: Self.batch)
        super.init(descriptor: descriptor)
    }

    deinit {
        slots.deallocate()
        remotes.deallocate()
    }

    override func ready(_ events: UInt32) {
        if events & (EPOLLIN.rawValue | EPOLLERR.rawValue) != 0 {
            isReadable = true
            handler?.socketReadable()
        }
        if wantsWritable, events & (EPOLLOUT.rawValue | EPOLLERR.rawValue) != 0, descriptor >= 0 {
            wantsWritable = false
            handler?.socketWritable()
        }
    }

    func receive(into batch: DatagramBatch) -> SocketOutcome {
        batch.removeAll()
        let wanted = min(batch.capacity, Self.batch)
        while true {
            for index in 0..<wanted {
                let room = batch.room(index)
                slots[index].bytes = room.baseAddress
                slots[index].size = room.count
            }
            let count = clinux_receive_datagrams(descriptor, slots, Int32(wanted))
            if count < 0 {
                switch errno {
                // An ICMP answer to something that was sent: nothing that a reader could use, and the next call goes on.
                case EINTR, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH: continue
                case EAGAIN:
                    isReadable = false
                    return .wouldBlock
                default: return .failed(errno: errno)
                }
            }
            for index in 0..<Int(count) { batch.append(entry(index, batch.datagramSize)) }
            return .moved(Int(count))
        }
    }

    private func entry(_ index: Int, _ room: Int) -> DatagramBatch.Entry {
        let slot = slots + index
        let source = withUnsafeBytes(of: &slot.pointee.remote_storage) { SocketAddress(kernel: $0, length: Int(slot.pointee.remote_length)) }
        let unspecified: IPAddress = family == AF_INET ? .v4(0) : .v6(high: 0, low: 0, zone: 0)
        let destination: IPAddress = withUnsafeBytes(of: &slot.pointee.local) { bytes in
            switch Int32(slot.pointee.local_family) {
            case AF_INET: .v4(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
            case AF_INET6:
                .v6(
                    high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                    low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)), zone: 0)
            default: unspecified
            }
        }
        return DatagramBatch.Entry(
            source: source ?? SocketAddress(ip: unspecified, port: 0), destination: destination, interface: slot.pointee.interface,
            count: min(Int(slot.pointee.size), room), isTruncated: slot.pointee.truncated != 0, congestionMark: slot.pointee.congestion,
            segmentSize: Int(slot.pointee.segment))
    }

    func send(_ datagrams: [OutgoingDatagram]) -> SocketOutcome {
        let count = min(datagrams.count, Self.batch)
        for index in 0..<count {
            guard datagrams[index].destination.family == family else { return .failed(errno: EAFNOSUPPORT) }
            fill(index, datagrams[index])
        }
        while count > 0 {
            let sent = clinux_send_datagrams(descriptor, family, slots, Int32(count))
            if sent >= 0 { return .moved(Int(sent)) }
            switch errno {
            case EINTR: continue
            case EAGAIN, ENOBUFS:
                wantsWritable = true
                return .wouldBlock
            default: return .failed(errno: errno)
            }
        }
        return .moved(0)
    }

    private func fill(_ index: Int, _ datagram: OutgoingDatagram) {
        let remote = UnsafeMutableRawPointer(remotes + index)
        let length = datagram.destination.withKernelAddress { address, length in
            remote.copyMemory(from: address, byteCount: Int(length))
            return length
        }
        let slot = slots + index
        slot.pointee.bytes = UnsafeMutableRawPointer(mutating: datagram.bytes.baseAddress)
        slot.pointee.size = datagram.bytes.count
        slot.pointee.remote = UnsafeRawPointer(remote)
        slot.pointee.remote_length = length
        slot.pointee.interface = datagram.interface
        slot.pointee.congestion = datagram.congestionMark
        slot.pointee.segment = UInt16(clamping: datagram.segmentSize)
        slot.pointee.local_family = 0
        guard let source = datagram.source else { return }
        slot.pointee.local_family = UInt8(clamping: SocketAddress(ip: source, port: 0).family)
        withUnsafeMutableBytes(of: &slot.pointee.local) { local in
            source.withNetworkOrder { local.copyMemory(from: $0) }
        }
    }

    func join(_ group: IPAddress, interface: UInt32) throws(NetworkError) {
        let result = group.withNetworkOrder { bytes in
            bytes.baseAddress.map { clinux_join_group(descriptor, family, $0, interface, 1) } ?? -1
        }
        if result != 0 { throw NetworkError(errno: errno, SocketAddress(ip: group, port: localAddress.port)) }
    }

    func leave(_ group: IPAddress, interface: UInt32) {
        group.withNetworkOrder { bytes in
            if let base = bytes.baseAddress { _ = clinux_join_group(descriptor, family, base, interface, 0) }
        }
    }

    func close() {
        guard descriptor >= 0 else { return }
        handler = nil
        home.retire(self)
    }
}
