/// Text in columns, as Go's `text/tabwriter` lays it out: cells end with a tab, and a column is as wide as its widest cell in the lines that have
/// it one below the other.
enum AlignedText {
    /// Lays `text` out; `padding` blanks follow the widest cell, and no column is narrower than `minimum`.
    static func lay(_ text: String, minimum: Int = 0, padding: Int = 1) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
        var widths = lines.map { _ in [Int]() }
        lay(lines, 0..<lines.count, &widths, minimum, padding)
        return zip(lines, widths).map { cells, widths in
            cells.enumerated().map { index, cell in
                index < widths.count ? cell + String(repeating: " ", count: max(0, widths[index] - cell.count)) : cell
            }.joined()
        }.joined(separator: "\n")
    }

    /// Gives the lines in `range`, which have the same columns so far, their next one.
    private static func lay(_ lines: [[String]], _ range: Range<Int>, _ widths: inout [[Int]], _ minimum: Int, _ padding: Int) {
        var index = range.lowerBound
        while index < range.upperBound {
            let column = widths[index].count
            // The text behind the last tab belongs to no column.
            guard column + 1 < lines[index].count else {
                index += 1
                continue
            }
            var end = index
            var width = minimum
            while end < range.upperBound, widths[end].count == column, column + 1 < lines[end].count {
                width = max(width, lines[end][column].count + padding)
                end += 1
            }
            for line in index..<end { widths[line].append(width) }
            lay(lines, index..<end, &widths, minimum, padding)
            index = end
        }
    }
}
