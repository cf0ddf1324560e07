import WaggleBase

/// Lines from the user, and lines to the user above what is being typed. On a terminal with an editor; in a pipe as plain lines.
///
/// Belongs to the home loop.
final class Prompt: @unchecked Sendable {
    /// What the user did.
    enum Input: Sendable, Equatable {
        case line(String)
        /// Control-C, with the line that was dropped.
        case interrupt(String)
        case end
    }

    /// Bytes of one read.
    private static let block = 4096
    /// A line in a pipe; what is longer is cut off there.
    private static let longestLine = 64 << 10

    /// The terminal says what was pasted and not typed.
    private static let bracketedPaste = "\u{1b}[?2004h"
    private static let plainPaste = "\u{1b}[?2004l"

    let isInteractive: Bool
    private let console: any Console
    private let system: any System
    private let text: String
    private var editor: LineEditor
    private var decoder = KeyDecoder()
    private var waiting = Deque<Input>()
    private var partial: [UInt8] = []
    /// What was typed ahead: it is shown when its turn comes, after the answer to the line before.
    private var ahead = Deque<UInt8>()
    private var isEnded = false
    private var isShown = false
    /// Where the cursor was drawn.
    private var column = 0

    /// - Parameter prompt: what stands before the line on a terminal.
    init(_ prompt: String, console: any Console, system: any System, history: [String], complete: @escaping @Sendable (String) -> [String]) {
        text = prompt
        self.console = console
        self.system = system
        isInteractive = console.inputIsTerminal && console.outputIsTerminal && console.environment["TERM"] != "dumb"
        editor = LineEditor(history: history, complete: complete)
    }

    /// Lines that were typed here.
    var typed: [String] { editor.added }

    /// Takes the terminal over; `close` gives it back.
    func open() {
        guard isInteractive else { return }
        console.setRawInput(true)
        write(Prompt.bracketedPaste + shown())
    }

    func close() {
        guard isInteractive else { return }
        write(hidden() + Prompt.plainPaste)
        console.setRawInput(false)
    }

    /// Writes a line above the one that is being typed, in one piece: nobody sees the prompt without its line.
    func print(_ line: String) { write(hidden() + line + "\n" + shown()) }

    /// Draws the line for another width of the terminal, which has broken what stood there into rows.
    func redraw() {
        guard isInteractive, isShown else { return }
        let rows = column / max(1, console.width)
        write("\r" + (rows > 0 ? "\u{1b}[\(rows)A" : "") + "\u{1b}[J" + shown())
    }

    /// What the user does next.
    func next() async throws -> Input {
        while true {
            if let input = waiting.popFirst() { return input }
            if !ahead.isEmpty {
                takeKeys()
                continue
            }
            if isEnded { return .end }
            let console = console
            // Blocks a thread of its own: nothing else can be asked of a terminal.
            let bytes = try await system.offloadWaiting { () throws -> [UInt8] in
                try [UInt8](unsafeUninitializedCapacity: Prompt.block) { buffer, count in count = try console.read(into: UnsafeMutableRawBufferPointer(buffer)) }
            }
            guard isInteractive else {
                take(lines: bytes)
                continue
            }
            if bytes.isEmpty { isEnded = true }
            for byte in bytes { ahead.append(byte) }
        }
    }

    private func take(lines bytes: [UInt8]) {
        if bytes.isEmpty {
            isEnded = true
            if !partial.isEmpty { waiting.append(.line(String(decoding: partial, as: UTF8.self))) }
            return
        }
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                waiting.append(.line(String(decoding: partial, as: UTF8.self)))
                partial = []
            } else if byte != UInt8(ascii: "\r"), partial.count < Prompt.longestLine {
                partial.append(byte)
            }
        }
    }

    /// Up to the next input.
    private func takeKeys() {
        var changed = false
        while waiting.isEmpty, let byte = ahead.popFirst() {
            guard let key = decoder.decode(byte) else { continue }
            let before = editor.line
            switch editor.handle(key) {
            case .changed: changed = true
            case .nothing: break
            case .bell: write("\u{7}")
            case .line(let line):
                // It stays to be read, with the prompt in front.
                leave(before)
                waiting.append(.line(line))
                changed = true
            case .interrupt(let line):
                leave(before + "^C")
                waiting.append(.interrupt(line))
                changed = true
            case .end: waiting.append(.end)
            case .clear:
                write("\u{1b}[H\u{1b}[2J")
                changed = true
            case .suspend:
                close()
                console.suspend()
                open()
            case .candidates(let candidates): print(candidates.map { $0.split(separator: " ").last.map(String.init) ?? $0 }.joined(separator: "  "))
            }
        }
        if changed { write(shown()) }
    }

    /// The whole line stays to be read, on as many rows as it needs.
    private func leave(_ line: String) {
        write("\r\u{1b}[K\(text)\(line)\n")
        isShown = false
    }

    private func shown() -> String {
        guard isInteractive else { return "" }
        isShown = true
        let drawn = editor.render(prompt: text, width: console.width)
        column = drawn.column
        return drawn.text
    }

    private func hidden() -> String {
        guard isInteractive, isShown else { return "" }
        isShown = false
        return "\r\u{1b}[K"
    }

    private func write(_ text: String) {
        // A terminal that has gone away ends the input too.
        do { try console.print(text) } catch { isEnded = true }
    }
}
