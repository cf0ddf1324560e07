/// A queue in a ring of memory: both ends in constant time.
public struct Deque<Element> {
    @usableFromInline var slots: ContiguousArray<Element?> = []
    @usableFromInline var head = 0
    @usableFromInline var length = 0

    @inlinable public init() {}

    @inlinable public var count: Int { length }
    @inlinable public var isEmpty: Bool { length == 0 }

    /// The oldest element; assigning replaces it.
    @inlinable public var first: Element? {
        get { length == 0 ? nil : slots[head] }
        set { if length > 0, let newValue { slots[head] = newValue } }
    }

    @inlinable public var last: Element? { length == 0 ? nil : slots[position(length - 1)] }

    @inlinable public subscript(index: Int) -> Element {
        precondition(index >= 0 && index < length)
        return slots[position(index)]!
    }

    /// Replaces the element at `index`, counted from the oldest.
    @inlinable public mutating func replace(_ index: Int, with element: Element) {
        precondition(index >= 0 && index < length)
        slots[position(index)] = element
    }

    @inlinable public mutating func append(_ element: Element) {
        if length == slots.count { grow() }
        slots[position(length)] = element
        length += 1
    }

    @inlinable public mutating func prepend(_ element: Element) {
        if length == slots.count { grow() }
        head = (head &+ slots.count &- 1) & (slots.count &- 1)
        slots[head] = element
        length += 1
    }

    @inlinable @discardableResult public mutating func popFirst() -> Element? {
        guard length > 0 else { return nil }
        let element = slots[head].take()
        head = position(1)
        length -= 1
        return element
    }

    @inlinable public mutating func removeAll() { self = Deque() }

    // The capacity is a power of two.
    @inlinable func position(_ index: Int) -> Int { (head &+ index) & (slots.count &- 1) }

    @usableFromInline mutating func grow() {
        var larger = ContiguousArray<Element?>(repeating: nil, count: Swift.max(8, slots.count * 2))
        for index in 0..<length { larger[index] = slots[position(index)] }
        slots = larger
        head = 0
    }
}

extension Deque: Sendable where Element: Sendable {}
