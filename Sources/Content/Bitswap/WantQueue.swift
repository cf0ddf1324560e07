/// The blocks that wait to be sent to one peer: highest priority first, the older first among equals.
///
/// Entries that were cancelled stay until they come up or are swept out; the owner tells them by their ticket.
struct WantQueue<Element> {
    private struct Entry {
        var priority: Int32
        var ticket: UInt64
        var element: Element

        func precedes(_ other: Entry) -> Bool { priority != other.priority ? priority > other.priority : ticket < other.ticket }
    }

    // A binary heap.
    private var entries: [Entry] = []

    var count: Int { entries.count }

    mutating func push(_ element: Element, priority: Int32, ticket: UInt64) {
        entries.append(Entry(priority: priority, ticket: ticket, element: element))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].precedes(entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    var first: (element: Element, ticket: UInt64)? { entries.first.map { ($0.element, $0.ticket) } }

    mutating func removeFirst() {
        guard let last = entries.popLast() else { return }
        guard !entries.isEmpty else { return }
        entries[0] = last
        sift(0)
    }

    /// Keeps the entries that are still wanted.
    mutating func filter(_ isWanted: (Element, _ ticket: UInt64) -> Bool) {
        entries.removeAll { !isWanted($0.element, $0.ticket) }
        for index in stride(from: entries.count / 2, through: 0, by: -1) { sift(index) }
    }

    private mutating func sift(_ start: Int) {
        var parent = start
        while true {
            var first = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count {
                if entries[child].precedes(entries[first]) { first = child }
            }
            guard first != parent else { return }
            entries.swapAt(parent, first)
            parent = first
        }
    }
}
