/// How much a record matters.
public enum LogLevel: UInt8, Comparable, Sendable, CaseIterable {
    case trace, debug, info, warning, error

    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// One field of a record. Never a secret.
public struct LogField: Sendable {
    public let name: StaticString
    public let value: String

    public init(_ name: StaticString, _ value: some CustomStringConvertible) {
        self.name = name
        self.value = value.description
    }
}

/// Where records go. Safe from any thread; must not block.
public protocol LogSink: Sendable {
    func isEnabled(_ level: LogLevel, subsystem: String) -> Bool
    func write(_ level: LogLevel, subsystem: String, message: String, fields: [LogField])
}

/// A sink whose levels can be changed while it runs.
public protocol AdjustableLogSink: LogSink {
    /// Changes the level of a subsystem, or with nil that of all that have none of their own.
    func setLevel(_ level: LogLevel, subsystem: String?)
    /// The standard level and those that were set for subsystems.
    var currentLevels: (standard: LogLevel, bySubsystem: [String: LogLevel]) { get }
    /// Calls `deliver` with every record from now on as a line of JSON, from any thread, until the result is cancelled. It must not block.
    func observe(_ deliver: @escaping @Sendable (Bytes) -> Void) -> LogObservation
}

/// A reader of a log; the records stop when it is cancelled.
public final class LogObservation: Sendable {
    private let stop: @Sendable () -> Void
    public init(_ stop: @escaping @Sendable () -> Void) { self.stop = stop }
    public func cancel() { stop() }
}

extension LogLevel {
    /// The level of a name, in the spellings that are usual: `trace`, `debug`, `info`, `warn`, `warning`, `error`, `dpanic`, `panic`, `fatal`.
    public init?(named name: String) {
        switch name.lowercased() {
        case "trace": self = .trace
        case "debug": self = .debug
        case "info": self = .info
        case "warn", "warning": self = .warning
        case "error", "dpanic", "panic", "fatal": self = .error
        default: return nil
        }
    }
}

extension AdjustableLogSink {
    /// Sets levels as `GOLOG_LOG_LEVEL` writes them: `error,swarm=debug,bitswap=info`; the one without a name is for all others. Returns the parts
    /// that are no levels.
    @discardableResult
    public func setLevels(_ text: String) -> [String] {
        var unknown: [String] = []
        for part in text.split(separator: ",") {
            let words = part.split(separator: "=", maxSplits: 1).map(String.init)
            guard let last = words.last, let level = LogLevel(named: last) else {
                unknown.append(String(part))
                continue
            }
            setLevel(level, subsystem: words.count > 1 ? words[0] : nil)
        }
        return unknown
    }
}

/// A subsystem's log: static messages plus fields.
public struct Log: Sendable {
    public let subsystem: String
    public let sink: any LogSink

    public init(_ subsystem: String, to sink: any LogSink) {
        self.subsystem = subsystem
        self.sink = sink
    }

    public func callAsFunction(_ level: LogLevel, _ message: StaticString, _ fields: @autoclosure () -> [LogField] = []) {
        guard sink.isEnabled(level, subsystem: subsystem) else { return }
        sink.write(level, subsystem: subsystem, message: message.description, fields: fields())
    }
}
