/// The timers of one loop: a binary heap ordered by deadline, then by order of arming.
///
/// Arming and firing cost O(log n), cancelling O(1): a cancelled timer leaves a mark in the heap, and the heap is swept when
/// more than half of it is marks.
public struct TimerQueue {
    private struct Entry {
        var deadline: UInt64
        var sequence: UInt64
        var slot: UInt32
    }

    private struct Slot {
        var fire: (() -> Void)?
        var generation: UInt32
        var nextFree: UInt32
    }

    private static let none = UInt32.max
    /// Below this many marks sweeping is not worth it.
    private static let sweepThreshold = 64

    private var heap: [Entry] = []
    private var slots: [Slot] = []
    private var firstFree = none
    private var sequence: UInt64 = 0
    private var cancelled = 0

    public init() {}

    /// Timers that have neither fired nor been cancelled.
    public var count: Int { heap.count - cancelled }

    /// When the next timer is due; nil when there is none.
    public var nextDeadline: Instant? {
        mutating get {
            dropCancelled()
            return heap.first.map { Instant(nanoseconds: $0.deadline) }
        }
    }

    public mutating func schedule(at deadline: Instant, _ fire: @escaping () -> Void) -> Timer {
        let slot: UInt32
        if firstFree != Self.none {
            slot = firstFree
            firstFree = slots[Int(slot)].nextFree
            slots[Int(slot)].fire = fire
        } else {
            slot = UInt32(slots.count)
            slots.append(Slot(fire: fire, generation: 1, nextFree: Self.none))
        }
        sequence &+= 1
        heap.append(Entry(deadline: deadline.nanoseconds, sequence: sequence, slot: slot))
        siftUp(heap.count - 1)
        return Timer(id: UInt64(slots[Int(slot)].generation) << 32 | UInt64(slot))
    }

    public mutating func cancel(_ timer: Timer) {
        let slot = Int(timer.id & 0xffff_ffff)
        guard slot < slots.count, slots[slot].generation == UInt32(timer.id >> 32), slots[slot].fire != nil else { return }
        slots[slot].fire = nil
        cancelled += 1
        if cancelled > Self.sweepThreshold, cancelled * 2 > heap.count { sweep() }
    }

    /// Takes the next timer that is due at `now`; nil when none is.
    public mutating func popDue(at now: Instant) -> (() -> Void)? {
        dropCancelled()
        guard let first = heap.first, first.deadline <= now.nanoseconds else { return nil }
        let fire = slots[Int(first.slot)].fire
        removeFirst()
        release(first.slot)
        return fire
    }

    private mutating func dropCancelled() {
        while cancelled > 0, let first = heap.first, slots[Int(first.slot)].fire == nil {
            removeFirst()
            release(first.slot)
            cancelled -= 1
        }
    }

    private mutating func release(_ slot: UInt32) {
        slots[Int(slot)].fire = nil
        slots[Int(slot)].generation &+= 1
        slots[Int(slot)].nextFree = firstFree
        firstFree = slot
    }

    private mutating func sweep() {
        var kept: [Entry] = []
        kept.reserveCapacity(heap.count - cancelled)
        for entry in heap {
            if slots[Int(entry.slot)].fire == nil { release(entry.slot) } else { kept.append(entry) }
        }
        heap = kept
        cancelled = 0
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
    }

    private mutating func removeFirst() {
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        heap[0] = last
        siftDown(0)
    }

    private static func precedes(_ left: Entry, _ right: Entry) -> Bool {
        left.deadline < right.deadline || (left.deadline == right.deadline && left.sequence < right.sequence)
    }

    private mutating func siftUp(_ start: Int) {
        heap.withUnsafeMutableBufferPointer { heap in
            var index = start
            let entry = heap[index]
            while index > 0 {
                let parent = (index - 1) / 2
                guard Self.precedes(entry, heap[parent]) else { break }
                heap[index] = heap[parent]
                index = parent
            }
            heap[index] = entry
        }
    }

    private mutating func siftDown(_ start: Int) {
        heap.withUnsafeMutableBufferPointer { heap in
            var index = start
            let entry = heap[index]
            while true {
                var child = index * 2 + 1
                guard child < heap.count else { break }
                if child + 1 < heap.count, Self.precedes(heap[child + 1], heap[child]) { child += 1 }
                guard Self.precedes(heap[child], entry) else { break }
                heap[index] = heap[child]
                index = child
            }
            heap[index] = entry
        }
    }
}
