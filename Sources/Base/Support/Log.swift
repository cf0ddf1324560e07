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
