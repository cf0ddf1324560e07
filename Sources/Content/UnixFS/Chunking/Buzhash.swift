/// Content-defined chunking with a cyclic polynomial hash over a window of 32 bytes.
///
/// A chunk ends where 17 bits of the hash of its last 32 bytes are zero, but not before 128 KiB and at the latest at 512 KiB.
struct Buzhash: Sendable {
    static let minimum = 128 << 10
    static let maximum = 512 << 10
    static let window = 32
    static let mask: UInt32 = (1 << 17) - 1

    /// Bytes of the chunk so far.
    private var count = 0
    private var state: UInt32 = 0
    /// The last 32 bytes, oldest first; filled from `minimum - window` on.
    private var history = InlineArray<32, UInt8>(repeating: 0)

    mutating func scan(_ input: UnsafeRawBufferPointer) -> (count: Int, ends: Bool) {
        var index = 0
        let skipped = Buzhash.minimum - Buzhash.window
        if count < skipped {
            index = min(skipped - count, input.count)
            count += index
        }
        guard index < input.count else { return (input.count, false) }
        let start = index
        var state = state
        let table = BuzhashTable.values
        return table.withUnsafeBufferPointer { table in
            while index < input.count {
                let entering = table[Int(input[index])]
                if count < Buzhash.minimum {
                    state = state << 1 | state >> 31
                    state ^= entering
                } else {
                    // Rotating by the window's 32 bits leaves the byte that leaves where it was.
                    let leaving = index - start < Buzhash.window ? history[index - start] : input[index - Buzhash.window]
                    state = (state << 1 | state >> 31) ^ table[Int(leaving)] ^ entering
                }
                index += 1
                count += 1
                if count >= Buzhash.minimum, state & Buzhash.mask == 0 || count == Buzhash.maximum {
                    count = 0
                    self.state = 0
                    return (index, true)
                }
            }
            self.state = state
            remember(input, from: start)
            return (input.count, false)
        }
    }

    private mutating func remember(_ input: UnsafeRawBufferPointer, from start: Int) {
        let fresh = min(input.count - start, Buzhash.window)
        for index in 0..<Buzhash.window - fresh { history[index] = history[index + fresh] }
        for index in 0..<fresh { history[Buzhash.window - fresh + index] = input[input.count - fresh + index] }
    }
}
