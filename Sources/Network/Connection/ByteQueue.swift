import WaggleBase

/// Bytes waiting in order: windows onto the memory of others, and small pieces copied together so that they neither cost an entry each nor
/// keep large blocks alive.
package struct ByteQueue: Sendable {
    private var pieces = Deque<Bytes>()
    /// Copied bytes behind all pieces. The storage grows at its end while windows onto its beginning are out; those never change.
    private var tail: (storage: ByteStorage, lower: Int, upper: Int)?
    /// Bytes waiting.
    package private(set) var count = 0

    /// Largest block for copied bytes: what a reader of one small message keeps alive at most.
    static let tailBytes = 16 << 10
    static let smallestTailBytes = 256

    package init() {}

    package var isEmpty: Bool { count == 0 }

    /// Adds `bytes` as they are.
    package mutating func append(_ bytes: Bytes) {
        guard !bytes.isEmpty else { return }
        sealTail()
        pieces.append(bytes)
        count += bytes.count
    }

    /// Adds a copy of `bytes`, next to the copy before it.
    package mutating func append(copying bytes: Bytes) {
        guard !bytes.isEmpty else { return }
        if let room = tail.map({ $0.storage.capacity - $0.upper }), room < bytes.count { sealTail() }
        var block = tail ?? (ByteStorage(capacity: capacity(for: bytes.count)), 0, 0)
        bytes.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(start: block.storage.base + block.upper, count: source.count).copyMemory(from: source)
        }
        block.upper += bytes.count
        tail = block
        count += bytes.count
    }

    // The first block is small, and each next one as large as what waits already.
    private func capacity(for needed: Int) -> Int { max(needed, min(max(count, ByteQueue.smallestTailBytes), ByteQueue.tailBytes)) }

    private mutating func sealTail() {
        guard let block = tail else { return }
        if block.lower < block.upper { pieces.append(Bytes(storage: block.storage, range: block.lower..<block.upper)) }
        tail = nil
    }

    /// The bytes at the front that lie together in memory; nil when nothing waits.
    package var first: Bytes? {
        if let piece = pieces.first { return piece }
        guard let block = tail, block.lower < block.upper else { return nil }
        return Bytes(storage: block.storage, range: block.lower..<block.upper)
    }

    /// Takes bytes from the front that lie together in memory, at most `limit`; nil when nothing waits.
    package mutating func popFirst(upTo limit: Int = .max) -> Bytes? {
        if let piece = pieces.first {
            let taken: Bytes
            if piece.count <= limit {
                taken = piece
                pieces.popFirst()
            } else {
                taken = piece.prefix(limit)
                pieces.first = piece.dropFirst(limit)
            }
            count -= taken.count
            return taken
        }
        guard let block = tail, block.lower < block.upper else { return nil }
        let end = block.lower + min(limit, block.upper - block.lower)
        let taken = Bytes(storage: block.storage, range: block.lower..<end)
        // An empty block is let go: whoever holds the window may be the last to need it.
        tail = end == block.upper ? nil : (block.storage, end, block.upper)
        count -= taken.count
        return taken
    }

    /// Moves `length` bytes, which must be waiting, to `target`.
    package mutating func copyFirst(_ length: Int, to target: UnsafeMutableRawPointer) {
        var done = 0
        while done < length, let piece = popFirst(upTo: length - done) {
            piece.withUnsafeBytes { source in
                UnsafeMutableRawBufferPointer(start: target + done, count: source.count).copyMemory(from: source)
            }
            done += piece.count
        }
    }

    /// Puts bytes back to the front.
    package mutating func prepend(_ bytes: Bytes) {
        guard !bytes.isEmpty else { return }
        pieces.prepend(bytes)
        count += bytes.count
    }

    /// Copies the front piece into memory of its own when it keeps much more alive than it is.
    package mutating func compactFirst() {
        if let piece = pieces.first { pieces.first = piece.compacted() }
    }

    package mutating func removeAll() { self = ByteQueue() }
}
