import CLinux
import Glibc
import WaggleBase

/// One `connect` under way. Only on its loop.
final class Dial: EventSource, @unchecked Sendable {
    typealias Outcome = Result<any ByteSocket, NetworkError>

    private let loop: LinuxLoop
    private let remote: SocketAddress
    private let local: SocketAddress?
    private var continuation: UnsafeContinuation<Outcome, Never>?
    private var isCancelled = false

    init(to remote: SocketAddress, from local: SocketAddress?, on loop: LinuxLoop) {
        self.remote = remote
        self.local = local
        self.loop = loop
        super.init(descriptor: -1)
    }

    func start(_ continuation: UnsafeContinuation<Outcome, Never>) {
        self.continuation = continuation
        if isCancelled { return end(.failure(.cancelled)) }
        do {
            if try begin(from: local) { return established() }
        } catch {
            return end(.failure(error))
        }
        if !loop.watch(self, EPOLLOUT.rawValue) { end(.failure(NetworkError(errno: errno, remote))) }
    }

    /// Opens a socket and starts to connect it; says whether it is connected already. Falls back to a port of the system's choice
    /// where the wanted one cannot be used towards this remote.
    private func begin(from local: SocketAddress?) throws(NetworkError) -> Bool {
        descriptor = socket(remote.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw NetworkError(errno: errno, remote) }
        if let local, local.family == remote.family {
            LinuxListener.setOption(descriptor, SOL_SOCKET, SO_REUSEADDR)
            LinuxListener.setOption(descriptor, SOL_SOCKET, SO_REUSEPORT)
            guard local.withKernelAddress({ Glibc.bind(descriptor, $0, $1) }) == 0 else { return try beginElsewhere() }
        }
        while true {
            if remote.withKernelAddress({ Glibc.connect(descriptor, $0, $1) }) == 0 {
                // A socket may meet itself when both ends got the same port.
                if SocketAddress.local(of: descriptor) == remote { return try local == nil ? refuse() : beginElsewhere() }
                return true
            }
            switch errno {
            case EINPROGRESS: return false
            case EINTR: continue
            case EADDRINUSE where local != nil, EADDRNOTAVAIL where local != nil, EINVAL where local != nil:
                return try beginElsewhere()
            default: throw NetworkError(errno: errno, remote)
            }
        }
    }

    private func beginElsewhere() throws(NetworkError) -> Bool {
        Glibc.close(descriptor)
        descriptor = -1
        return try begin(from: nil)
    }

    private func refuse() throws(NetworkError) -> Bool { throw .connectionRefused(remote) }

    override func ready(_ events: UInt32) {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        if code != 0 { return fail(code) }
        guard SocketAddress.local(of: descriptor) != remote else { return fail(ECONNREFUSED) }
        let connected = descriptor
        loop.retire(self, closing: false)
        descriptor = connected
        established()
    }

    private func established() {
        let connected = descriptor
        descriptor = -1
        let socket = LinuxSocket(
            descriptor: connected, loop: loop, local: SocketAddress.local(of: connected) ?? remote, remote: remote)
        if isCancelled {
            socket.close(abort: true)
            return end(.failure(.cancelled))
        }
        end(.success(socket))
    }

    private func fail(_ code: Int32) {
        loop.retire(self)
        end(.failure(NetworkError(errno: code, remote)))
    }

    func cancel() {
        isCancelled = true
        guard continuation != nil else { return }
        if descriptor >= 0 { loop.retire(self) }
        end(.failure(.cancelled))
    }

    private func end(_ outcome: Outcome) {
        if descriptor >= 0 {
            Glibc.close(descriptor)
            descriptor = -1
        }
        continuation?.resume(returning: outcome)
        continuation = nil
    }
}
