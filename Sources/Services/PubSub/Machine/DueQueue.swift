import WaggleBase

/// What is due at some time, the earliest first, and of equals what came first: a binary heap.
struct DueQueue<Element> {
    private struct Entry {
        let due: Instant
        let order: UInt64
        let element: Element

        func isBefore(_ other: Entry) -> Bool { due < other.due || due == other.due && order < other.order }
    }

    private var heap: [Entry] = []
    private var nextOrder: UInt64 = 0

    var count: Int { heap.count }

    /// When the first is due.
    var deadline: Instant? { heap.first?.due }

    mutating func insert(_ element: Element, due: Instant) {
        heap.append(Entry(due: due, order: nextOrder, element: element))
        nextOrder += 1
        var index = heap.count - 1
        while index > 0, heap[index].isBefore(heap[(index - 1) / 2]) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    /// Takes the first if its time has come.
    mutating func next(at now: Instant) -> Element? {
        guard let first = heap.first, first.due <= now, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first.element }
        heap[0] = last
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].isBefore(heap[least]) { least = child }
            guard least != index else { return first.element }
            heap.swapAt(index, least)
            index = least
        }
    }
}
