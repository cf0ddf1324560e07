import CLinux
import Glibc
import WaggleBase

/// A listening socket on one loop; it deals the connections out to all loops in turn.
final class LinuxListener: EventSource, ListeningSocket, @unchecked Sendable {
    /// Connections taken in one turn of the loop: each takes 5 to 10 µs when it is refused, and what the connections that are up have to say
    /// waits for no more of them than these. The rest is news again in the next turn.
    private static let batch = 4
    /// Pause when the process has no descriptors left; the kernel's queue holds the connections meanwhile.
    private static let pause = Duration.milliseconds(100)
    /// Connections that the kernel keeps waiting for us.
    private static let backlog: Int32 = 1024

    let address: SocketAddress
    private let home: LinuxLoop
    private let loops: [LinuxLoop]
    private let admit: @Sendable (SocketAddress) -> Bool
    private let accept: @Sendable (any ByteSocket) -> Void
    private var next = 0

    init(
        descriptor: Int32, address: SocketAddress, home: LinuxLoop, loops: [LinuxLoop],
        admit: @escaping @Sendable (SocketAddress) -> Bool, accept: @escaping @Sendable (any ByteSocket) -> Void
    ) {
        self.address = address
        self.home = home
        self.loops = loops
        self.admit = admit
        self.accept = accept
        super.init(descriptor: descriptor)
    }

    /// A bound and listening descriptor, and the address it got.
    ///
    /// SO_REUSEPORT, which dials from this port need, is set only after the bind: before it, a second program of the same user
    /// could take the port without anybody noticing.
    static func bind(_ address: SocketAddress) throws(NetworkError) -> (Int32, SocketAddress) {
        let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw NetworkError(errno: errno, address) }
        setOption(descriptor, SOL_SOCKET, SO_REUSEADDR)
        if address.family == AF_INET6 { setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
        guard address.withKernelAddress({ Glibc.bind(descriptor, $0, $1) }) == 0, Glibc.listen(descriptor, backlog) == 0 else {
            let error = NetworkError(errno: errno, address)
            Glibc.close(descriptor)
            throw error
        }
        setOption(descriptor, SOL_SOCKET, SO_REUSEPORT)
        return (descriptor, SocketAddress.local(of: descriptor) ?? address)
    }

    static func setOption(_ descriptor: Int32, _ level: Int32, _ name: Int32) {
        var on: Int32 = 1
        setsockopt(descriptor, level, name, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    override func ready(_ events: UInt32) {
        for _ in 0..<Self.batch {
            guard descriptor >= 0 else { return }
            let (connection, remote) = SocketAddress.asking { clinux_accept(descriptor, $0, $1) }
            if connection < 0 {
                switch errno {
                case EINTR, ECONNABORTED: continue
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return rest()
                default: return
                }
            }
            guard let remote, admit(remote) else {
                Self.reset(connection)
                continue
            }
            deal(connection, remote)
        }
    }

    private func deal(_ connection: Int32, _ remote: SocketAddress) {
        let loop = loops[next % loops.count]
        next &+= 1
        let accept = accept
        let local = SocketAddress.local(of: connection) ?? address
        if loop === home { return accept(LinuxSocket(descriptor: connection, loop: loop, local: local, remote: remote)) }
        loop.execute { accept(LinuxSocket(descriptor: connection, loop: loop, local: local, remote: remote)) }
    }

    private static func reset(_ connection: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        Glibc.close(connection)
    }

    private func rest() {
        home.change(self, 0)
        _ = home.schedule(at: home.now + Self.pause) { [weak self] in
            guard let self, descriptor >= 0 else { return }
            home.change(self, EPOLLIN.rawValue)
        }
    }

    func close() {
        home.execute { [self] in
            if descriptor >= 0 { home.retire(self) }
        }
    }
}
