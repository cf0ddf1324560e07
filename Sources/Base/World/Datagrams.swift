/// The datagrams (UDP) of a host.
public protocol DatagramNetwork: Sendable {
    /// Opens a socket on `address`, for `loop`; port 0 lets the system choose. An unspecified address takes what comes to any address of its family.
    func bind(_ address: SocketAddress, _ options: DatagramOptions, on loop: any EventLoop) async throws(NetworkError) -> any DatagramSocket

    /// The interfaces that are up, in the system's order.
    func interfaces() -> [NetworkInterface]
}

/// One interface of a host.
public struct NetworkInterface: Hashable, Sendable {
    /// The system's number for it: the zone of link-local addresses, and what datagrams name.
    public var index: UInt32
    public var name: String
    public var addresses: [IPAddress]
    /// How many leading bits of each address name its network, where the system tells.
    public var prefixLengths: [IPAddress: Int]
    public var isLoopback: Bool
    /// Whether it claims to carry multicast; joining may be refused all the same.
    public var carriesMulticast: Bool

    public init(
        index: UInt32, name: String, addresses: [IPAddress], prefixLengths: [IPAddress: Int] = [:], isLoopback: Bool, carriesMulticast: Bool
    ) {
        self.index = index
        self.name = name
        self.addresses = addresses
        self.prefixLengths = prefixLengths
        self.isLoopback = isLoopback
        self.carriesMulticast = carriesMulticast
    }
}

/// How a datagram socket is opened.
public struct DatagramOptions: Sendable {
    /// Other programs may use the same address and port; multicast reaches all of them.
    public var sharesAddress = false
    /// Hops that multicast datagrams may take.
    public var multicastHops: UInt8 = 1
    /// Whether multicast datagrams come back to this host too.
    public var loopsMulticast = true
    /// The kernel may join datagrams of one sender to one entry of a batch (generic receive offload); see `DatagramBatch.Entry`.
    public var joinsSegments = false
    /// Bytes that the kernel keeps in each direction; nil for its default. It may give less.
    public var bufferSize: Int?

    public init() {}
}

/// A socket for datagrams, on a loop. All members only on that loop.
public protocol DatagramSocket: AnyObject, Sendable {
    var loop: any EventLoop { get }
    var localAddress: SocketAddress { get }

    /// Who hears of readiness; held strongly until `close`. Edge-triggered: told again only after a call said `wouldBlock`.
    var handler: (any SocketHandler)? { get set }

    /// Fills `batch` with what is there: `moved` tells how many entries it has now.
    func receive(into batch: DatagramBatch) -> SocketOutcome

    /// Sends datagrams in order, as many as the network takes: `moved` tells how many. `failed` speaks of the first that was not sent.
    func send(_ datagrams: [OutgoingDatagram]) -> SocketOutcome

    /// Receives what is sent to the multicast group `group` on the interface of that number.
    func join(_ group: IPAddress, interface: UInt32) throws(NetworkError)

    /// Undoes `join`; nothing happens where there was none.
    func leave(_ group: IPAddress, interface: UInt32)

    /// Gives the socket back. No callback follows.
    func close()
}

/// A datagram to be sent, or several of one size to one destination.
///
/// The memory stays the caller's; it is read during `send` only.
public struct OutgoingDatagram: @unchecked Sendable {
    public var destination: SocketAddress
    public var bytes: UnsafeRawBufferPointer
    /// The address to send from; nil for the system's choice.
    public var source: IPAddress?
    /// The interface to send on; 0 for the system's choice. Multicast wants one.
    public var interface: UInt32
    /// The two bits of explicit congestion notification (RFC 3168).
    public var congestionMark: UInt8
    /// Where `bytes` holds several datagrams, the size of each but the last (generic segmentation offload); 0 for one datagram.
    public var segmentSize: Int

    public init(
        to destination: SocketAddress, _ bytes: UnsafeRawBufferPointer, from source: IPAddress? = nil, interface: UInt32 = 0,
        congestionMark: UInt8 = 0, segmentSize: Int = 0
    ) {
        self.destination = destination
        self.bytes = bytes
        self.source = source
        self.interface = interface
        self.congestionMark = congestionMark
        self.segmentSize = segmentSize
    }
}

/// Room for received datagrams, to be used again and again: one block of memory, and what is known of each datagram.
public final class DatagramBatch: @unchecked Sendable {
    /// What is known of a received datagram.
    public struct Entry: Sendable {
        public var source: SocketAddress
        /// The address it was sent to, which may be a multicast group; unspecified where the system does not tell.
        public var destination: IPAddress
        /// The interface it came in on; 0 where the system does not tell.
        public var interface: UInt32
        /// Bytes; a datagram that was longer than its room is cut off, and `isTruncated`.
        public var count: Int
        public var isTruncated: Bool
        public var congestionMark: UInt8
        /// Where the system joined several datagrams of this source, the size of each but the last; 0 for one datagram.
        public var segmentSize: Int

        public init(
            source: SocketAddress, destination: IPAddress, interface: UInt32, count: Int, isTruncated: Bool = false, congestionMark: UInt8 = 0,
            segmentSize: Int = 0
        ) {
            self.source = source
            self.destination = destination
            self.interface = interface
            self.count = count
            self.isTruncated = isTruncated
            self.congestionMark = congestionMark
            self.segmentSize = segmentSize
        }
    }

    /// Datagrams that fit.
    public let capacity: Int
    /// Bytes of each.
    public let datagramSize: Int
    private let memory: UnsafeMutableRawPointer
    /// The datagrams of the last `receive`.
    public private(set) var entries: [Entry] = []

    public init(capacity: Int, datagramSize: Int) {
        self.capacity = max(1, capacity)
        self.datagramSize = max(1, datagramSize)
        memory = .allocate(byteCount: self.capacity * self.datagramSize, alignment: 64)
        entries.reserveCapacity(self.capacity)
    }

    deinit { memory.deallocate() }

    /// The bytes of datagram `index` of the last `receive`.
    public func withBytes<R>(of index: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(start: memory + index * datagramSize, count: entries[index].count))
    }

    // MARK: For sockets

    /// The room of entry `index`.
    public func room(_ index: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: memory + index * datagramSize, count: datagramSize)
    }

    public func removeAll() { entries.removeAll(keepingCapacity: true) }

    public func append(_ entry: Entry) { entries.append(entry) }
}
