import CLinux
import Glibc

/// Starts an operating-system thread and lets it be joined.
final class Thread: @unchecked Sendable {
    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    private var handle = pthread_t()
    private let isStarted: Bool

    /// `name` has at most 15 bytes.
    init(name: String, _ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        isStarted = Self.create(&handle, start.toOpaque())
        if !isStarted {
            start.release()
            preconditionFailure("the system gives no thread for \(name)")
        }
    }

    // In a function of its own, so that the C callback is formed outside any isolation.
    private static func create(_ handle: inout pthread_t, _ start: UnsafeMutableRawPointer) -> Bool {
        pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                clinux_name_thread(start.name)
                start.body()
                return nil
            }, start) == 0
    }

    /// Waits for the thread's end. Exactly once, from another thread.
    func join() { pthread_join(handle, nil) }

    /// Nobody will wait for the thread's end.
    func detach() { pthread_detach(handle) }

    var isCurrent: Bool { pthread_equal(pthread_self(), handle) != 0 }
}
