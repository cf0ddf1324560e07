import WaggleBase
import WaggleFormats

/// Chooses how a command's output is shown: as JSON when that was asked for, by the command's own presenter, or as its text.
enum Presentation {
    static func make(_ request: Request, _ console: any Console) -> any Presenter {
        let encoding = request.string("encoding") ?? "text"
        if encoding == "json" || encoding == "ndjson" { return JSONPresenter(console) }
        if let present = request.command.present { return present(request, console) }
        return TextPresenter(request, console)
    }
}

/// One line of JSON a value; bytes as they are.
final class JSONPresenter: Presenter, @unchecked Sendable {
    private let console: any Console
    init(_ console: any Console) { self.console = console }
    func value(_ value: JSON) async throws { try console.print(value.text() + "\n") }
    func bytes(_ bytes: Bytes) async throws { try console.write(bytes) }
}

/// The command's text for each value; bytes as they are.
package final class TextPresenter: Presenter, @unchecked Sendable {
    private let request: Request
    private let console: any Console

    package init(_ request: Request, _ console: any Console) {
        self.request = request
        self.console = console
    }

    package func value(_ value: JSON) async throws {
        guard let text = request.command.text else { return try console.print(value.text() + "\n") }
        let rendered = try text(value, request)
        if !rendered.isEmpty { try console.print(rendered) }
    }

    package func bytes(_ bytes: Bytes) async throws { try console.write(bytes) }
}

/// A line on standard error that shows how far long work is, drawn at most ten times a second.
package final class ProgressBar: @unchecked Sendable {
    private static let interval = Duration.milliseconds(100)
    private let console: any Console
    private let loop: any EventLoop
    private let started: Instant
    private var drawn: Instant?
    private var shown = false
    private var label: String
    package var total: UInt64?
    package private(set) var done: UInt64 = 0

    package init(_ label: String, total: UInt64?, console: any Console) {
        self.label = label
        self.total = total
        self.console = console
        loop = console.loop
        started = console.loop.now
    }

    package func advance(to done: UInt64) {
        self.done = done
        let now = loop.now
        if let drawn, now - drawn < Self.interval { return }
        drawn = now
        draw()
    }

    package func advance(by count: Int) { advance(to: done + UInt64(count)) }

    /// Removes the line, so that other output can stand there.
    package func clear() {
        if shown { console.writeError("\r\u{1b}[2K") }
        shown = false
    }

    /// Draws the line a last time and leaves it.
    package func finish() {
        guard drawn != nil else { return }
        draw()
        console.writeError("\n")
        shown = false
    }

    private func draw() {
        let seconds = max(1e-9, Double((loop.now - started).wholeNanoseconds) / 1e9)
        // The first moments say nothing about the speed.
        let rate = seconds < 0.3 ? 0 : Double(done) / seconds
        var text = "\(label)\(ByteSize.human(done))"
        if let total, total > 0 {
            let share = min(1, Double(done) / Double(total))
            let left = rate > 0 ? Double(total - min(total, done)) / rate : 0
            let tail = "  \(ByteSize.human(UInt64(rate)))/s  \(Int(share * 100)) %  \(Self.clock(left))"
            text += " / \(ByteSize.human(total))"
            let room = max(4, min(40, console.width - text.count - tail.count - 5))
            let filled = Int(share * Double(room))
            text += " [" + String(repeating: "=", count: filled) + String(repeating: " ", count: room - filled) + "]" + tail
        } else {
            text += "  \(ByteSize.human(UInt64(rate)))/s"
        }
        console.writeError("\r\u{1b}[2K" + DisplayWidth.prefix(text, columns: max(1, console.width - 1)))
        shown = true
    }

    private static func clock(_ seconds: Double) -> String {
        let seconds = Int(seconds.rounded())
        return seconds < 60 ? "\(seconds)s" : "\(seconds / 60)m\(seconds % 60)s"
    }
}
