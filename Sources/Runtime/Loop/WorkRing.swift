/// What a loop runs between its events.
enum Work {
    case job(UnownedJob)
    case closure(@Sendable () -> Void)
}

/// A queue of work in a ring of raw memory. Only on the loop's thread.
struct WorkRing: ~Copyable {
    private var slots: UnsafeMutablePointer<Work>
    private var capacity: Int
    private var head = 0
    private(set) var count = 0

    init(capacity: Int = 256) {
        self.capacity = capacity
        slots = .allocate(capacity: capacity)
    }

    deinit {
        for index in 0..<count { (slots + ((head + index) & (capacity - 1))).deinitialize(count: 1) }
        slots.deallocate()
    }

    @inline(__always) mutating func push(_ work: consuming Work) {
        if count == capacity { grow() }
        (slots + ((head &+ count) & (capacity &- 1))).initialize(to: work)
        count &+= 1
    }

    @inline(__always) mutating func pop() -> Work? {
        guard count > 0 else { return nil }
        let work = (slots + head).move()
        head = (head &+ 1) & (capacity &- 1)
        count &-= 1
        return work
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Work>.allocate(capacity: capacity * 2)
        for index in 0..<count { (larger + index).moveInitialize(from: slots + ((head + index) & (capacity - 1)), count: 1) }
        slots.deallocate()
        slots = larger
        capacity *= 2
        head = 0
    }
}
