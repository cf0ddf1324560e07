import Synchronization
import WaggleBase

/// What many owners may use of memory together. Safe from any thread.
public final class MemoryBudget: Sendable {
    public let limit: ByteCount
    private let taken = Atomic<Int>(0)

    public init(limit: ByteCount) { self.limit = limit }

    /// Bytes in use.
    public var used: ByteCount { .bytes(taken.load(ordering: .relaxed)) }

    /// Takes `count` bytes; says false, and takes nothing, when there are not so many.
    public func reserve(_ count: Int) -> Bool {
        let (old, new) = taken.wrappingAdd(count, ordering: .relaxed)
        if new <= limit.bytes, new >= old { return true }
        taken.wrappingSubtract(count, ordering: .relaxed)
        return false
    }

    /// Gives back what was reserved.
    public func release(_ count: Int) { taken.wrappingSubtract(count, ordering: .relaxed) }
}
