public import WaggleBase

/// A datagram socket with suspending reads, for tests of the two worlds. Only on the socket's loop.
public final class DatagramPort: SocketHandler, @unchecked Sendable {
    public let socket: any DatagramSocket
    public let batch: DatagramBatch
    private let readable: Waiter

    public init(_ socket: any DatagramSocket, capacity: Int = 16, datagramSize: Int = 2048) {
        self.socket = socket
        batch = DatagramBatch(capacity: capacity, datagramSize: datagramSize)
        readable = Waiter(on: socket.loop)
        socket.handler = self
    }

    public func socketReadable() { readable.wake() }
    public func socketWritable() {}

    /// What has arrived, at least one datagram.
    public func receive() async throws -> [(entry: DatagramBatch.Entry, bytes: [UInt8])] {
        while true {
            switch socket.receive(into: batch) {
            case .moved: return batch.entries.indices.map { index in (batch.entries[index], batch.withBytes(of: index) { [UInt8]($0) }) }
            case .wouldBlock: try await readable.wait()
            case .failed(let errno): throw WireError.failed(errno: errno)
            case .ended: throw WireError.endedEarly
            }
        }
    }

    /// Sends one datagram.
    public func send(
        _ bytes: [UInt8], to address: SocketAddress, from source: IPAddress? = nil, interface: UInt32 = 0, mark: UInt8 = 0, segmentSize: Int = 0
    ) -> SocketOutcome {
        bytes.withUnsafeBytes {
            socket.send([
                OutgoingDatagram(to: address, $0, from: source, interface: interface, congestionMark: mark, segmentSize: segmentSize)
            ])
        }
    }
}
