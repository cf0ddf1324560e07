import CLinux
import Glibc
import Synchronization
import WaggleBase

/// A signal that a program may wait for.
public struct UnixSignal: Hashable, Sendable {
    public let number: Int32
    public init(number: Int32) { self.number = number }

    /// Control-C.
    public static let interrupt = UnixSignal(number: SIGINT)
    public static let terminate = UnixSignal(number: SIGTERM)
    public static let hangUp = UnixSignal(number: SIGHUP)
    /// The terminal has another size.
    public static let windowChange = UnixSignal(number: SIGWINCH)
    public static let user1 = UnixSignal(number: SIGUSR1)
    public static let user2 = UnixSignal(number: SIGUSR2)
}

/// Turns signals into events of a loop: the handler writes to a pipe, which works whatever threads the process has.
final class SignalCatcher: Sendable {
    private final class Source: EventSource, @unchecked Sendable {
        let waiter: Waiter
        var arrived: [UnixSignal] = []

        init(descriptor: Int32, loop: LinuxLoop) {
            waiter = Waiter(on: loop)
            super.init(descriptor: descriptor)
        }

        override func ready(_ events: UInt32) {
            var buffer = [UInt8](repeating: 0, count: 64)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                guard count > 0 else { break }
                arrived += buffer.prefix(count).map { UnixSignal(number: Int32($0)) }
            }
            waiter.wake()
        }
    }

    private let loop: LinuxLoop
    private let source: Source
    private let writeEnd: Int32
    private let caught = Mutex<Set<UnixSignal>>([])

    init(loop: LinuxLoop) throws(NetworkError) {
        var ends: [Int32] = [0, 0]
        guard clinux_pipe(&ends) == 0 else { throw .outOfDescriptors }
        self.loop = loop
        writeEnd = ends[1]
        let source = Source(descriptor: ends[0], loop: loop)
        self.source = source
        loop.execute { _ = loop.watch(source, EPOLLIN.rawValue, level: true) }
    }

    func next(of signals: Set<UnixSignal>) async throws -> UnixSignal {
        caught.withLock { caught in
            for signal in signals where caught.insert(signal).inserted {
                _ = clinux_catch_signal(signal.number, writeEnd)
            }
        }
        return try await loop.run {
            while true {
                if let index = self.source.arrived.firstIndex(where: { signals.contains($0) }) {
                    return self.source.arrived.remove(at: index)
                }
                try await self.source.waiter.wait()
            }
        }
    }

    func close() {
        caught.withLock { caught in
            for signal in caught { _ = clinux_release_signal(signal.number) }
            caught = []
        }
        // The write end stays open: a handler may be running on another thread.
        loop.execute { [loop, source] in if source.descriptor >= 0 { loop.retire(source) } }
    }
}
