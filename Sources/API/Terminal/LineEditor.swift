/// One line that is being typed: text, cursor, history, completion. A value: keys go in, outcomes come out, `render` says how it looks.
struct LineEditor {
    enum Outcome: Equatable {
        /// The line looks different now.
        case changed
        /// Nothing to show.
        case nothing
        /// The key makes no sense here.
        case bell
        /// The line is complete.
        case line(String)
        /// Several completions, to be shown above the line.
        case candidates([String])
        /// Control-C; the line that was dropped.
        case interrupt(String)
        /// Control-D on an empty line.
        case end
        /// Control-L.
        case clear
        /// Control-Z.
        case suspend
    }

    /// Characters of one line.
    static let longestLine = 8192
    /// Lines of the history.
    static let longestHistory = 1000

    private(set) var history: [String]
    /// What this editor added to the history, the latest lines.
    private(set) var added: [String] = []
    private var text: [Character] = []
    private var cursor = 0
    /// Where in the history the user is; its count for the new line, which is kept in `draft` meanwhile.
    private var position: Int
    private var draft: [Character] = []
    private var killed: [Character] = []
    private let complete: @Sendable (String) -> [String]

    /// - Parameter complete: texts that the part before the cursor could become.
    init(history: [String] = [], complete: @escaping @Sendable (String) -> [String] = { _ in [] }) {
        self.history = history.suffix(Self.longestHistory)
        position = self.history.count
        self.complete = complete
    }

    var line: String { String(text) }

    mutating func handle(_ key: Key) -> Outcome {
        switch key {
        case .text(let character): return insert(character)
        case .enter: return finish()
        case .tab: return completed()
        case .backspace, .control("h"): return remove(cursor - 1..<cursor)
        case .delete: return remove(cursor..<cursor + 1)
        case .control("d"): return text.isEmpty ? .end : remove(cursor..<cursor + 1)
        case .control("c"):
            let dropped = line
            reset()
            return .interrupt(dropped)
        case .left, .control("b"): return move(to: cursor - 1)
        case .right, .control("f"): return move(to: cursor + 1)
        case .home, .control("a"): return move(to: 0)
        case .end, .control("e"): return move(to: text.count)
        case .wordLeft: return move(to: wordStart)
        case .wordRight: return move(to: wordEnd)
        case .up, .control("p"): return recall(position - 1)
        case .down, .control("n"): return recall(position + 1)
        case .deleteWord: return kill(wordStart..<cursor)
        case .deleteNextWord: return kill(cursor..<wordEnd)
        case .control("u"): return kill(0..<cursor)
        case .control("k"): return kill(cursor..<text.count)
        case .control("y"):
            guard text.count + killed.count <= Self.longestLine else { return .bell }
            text.insert(contentsOf: killed, at: cursor)
            cursor += killed.count
            return .changed
        case .control("t"):
            guard cursor > 0, text.count > 1 else { return .bell }
            if cursor == text.count { cursor -= 1 }
            text.swapAt(cursor - 1, cursor)
            cursor += 1
            return .changed
        case .control("l"): return .clear
        case .control("z"): return .suspend
        case .control: return .nothing
        }
    }

    // MARK: Changes

    private mutating func insert(_ character: Character) -> Outcome {
        guard text.count < Self.longestLine else { return .bell }
        // Marks join the character before them.
        if cursor > 0 {
            let joined = String(text[cursor - 1]) + String(character)
            if joined.count == 1, let one = joined.first {
                text[cursor - 1] = one
                return .changed
            }
        }
        text.insert(character, at: cursor)
        cursor += 1
        return .changed
    }

    private mutating func remove(_ range: Range<Int>) -> Outcome {
        guard range.lowerBound >= 0, range.upperBound <= text.count, !range.isEmpty else { return .bell }
        text.removeSubrange(range)
        cursor = range.lowerBound
        return .changed
    }

    private mutating func kill(_ range: Range<Int>) -> Outcome {
        guard !range.isEmpty else { return .bell }
        killed = Array(text[range])
        return remove(range)
    }

    private mutating func move(to place: Int) -> Outcome {
        guard (0...text.count).contains(place), place != cursor else { return .bell }
        cursor = place
        return .changed
    }

    private var wordStart: Int {
        var place = cursor
        while place > 0, text[place - 1] == " " { place -= 1 }
        while place > 0, text[place - 1] != " " { place -= 1 }
        return place
    }

    private var wordEnd: Int {
        var place = cursor
        while place < text.count, text[place] == " " { place += 1 }
        while place < text.count, text[place] != " " { place += 1 }
        return place
    }

    private mutating func reset() {
        text = []
        cursor = 0
        draft = []
        position = history.count
    }

    private mutating func finish() -> Outcome {
        let done = line
        if !done.allSatisfy({ $0 == " " }), history.last != done {
            history.append(done)
            if history.count > Self.longestHistory { history.removeFirst() }
            added.append(done)
            if added.count > Self.longestHistory { added.removeFirst() }
        }
        reset()
        return .line(done)
    }

    private mutating func recall(_ place: Int) -> Outcome {
        guard (0...history.count).contains(place) else { return .bell }
        if position == history.count { draft = text }
        position = place
        text = place == history.count ? draft : Array(history[place])
        cursor = text.count
        return .changed
    }

    private mutating func completed() -> Outcome {
        let front = String(text[..<cursor])
        let candidates = complete(front)
        guard let first = candidates.first else { return .bell }
        let common = candidates.dropFirst().reduce(first) { $0.commonPrefix(with: $1) }
        if common.count > front.count, common.count + text.count - cursor <= Self.longestLine {
            text.replaceSubrange(..<cursor, with: Array(common))
            cursor = common.count
            return .changed
        }
        return candidates.count > 1 ? .candidates(candidates) : .bell
    }

    // MARK: Looks

    /// Draws the line in place of what stands there: prompt, the part of the text that fits into `width` columns, and the cursor, with its column.
    func render(prompt: String, width: Int) -> (text: String, column: Int) {
        let room = max(1, width - DisplayWidth.of(prompt) - 1)
        // As much as fits before the cursor, but what was in view at the start stays.
        var start = cursor
        var columns = 0
        while start > 0, case let next = DisplayWidth.of(text[start - 1]), columns + next <= room {
            columns += next
            start -= 1
        }
        let shown = DisplayWidth.prefix(text[start...], columns: room)
        let column = DisplayWidth.of(prompt) + columns
        return ("\r\(prompt)\(shown)\u{1b}[K\r" + (column > 0 ? "\u{1b}[\(column)C" : ""), column)
    }
}

extension String {
    fileprivate func commonPrefix(with other: String) -> String {
        String(zip(self, other).prefix { $0 == $1 }.map(\.0))
    }
}
