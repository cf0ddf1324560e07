import CLinux
import Glibc
import Synchronization
import WaggleBase

/// Writes records to standard error: text on a terminal, one JSON object a line elsewhere.
///
/// A thread of its own does the writing, so nobody waits for a slow terminal; when it falls too far behind, records are dropped
/// and counted.
public final class LinuxLog: AdjustableLogSink {
    public enum Format: Sendable { case text, json }

    /// Bytes that may wait to be written.
    private static let backlogLimit = 1 << 20
    /// The writing thread ends after this long without a record, in nanoseconds.
    private static let idleTime: UInt64 = 5_000_000_000

    private struct Levels {
        var standard: LogLevel
        var bySubsystem: [String: LogLevel] = [:]
    }

    private struct Queue {
        var bytes: [UInt8] = []
        var dropped = 0
        var isWriting = false
        var isStarted = false
    }

    private let format: Format
    private let descriptor: Int32
    private let levels: Mutex<Levels>
    // The lowest level that anybody wants, so that the usual "no" takes no lock.
    private let lowest: Atomic<UInt8>
    private let queue = Monitor(Queue())
    private let observers = Mutex<[UInt64: @Sendable (Bytes) -> Void]>([:])
    // So that a log that nobody follows takes no lock for it.
    private let observerCount = Atomic<Int>(0)
    private let nextObserver = Atomic<UInt64>(0)

    /// `format` nil chooses by whether the descriptor is a terminal.
    public init(level: LogLevel = .info, format: Format? = nil, descriptor: Int32 = STDERR_FILENO) {
        self.descriptor = descriptor
        self.format = format ?? (isatty(descriptor) == 1 ? .text : .json)
        levels = Mutex(Levels(standard: level))
        lowest = Atomic(level.rawValue)
    }

    /// Changes the level of a subsystem, or with nil that of all that have none of their own. At any time, from any thread.
    public func setLevel(_ level: LogLevel, subsystem: String? = nil) {
        levels.withLock { levels in
            if let subsystem { levels.bySubsystem[subsystem] = level } else { levels.standard = level }
            let lowest = levels.bySubsystem.values.reduce(levels.standard, min)
            self.lowest.store(lowest.rawValue, ordering: .relaxed)
        }
    }

    /// The standard level and those that were set for subsystems.
    public var currentLevels: (standard: LogLevel, bySubsystem: [String: LogLevel]) {
        levels.withLock { ($0.standard, $0.bySubsystem) }
    }

    public func isEnabled(_ level: LogLevel, subsystem: String) -> Bool {
        guard level.rawValue >= lowest.load(ordering: .relaxed) else { return false }
        return levels.withLock { level >= $0.bySubsystem[subsystem] ?? $0.standard }
    }

    public func observe(_ deliver: @escaping @Sendable (Bytes) -> Void) -> LogObservation {
        let id = nextObserver.wrappingAdd(1, ordering: .relaxed).newValue
        observers.withLock { observers in
            observers[id] = deliver
            observerCount.store(observers.count, ordering: .relaxed)
        }
        return LogObservation { [weak self] in
            self?.observers.withLock { observers in
                observers[id] = nil
                self?.observerCount.store(observers.count, ordering: .relaxed)
            }
        }
    }

    public func write(_ level: LogLevel, subsystem: String, message: String, fields: [LogField]) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let line =
            switch format {
            case .text: LogLine.text(time, level, subsystem, message, fields)
            case .json: LogLine.json(time, level, subsystem, message, fields)
            }
        if observerCount.load(ordering: .relaxed) > 0 {
            let record = Bytes(format == .json ? line : LogLine.json(time, level, subsystem, message, fields))
            for deliver in observers.withLock({ Array($0.values) }) { deliver(record) }
        }
        queue.withLock { queue in
            if queue.bytes.count + line.count > Self.backlogLimit {
                queue.dropped += 1
                return
            }
            queue.bytes += line
            if !queue.isStarted {
                queue.isStarted = true
                Thread(name: "waggle-log") { self.drain() }.detach()
            }
        }
        queue.broadcast()
    }

    /// Waits until all records are written.
    public func flush() {
        queue.wait { $0.bytes.isEmpty && !$0.isWriting ? () : nil }
    }

    private func drain() {
        while true {
            let deadline = monotonicNanoseconds() + Self.idleTime
            let taken = queue.wait(until: deadline) { queue -> ([UInt8], Int)? in
                if queue.bytes.isEmpty { return nil }
                defer {
                    queue.bytes = []
                    queue.dropped = 0
                    queue.isWriting = true
                }
                return (queue.bytes, queue.dropped)
            }
            guard let (bytes, dropped) = taken else {
                let ends = queue.withLock { queue in
                    queue.isStarted = !queue.bytes.isEmpty
                    return !queue.isStarted
                }
                if ends { return }
                continue
            }
            put(bytes)
            if dropped > 0 { write(.warning, subsystem: "log", message: "records were dropped", fields: [LogField("count", dropped)]) }
            queue.withLock { $0.isWriting = false }
            queue.broadcast()
        }
    }

    private func put(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while let base = rest.baseAddress, !rest.isEmpty {
                let count = Glibc.write(descriptor, base, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    if errno == EAGAIN {
                        var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                        poll(&poller, 1, -1)
                        continue
                    }
                    return
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }
}
