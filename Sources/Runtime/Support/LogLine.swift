import Glibc
import WaggleBase

/// How records look.
enum LogLine {
    /// `2026-01-01T12:00:00.000Z info  swarm: message name=value`
    static func text(
        _ time: timespec, _ level: LogLevel, _ subsystem: String, _ message: String, _ fields: [LogField]
    ) -> [UInt8] {
        var line: [UInt8] = []
        append(time, to: &line)
        line.append(UInt8(ascii: " "))
        let name = Self.name(level)
        line += name.utf8
        for _ in name.utf8.count..<8 { line.append(UInt8(ascii: " ")) }
        line += subsystem.utf8
        line += ": ".utf8
        appendPlain(message, to: &line)
        for field in fields {
            line.append(UInt8(ascii: " "))
            field.name.withUTF8Buffer { line += $0 }
            line.append(UInt8(ascii: "="))
            if field.value.utf8.contains(where: { $0 <= 0x20 || $0 == UInt8(ascii: "\"") }) {
                appendQuoted(field.value, to: &line)
            } else {
                appendPlain(field.value, to: &line)
            }
        }
        line.append(UInt8(ascii: "\n"))
        return line
    }

    /// `{"time":"…","level":"info","subsystem":"swarm","message":"…","name":"value"}`
    static func json(
        _ time: timespec, _ level: LogLevel, _ subsystem: String, _ message: String, _ fields: [LogField]
    ) -> [UInt8] {
        var line = Array("{\"time\":\"".utf8)
        append(time, to: &line)
        line += "\",\"level\":\"\(name(level))\",\"subsystem\":".utf8
        appendQuoted(subsystem, to: &line)
        line += ",\"message\":".utf8
        appendQuoted(message, to: &line)
        for field in fields {
            line.append(UInt8(ascii: ","))
            appendQuoted(field.name.description, to: &line)
            line.append(UInt8(ascii: ":"))
            appendQuoted(field.value, to: &line)
        }
        line += "}\n".utf8
        return line
    }

    private static func name(_ level: LogLevel) -> String {
        switch level {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    private static func append(_ time: timespec, to line: inout [UInt8]) {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ value: Int, _ width: Int) {
            let text = String(value)
            for _ in text.utf8.count..<max(width, text.utf8.count) { line.append(UInt8(ascii: "0")) }
            line += text.utf8
        }
        digits(Int(parts.tm_year) + 1900, 4)
        for (separator, value) in [("-", parts.tm_mon + 1), ("-", parts.tm_mday), ("T", parts.tm_hour), (":", parts.tm_min), (":", parts.tm_sec)] {
            line += separator.utf8
            digits(Int(value), 2)
        }
        line.append(UInt8(ascii: "."))
        digits(time.tv_nsec / 1_000_000, 3)
        line.append(UInt8(ascii: "Z"))
    }

    // What a remote sends may reach the log: control characters must not reach the terminal.
    private static func appendPlain(_ text: String, to line: inout [UInt8]) {
        for byte in text.utf8 { line.append(byte < 0x20 || byte == 0x7f ? UInt8(ascii: "?") : byte) }
    }

    private static func appendQuoted(_ text: String, to line: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        line.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                line.append(UInt8(ascii: "\\"))
                line.append(byte)
            case 0..<0x20, 0x7f:
                line += "\\u00".utf8
                line.append(digits[Int(byte >> 4)])
                line.append(digits[Int(byte & 15)])
            default: line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }
}
